"""What a refinement may change: where films and bones stand, how far, and in which gauge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from enum import Enum

import numpy as np
from scipy.spatial.transform import Rotation

from XRayTo3DLib.imaging.geometry import ViewGeometry
from XRayTo3DLib.reconstruction.flexion_between import GROUP_NUMBERS, GROUPS

FILM_SHIFT = 5.0
"""mm: the joint is found on two films at the same height this well."""

FILM_TURN = np.radians(3.0)
"""A leg lies this straight along a film; between two films it is laid down anew."""

FILM_MAGNIFICATION = 0.03
"""30 mm of the distance from joint to detector, which is mostly assumed, at 1 m from the source."""

KNEE_SHIFT = 3.0
KNEE_TURN = np.radians(3.0)
KNEE_SCALE = 0.02
"""mm, rad, share: how well networks place all bones as a whole."""

BONE_SHIFT = 1.5
"""mm: the networks place a bone to about this (their surfaces are 1 to 2 mm off)."""

BONE_TURN = np.radians(2.0)
"""What 2 mm make at the 60 mm from a bone's middle to its ends."""

BONE_SCALE = 0.02
"""1 mm at the outline of a bone of 100 mm."""

SHIN_FLEXION = np.radians(10.0)
"""A knee is bent as it is laid; on a lateral 10° to 20° more is usual."""

PATELLA_FLEXION = np.radians(8.0)
"""The patella turns with the shin for the better part."""

_GROUP_DEVIATIONS = (
    (SHIN_FLEXION, *np.radians([0.5, 0.5]), 0.5, 0.7, 0.7),
    (PATELLA_FLEXION, *np.radians([1.0, 1.0]), 0.5, 0.7, 1.0),
)
"""Of the numbers of shin and patella: a knee that bends hardly turns or slides otherwise."""

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


class Freedom(Enum):
    """What may have been otherwise than stated, besides that the networks misplace bones."""

    NOTHING = "nothing"
    FILMS = "films"
    """The lateral film stood otherwise against the frontal."""
    JOINT = "joint"
    """The knee was moved between the films."""


def scales(centres: np.ndarray, freedom: Freedom) -> np.ndarray:
    """From unknowns of unit prior variance to the numbers of views, groups and bones.

    The frontal film stands where it is said to and holds the patient's frame: a motion of both
    films cannot be told from one of the whole knee, and is not looked for. Of the lateral film,
    only what outlines can tell is free: height, turn in its plane, magnification. Where it stands
    along the beam of the frontal film is where the knee is; the angle between two films that are
    nearly parallel projections cannot be told from the knee's shape (bas-relief ambiguity;
    Belhumeur et al., IJCV 35(1), 1999).

    Args:
        centres: ``(n, 3)`` RAS mm, about which the bones move.
        freedom: what is looked for.

    Returns:
        ``(2 · 5 + 2 · 6 + n · 7, m)``; numbers = matrix @ unknowns.
    """
    lateral = (FILM_SHIFT, 0.0, FILM_TURN, FILM_MAGNIFICATION, 0.0)
    films = np.zeros(2 * VIEW_NUMBERS)
    groups = np.zeros(len(GROUPS) * GROUP_NUMBERS)
    if freedom is Freedom.FILMS:
        films[VIEW_NUMBERS:] = lateral
    if freedom is Freedom.JOINT:
        groups[:] = np.concatenate(_GROUP_DEVIATIONS)
    bone = np.repeat([BONE_SHIFT, BONE_TURN, BONE_SCALE], [3, 3, 1])
    knee = np.repeat([KNEE_SHIFT, KNEE_TURN, KNEE_SCALE], [3, 3, 1])
    first = np.concatenate([films, groups])
    shared = np.concatenate([_shared_motions(centre) for centre in centres]) * knee
    alone = np.diag(np.concatenate([first, np.tile(bone, len(centres))]))
    together = np.concatenate([np.zeros((len(first), BONE_NUMBERS)), shared])
    every = np.concatenate([alone, together], axis=1)
    return every[:, every.any(axis=0)]


def _shared_motions(centre: np.ndarray) -> np.ndarray:
    """``(7, 7)``: a bone's numbers when all shift along x, y, z, turn about x, y, z, or grow."""
    motions = np.eye(BONE_NUMBERS)
    motions[:3, 3:6] = np.cross(np.eye(3), centre).T
    motions[:3, 6] = centre
    return motions
