"""How the knee was moved between two films: flexion of the shin, and the patella's glide.

A frontal film is mostly taken of a straight knee and a lateral of a bent one. Then no geometry
brings both films together: thigh and shin are each in agreement with themselves, but not with each
other. The femur is taken to lie alike on both films. The other bones have a pose on each, and the
motion from the one on the frontal film to the one on the lateral is a turn about the femur's
flexion axis and a small shift. A film sees a bone that was moved as a film that was moved the other
way sees the bone where it had been.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy.spatial.transform import Rotation

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.knee import condyle_box
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.imaging.geometry import ViewGeometry

GROUPS: tuple[tuple[Bone, ...], ...] = ((Bone.TIBIA, Bone.FIBULA), (Bone.PATELLA,))
"""Bones that move together against the femur: the shin, the patella."""

GROUP_NUMBERS = 6
"""Of each group: turn about x, y, z through the pivot, shift along x, y, z."""

_RADIUS = 0.45
"""Of the posterior condyles, as a share of the condyles' depth; they are nearly circular about the
flexion axis (Eckhoff et al., J. Bone Joint Surg. Am. 87 suppl. 2, 2005)."""


@dataclass(frozen=True)
class Between:
    """Motions from the frontal to the lateral film; a bone without one lay still.

    Attributes:
        motions: 4×4 of each bone, RAS mm to RAS mm.
    """

    motions: dict[Bone, np.ndarray] = field(default_factory=dict)

    def of(self, bone: Bone) -> np.ndarray:
        """The 4×4 motion of a bone."""
        return self.motions.get(bone, np.eye(4))

    @property
    def flexion(self) -> float:
        """Degrees by which the knee is bent more on the lateral film than on the frontal."""
        return float(-np.degrees(_turn(self.of(Bone.TIBIA))[0]))

    def differs(self, other: Between, angle: float) -> bool:
        """Whether a bone is turned by more than an angle (rad) against what another says."""
        return any(
            np.linalg.norm(_turn(self.of(bone) @ np.linalg.inv(other.of(bone)))) > angle
            for bone in {*self.motions, *other.motions}
        )


def _turn(motion: np.ndarray) -> np.ndarray:
    """Rotation vector, rad, of a 4×4 motion."""
    return Rotation.from_matrix(motion[:3, :3]).as_rotvec()


def group_of(bone: Bone) -> int | None:
    """Which of :data:`GROUPS` a bone moves with; None for the femur."""
    return next((number for number, group in enumerate(GROUPS) if bone in group), None)


def pivot(femur: Surface) -> np.ndarray:
    """RAS mm of a point on the flexion axis, the middle of the posterior condyles' circles."""
    low, high = condyle_box(femur.vertices)
    radius = _RADIUS * (high[1] - low[1])
    lowest = femur.vertices[:, 2].min()
    return np.array([(low[0] + high[0]) / 2, low[1] + radius, lowest + radius])


def group_motion(about: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """The 4×4 matrix of a rotation vector (rad) about a point, and a shift (mm).

    Args:
        about: RAS mm.
        numbers: ``(6,)`` in this order.
    """
    motion = np.eye(4)
    motion[:3, :3] = Rotation.from_rotvec(numbers[:3]).as_matrix()
    motion[:3, 3] = about + numbers[3:] - motion[:3, :3] @ about
    return motion


def between_of(about: np.ndarray, numbers: Mapping[int, np.ndarray]) -> Between:
    """The motions of all bones from the numbers of the groups."""
    return Between(
        {
            bone: group_motion(about, of_group)
            for group, of_group in numbers.items()
            for bone in GROUPS[group]
        }
    )


def seen_unmoved(lateral: ViewGeometry, motion: np.ndarray) -> ViewGeometry:
    """The lateral view that would have given the same picture of a bone had it not moved."""
    back = np.linalg.inv(motion)
    return lateral.moved(back[:3, :3], back[:3, 3].tolist())


def group_numbers(about: np.ndarray, motion: np.ndarray) -> np.ndarray:
    """The ``(6,)`` numbers of :func:`group_motion` that make a motion."""
    return np.concatenate([_turn(motion), motion[:3, :3] @ about + motion[:3, 3] - about])
