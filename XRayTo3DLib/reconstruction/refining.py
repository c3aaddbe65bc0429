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
from XRayTo3DLib.reconstruction.refinement import Refinement, refine
from XRayTo3DLib.reconstruction.result import Fit
from XRayTo3DLib.reconstruction.seeing import RightKnee, see
from XRayTo3DLib.reconstruction.surfaces import extract_surfaces
from XRayTo3DLib.reconstruction.weights import Model

_MOST_ROUNDS = 2
"""Times that the network sees the films anew; a third brought nothing."""


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
    """Correct the geometry, show the network the films in it, and do so again while it helps.

    What is fitted to the silhouettes are geometry and bones together, but only the geometry is
    kept: the network puts the bones where they belong better than moving them does, once it can
    bring the films together. The result never agrees less than what was given.

    Args:
        model: with silhouettes.
        knee: as the network saw it.
        probabilities: what it made of it.
        surfaces: of those.
        silhouettes: ``(2, 4, rows, columns)``, 0–1.
        device: of the network.
        time_limit: seconds for the fits of all rounds.
        progress: told of every step; may raise to cancel.
    """
    grid, field = model.network.settings.output_grid, model.network.settings.field_of_view

    def fitted(shapes: dict[Bone, Surface], seen: RightKnee, outlined: Tensor) -> Refinement:
        return refine(
            shapes,
            seen.geometry,
            outlined,
            silhouette_detectors(seen, outlined),
            field_of_view=field,
            time_limit=time_limit / (_MOST_ROUNDS + 1),
            progress=progress,
        )

    best = first = fitted(surfaces, knee, silhouettes)
    stopped = first.stopped
    for _ in range(_MOST_ROUNDS):
        if not best.after < best.before:
            break
        again = replace(knee, geometry=best.geometry)
        seen_anew, outlined = see(model, again, device)
        shapes = extract_surfaces(seen_anew, grid)
        fit = fitted(shapes, again, outlined)
        if not fit.before < best.before or set(shapes) < set(surfaces):
            stopped = "no better"
            break
        best, knee, probabilities, surfaces = fit, again, seen_anew, shapes
        stopped = fit.stopped
    return Refined(probabilities, surfaces, knee.geometry, Fit(first.before, best.before, stopped))


def silhouette_detectors(knee: RightKnee, silhouettes: Tensor) -> tuple[ViewGeometry, ViewGeometry]:
    """The detectors on which the network's silhouettes are: its films', in coarser pixels."""
    frontal, lateral = (
        detector.binned(detector.shape[0] // silhouettes.shape[-2]) for detector in knee.detectors
    )
    return frontal, lateral
