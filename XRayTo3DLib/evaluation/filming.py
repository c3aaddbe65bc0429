"""Films of knees whose truth is known, by the two simulators."""

from __future__ import annotations

from enum import Enum

import numpy as np
import torch

from XRayTo3DLib.anatomy.knee import Knee
from XRayTo3DLib.anatomy.tissue import extended, make_tissues, material_paths
from XRayTo3DLib.evaluation.gvxr_film import gvxr_film
from XRayTo3DLib.imaging.film import simulate_film
from XRayTo3DLib.imaging.film_settings import FilmSettings
from XRayTo3DLib.imaging.geometry import BiplanarGeometry, ViewGeometry, view_geometry
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.radiograph import Origin, Radiograph, Side, Sourced, View


class Simulator(str, Enum):
    """Who makes the films."""

    OWN = "own"
    """The simulator that the training uses, randomised as there."""
    GVXR = "gvxr"
    """gVirtualXRay with soft tissue, scatter and tone of its own; training never sees it."""


def filming_geometry(
    rng: np.random.Generator, side: Side = Side.RIGHT, size: int = 512, field: float = 190.0
) -> BiplanarGeometry:
    """An ordinary X-ray room, an exact lateral: SID 1.0–1.3 m, 70–150 mm from knee to detector.

    Args:
        rng: source of randomness.
        side: which knee.
        size: pixels a side.
        field: mm a side, measured at the isocentre.
    """
    views = []
    for view in (View.AP, View.LATERAL):
        sid = float(rng.uniform(1000.0, 1300.0))
        sod = sid - float(rng.uniform(70.0, 150.0))
        spacing = field / size * sid / sod
        views.append(
            view_geometry(
                view, side, sid=sid, sod=sod, spacing=(spacing, spacing), shape=(size, size)
            )
        )
    return BiplanarGeometry(*views)


def film_knee(
    knee: Knee,
    geometry: BiplanarGeometry,
    simulator: Simulator,
    seed: int,
    strength: float = 1.0,
    voxel: float = 0.8,
    stated: BiplanarGeometry | None = None,
) -> tuple[Radiograph, Radiograph]:
    """A frontal and a lateral film.

    Args:
        knee: four bones, either side.
        geometry: of the same side; where sources and detectors stand.
        simulator: who makes them.
        seed: of everything that is drawn.
        strength: of the randomisation of our own film.
        voxel: mm, of our own film's tissues.
        stated: what the headers say; the truth by default.
    """
    if simulator is Simulator.GVXR:
        pictures = [gvxr_film(knee.surfaces, view, seed=seed) for view in geometry.views]
    else:
        pictures = _own_films(knee, geometry, seed, strength, voxel)
    views = (View.AP, View.LATERAL)
    frontal, lateral = (
        _radiograph(picture, stand, view, knee.side)
        for picture, stand, view in zip(pictures, (stated or geometry).views, views, strict=True)
    )
    return frontal, lateral


def _own_films(
    knee: Knee, geometry: BiplanarGeometry, seed: int, strength: float, voxel: float
) -> list[np.ndarray]:
    rng = np.random.default_rng([seed, 13])
    size = 2 * int(np.ceil(153.6 / voxel / 2))
    tissues = make_tissues(knee, extended(VolumeGrid.cube(size, size * voxel)), rng)
    pictures = []
    for view in geometry.views:
        paths = material_paths(tissues, view)
        settings = FilmSettings.random(rng, strength) if strength > 0 else FilmSettings.plain()
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        spacing = view.spacing[0] * view.sod / view.sid
        pictures.append(simulate_film(paths, spacing, settings, generator).numpy())
    return pictures


def _radiograph(pixels: np.ndarray, stand: ViewGeometry, view: View, side: Side) -> Radiograph:
    across = "L" if view is View.AP else ("P" if side is Side.RIGHT else "A")
    header = Origin.HEADER
    return Radiograph(
        pixels=pixels.astype(np.float32),
        spacing=Sourced(stand.spacing, header),
        sid=Sourced(stand.sid, header),
        sod=Sourced(stand.sod, header),
        view=Sourced(view, header),
        side=Sourced(side, header),
        orientation=Sourced((across, "F"), header),
        inverted=Sourced(False, header),
    )
