"""Registration of two radiographs as they were read, and its result as a reconstruction."""

from __future__ import annotations

import numpy as np

from XRayTo3DLib.anatomy.bones import CLASS_COUNT, Bone
from XRayTo3DLib.anatomy.distance import signed_depth
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.imaging.centres import Centres
from XRayTo3DLib.imaging.geometry import BiplanarGeometry, geometry_of
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.radiograph import Radiograph, Side
from XRayTo3DLib.progress import Progress, silent
from XRayTo3DLib.reconstruction.registration import Registrar, Registration
from XRayTo3DLib.reconstruction.registration_pose import Start
from XRayTo3DLib.reconstruction.result import ModelIdentity, Reconstruction

GRID = VolumeGrid.cube(128, 153.6)
"""Where a result is given as voxels: the field of view of the networks."""


def register_films(
    registrar: Registrar,
    frontal: Radiograph,
    lateral: Radiograph,
    geometry: BiplanarGeometry,
    start: Start | None = None,
    progress: Progress = silent,
) -> Registration:
    """Register to two films of either knee; a left one is turned into a right one here.

    Args:
        registrar: with its model.
        frontal: frontal film.
        lateral: lateral film of the same knee.
        geometry: of the films, as they are.
        start: as :class:`Registrar` takes it, in the right knee's world.
        progress: told of every round; may raise to cancel.

    Returns:
        in the right knee's world.
    """
    if frontal.side.value is Side.RIGHT:
        return registrar((frontal.pixels, lateral.pixels), geometry, start, progress)
    flipped = (frontal.pixels[:, ::-1], lateral.pixels[:, ::-1])
    return registrar(flipped, geometry.mirrored(), start, progress)


def as_reconstruction(
    registration: Registration,
    registrar: Registrar,
    frontal: Radiograph,
    lateral: Radiograph,
    geometry: BiplanarGeometry,
    centres: Centres,
) -> Reconstruction:
    """What a network's result is given as, so that the same files can be written of it.

    The model's bones go on beyond the field of view; the surfaces are kept whole.
    """
    surfaces = registration.surfaces
    if frontal.side.value is Side.LEFT:
        surfaces = {bone: surface.mirrored() for bone, surface in surfaces.items()}
    model = registrar.model
    return Reconstruction(
        probabilities=filled(surfaces, GRID),
        grid=GRID,
        surfaces=surfaces,
        side=frontal.side.value,
        frontal=frontal,
        lateral=lateral,
        geometry=geometry,
        centres=centres,
        model=ModelIdentity(model.name, model.sha256, model.licence),
        seconds={"registering": registration.seconds},
        warnings=(*centres.warnings, *_doubts(registration)),
    )


def _doubts(registration: Registration) -> tuple[str, ...]:
    if registration.converged:
        return ()
    frontal, lateral = registration.likeness
    return (
        f"The registration did not converge ({registration.stopped}; likeness {frontal:.2f} on the "
        f"frontal film, {lateral:.2f} on the lateral); give a better start with --start.",
    )


def filled(surfaces: dict[Bone, Surface], grid: VolumeGrid) -> np.ndarray:
    """Share of each voxel that is background and that each bone fills, ``(5, z, y, x)`` float32.

    Where bones overlap, as registered ones may, a voxel belongs to that in which it lies deeper.
    """
    depths = np.full((CLASS_COUNT - 1, *grid.shape), -grid.spacing, dtype=np.float32)
    for bone, surface in surfaces.items():
        depths[bone - 1] = signed_depth(surface, grid, grid.spacing)
    deepest = depths.argmax(axis=0)
    share = np.clip(0.5 + depths.max(axis=0) / grid.spacing, 0.0, 1.0)
    result = np.zeros((CLASS_COUNT, *grid.shape), dtype=np.float32)
    np.put_along_axis(result, deepest[None] + 1, share[None], axis=0)
    result[0] = 1.0 - share
    return result


def registered(
    registrar: Registrar,
    frontal: Radiograph,
    lateral: Radiograph,
    centres: Centres,
    *,
    angle: float = 90.0,
    start: Start | None = None,
    progress: Progress = silent,
) -> tuple[Registration, Reconstruction]:
    """Two films in, four bones out, by registration.

    Args:
        registrar: with its model.
        frontal: frontal film.
        lateral: lateral film of the same knee.
        centres: pixel of either film that is the middle of the joint.
        angle: degrees between the views.
        start: as :class:`Registrar` takes it.
        progress: told of every round; may raise to cancel.

    Raises:
        XRayTo3DError: the films cannot be two views of one knee.
    """
    geometry = geometry_of(
        frontal,
        lateral,
        angle=angle,
        ap_centre=centres.frontal.value,
        lateral_centre=centres.lateral.value,
    )
    found = register_films(registrar, frontal, lateral, geometry, start, progress)
    return found, as_reconstruction(found, registrar, frontal, lateral, geometry, centres)
