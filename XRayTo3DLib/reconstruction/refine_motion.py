"""What a refinement may change: where films and bones stand, how far, and in which gauge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy.linalg import block_diag, null_space
from scipy.spatial.transform import Rotation

from XRayTo3DLib.imaging.geometry import ViewGeometry

FILM_SHIFT = 5.0
"""mm: a film's middle, or the joint found on it, is taken for the isocentre this well."""

FILM_TURN = np.radians(3.0)
"""A leg lies this straight along a film; between two films it is laid down anew."""

FILM_MAGNIFICATION = 0.02
"""20 mm of the distance from joint to detector, which is mostly assumed, at 1 m from the source."""

FILM_ANGLE = np.radians(3.0)
"""How well a technician turns a leg as a film needs it."""

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

    To shift or to turn all bones alike, or to let them grow about the isocentre, is (but for a
    little perspective) what moving both films does. Among the solutions that films cannot tell
    apart that is taken in which the bones move least: the seven motions shared by all bones are
    left out, and what is common is put down to the films. Of known films nothing changes, and the
    bones move freely.

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
    film = [FILM_SHIFT, FILM_SHIFT, FILM_TURN, FILM_MAGNIFICATION, FILM_ANGLE]
    shared = np.concatenate([_shared_motions(centre) for centre in centres]) / bones[:, None]
    return block_diag(np.diag(film + film), bones[:, None] * null_space(shared.T))


def _shared_motions(centre: np.ndarray) -> np.ndarray:
    """``(7, 7)``: a bone's numbers when all shift along x, y, z, turn about x, y, z, or grow."""
    motions = np.eye(BONE_NUMBERS)
    motions[:3, 3:6] = np.cross(np.eye(3), centre).T
    motions[:3, 6] = centre
    return motions
