"""What a refinement may change: where films and bones stand, how far, and in which gauge."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from scipy import ndimage
from scipy.linalg import block_diag, null_space
from scipy.spatial.transform import Rotation

from XRayTo3DLib.anatomy.bones import BACKGROUND, CLASS_COUNT, Bone
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.geometry import ViewGeometry
from XRayTo3DLib.imaging.grid import VolumeGrid

FILM_SHIFT = 5.0
"""mm: a film's middle, or the joint found on it, is taken for the isocentre this well."""

FILM_TURN = np.radians(3.0)
"""A leg lies this straight along a film; between two films it is laid down anew."""

FILM_MAGNIFICATION = 0.02
"""20 mm of the distance from joint to detector, which is mostly assumed, at 1 m from the source."""

FILM_ANGLE = np.radians(3.0)
"""How well a technician turns a leg by 90° between two films."""

BONE_SHIFT = 2.0
"""mm: the networks place a bone to about this (their surfaces are 1 to 2 mm off)."""

BONE_TURN = np.radians(2.0)
"""What 2 mm make at the 60 mm from a bone's middle to its ends."""

BONE_SCALE = 0.02
"""1 mm at the outline of a bone of 100 mm."""

VIEW_NUMBERS = 5
"""Of each view: shift down and right, turn in the film's plane, magnification, angle."""

BONE_NUMBERS = 7
"""Of each bone: shift along x, y, z, turn about x, y, z, scale."""

_STEP = 1e-6
"""mm, radians or shares for numerical derivatives of matrices, which are smooth."""


def corrected_view(view: ViewGeometry, numbers: np.ndarray) -> ViewGeometry:
    """A view that stands a little differently.

    Args:
        view: as stated, its source square above the isocentre.
        numbers: ``(5,)``: by how much the detector lies lower and further right, mm measured at
            the isocentre; by how much source and detector are turned about the central ray, rad;
            by which share the magnification (SID / SOD) is greater; and by how much source and
            detector are turned about the long axis (z) of the leg, rad.
    """
    down, right, turn, magnification, angle = numbers
    normal = view.normal
    sod, sid = -normal @ view.source, normal @ (view.first_pixel - view.source)
    rotation = (
        Rotation.from_rotvec([0.0, 0.0, angle]) * Rotation.from_rotvec(turn * normal)
    ).as_matrix()
    nearer = sod * magnification / (1.0 + magnification)
    moved = view.moved(rotation, nearer * (rotation @ normal))
    pixels = np.array([down, right]) * (1.0 + magnification) * sid / sod / view.spacing
    return replace(
        moved,
        first_pixel=moved.first_pixel + pixels[0] * moved.row_step + pixels[1] * moved.column_step,
    )


def bone_motion(centre: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """The 4×4 matrix of a shift (mm), a rotation vector (rad) and a growth (share) about a centre.

    Args:
        centre: RAS mm.
        numbers: ``(7,)`` in this order.
    """
    motion = np.eye(4)
    motion[:3, :3] = (1.0 + numbers[6]) * Rotation.from_rotvec(numbers[3:6]).as_matrix()
    motion[:3, 3] = centre + numbers[:3] - motion[:3, :3] @ centre
    return motion


def with_derivatives(
    matrix_of: Callable[[np.ndarray], np.ndarray], numbers: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """A matrix, and ``(n, …)`` how it changes with each of the numbers it is made of."""
    matrix = matrix_of(numbers)
    steps = _STEP * np.eye(len(numbers))
    return matrix, np.stack([matrix_of(numbers + step) - matrix for step in steps]) / _STEP


def scales(centres: np.ndarray, known_geometry: bool) -> np.ndarray:
    """From unknowns of unit prior variance to the numbers of both views and of all bones.

    Shifting all bones alike, tilting them in the planes of the films and letting them grow about
    the isocentre is what moving the films does. Among the solutions that films cannot tell apart
    that is taken in which the bones move least: these six motions shared by all bones are left
    out, and what is common is put down to the films. A turn of all bones about the long axis is
    theirs, since the frontal film is the reference for the angle. Of known films nothing changes,
    and the bones move freely.

    Args:
        centres: ``(n, 3)`` RAS mm, about which the bones move.
        known_geometry: whether the films stand where they are said to.

    Returns:
        ``(2 · 5 + n · 7, m)``; numbers = matrix @ unknowns.
    """
    deviations = np.repeat([BONE_SHIFT, BONE_TURN, BONE_SCALE], [3, 3, 1])
    bones = np.tile(deviations, len(centres))
    if known_geometry:
        return np.vstack([np.zeros((2 * VIEW_NUMBERS, len(bones))), np.diag(bones)])
    film = [FILM_SHIFT, FILM_SHIFT, FILM_TURN, FILM_MAGNIFICATION]
    films = np.zeros((2 * VIEW_NUMBERS, 9))
    films[[0, 1, 2, 3, 5, 6, 7, 8, 9], range(9)] = [*film, *film, FILM_ANGLE]
    shared = np.concatenate([_shared_motions(centre) for centre in centres]) / bones[:, None]
    return block_diag(films, bones[:, None] * null_space(shared.T))


def _shared_motions(centre: np.ndarray) -> np.ndarray:
    """``(7, 6)``: a bone's numbers when all shift along x, y, z, tilt about x, y, or grow."""
    motions = np.zeros((BONE_NUMBERS, 6))
    motions[:3, :3] = np.eye(3)
    for axis in range(2):
        motions[:3, 3 + axis] = np.cross(np.eye(3)[axis], centre)
        motions[3 + axis, 3 + axis] = 1.0
    motions[:3, 5] = centre
    motions[6, 5] = 1.0
    return motions


def moved_probabilities(
    probabilities: np.ndarray, grid: VolumeGrid, motions: Mapping[Bone, np.ndarray]
) -> np.ndarray:
    """Class probabilities in which each bone is moved as its surface was.

    Beyond the grid a bone goes on as it leaves it. Where moved bones overlap they share the voxel
    in proportion; the background is what they leave.

    Args:
        probabilities: ``(5, z, y, x)``, summing to 1 over the first axis.
        grid: where the voxels are, RAS mm.
        motions: 4×4 of each bone that moves, RAS mm to RAS mm.

    Returns:
        same shape and type.

    Raises:
        XRayTo3DError: the array does not fit the grid.
    """
    expected = (CLASS_COUNT, *grid.shape)
    if probabilities.shape != expected:
        raise XRayTo3DError(
            f"The probabilities have the shape {probabilities.shape}, but the grid needs {expected}"
            "; give one volume for the background and one for each bone."
        )
    moved = probabilities.copy()
    for bone, motion in motions.items():
        if not np.array_equal(motion, np.eye(4)):
            moved[bone] = _resampled(probabilities[bone], grid, np.linalg.inv(motion))
    bones = moved[BACKGROUND + 1 :]
    total = bones.sum(axis=0)
    bones /= np.maximum(total, 1.0)
    moved[BACKGROUND] = np.maximum(1.0 - total, 0.0)
    return moved


def _resampled(volume: np.ndarray, grid: VolumeGrid, back: np.ndarray) -> np.ndarray:
    """The volume at the points from which ``back`` says that its voxels came, linear."""
    matrix = back[2::-1, 2::-1]  # (x, y, z) to (z, y, x)
    first = grid.to_index(back[:3, :3] @ grid.first + back[:3, 3])
    return ndimage.affine_transform(volume, matrix, first, order=1, mode="nearest")
