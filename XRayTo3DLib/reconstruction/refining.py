"""Reconstruct, correct the geometry by what was reconstructed, and reconstruct again."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.imaging.geometry import BiplanarGeometry, ViewGeometry
from XRayTo3DLib.progress import Progress, silent
from XRayTo3DLib.reconstruction.refine_motion import moved_probabilities
from XRayTo3DLib.reconstruction.refinement import Refinement, refine
from XRayTo3DLib.reconstruction.result import Fit
from XRayTo3DLib.reconstruction.seeing import RightKnee, see
from XRayTo3DLib.reconstruction.surfaces import extract_surfaces
from XRayTo3DLib.reconstruction.weights import Model

_SHARE_OF_FIRST = 0.6
"""Of the time limit, for the geometry; what is left is for the bones."""


@dataclass(frozen=True)
class Refined:
    """A right knee that agrees with its films.

    Attributes:
        probabilities: ``(5, z, y, x)``.
        surfaces: of the bones.
        geometry: corrected.
        fit: how well it agrees.
    """

    probabilities: np.ndarray
    surfaces: dict[Bone, Surface]
    geometry: BiplanarGeometry
    fit: Fit


def refined(
    model: Model,
    knee: RightKnee,
    probabilities: np.ndarray,
    surfaces: dict[Bone, Surface],
    silhouettes: Tensor,
    device: torch.device,
    *,
    time_limit: float = 8.0,
    progress: Progress = silent,
) -> Refined:
    """Correct geometry and bones in two rounds, and keep the round that agrees best.

    First both are fitted to the silhouettes. The network then sees the films in the corrected
    geometry: what it could not bring together before, it can now. What it makes of them is fitted
    once more.

    Args:
        model: with silhouettes.
        knee: as the network saw it.
        probabilities: what it made of it.
        surfaces: of those.
        silhouettes: ``(2, 4, rows, columns)``, 0–1.
        device: of the network.
        time_limit: seconds for both rounds of fitting.
        progress: told of every round; may raise to cancel.
    """
    grid = model.network.settings.output_grid

    def fitted(
        shapes: dict[Bone, Surface], seen: RightKnee, outlines: Tensor, seconds: float
    ) -> Refinement:
        return refine(
            shapes,
            seen.geometry,
            outlines,
            silhouette_detectors(seen, outlines),
            field_of_view=model.network.settings.field_of_view,
            time_limit=seconds,
            progress=progress,
        )

    first = fitted(surfaces, knee, silhouettes, _SHARE_OF_FIRST * time_limit)
    rounds = [(first, probabilities)]
    if first.after < first.before:
        again = replace(knee, geometry=first.geometry)
        second_probabilities, second_silhouettes = see(model, again, device)
        shapes = extract_surfaces(second_probabilities, grid)
        left = (1.0 - _SHARE_OF_FIRST) * time_limit
        second = fitted(shapes, again, second_silhouettes, left)
        if set(shapes) >= set(surfaces):
            rounds.append((second, second_probabilities))
    best, seen_probabilities = min(rounds, key=lambda entry: entry[0].after)
    return Refined(
        probabilities=moved_probabilities(seen_probabilities, grid, best.motions),
        surfaces=best.surfaces,
        geometry=best.geometry,
        fit=Fit(first.before, best.after, best.stopped),
    )


def silhouette_detectors(knee: RightKnee, silhouettes: Tensor) -> tuple[ViewGeometry, ViewGeometry]:
    """The detectors on which the network's silhouettes are: its films', in coarser pixels."""
    frontal, lateral = (
        detector.binned(detector.shape[0] // silhouettes.shape[-2]) for detector in knee.detectors
    )
    return frontal, lateral
