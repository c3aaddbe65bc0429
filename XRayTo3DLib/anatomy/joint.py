"""Moving the joint: flexion, varus, rotation, the patella in its groove, bones kept apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.knee import Knee, condyle_box, rotation
from XRayTo3DLib.anatomy.surface import Surface

_AXIS_HEIGHT = 0.45
"""Height of the flexion axis above the joint line, as a share of the condyles' depth (the
posterior condyles are nearly circular, with a radius of about 0.45 of that depth)."""

_NEAR = 45.0
"""mm from the joint line within which bones can touch."""


@dataclass(frozen=True)
class JointPose:
    """How the joint differs from the pose in which it was scanned.

    Attributes:
        flexion: degrees, positive bends the shin backwards.
        varus: degrees, positive moves the foot towards the middle.
        axial: degrees of external rotation of the shin.
        patella_follow: share of the flexion that the patella turns with the shin.
        patella_shift: mm by which the patella moves (medial–lateral, along the groove).
        patella_tilt: degrees about the long axis.
        gap_change: mm added to the gap between femur and tibia (negative: narrowed joint).
    """

    flexion: float = 0.0
    varus: float = 0.0
    axial: float = 0.0
    patella_follow: float = 0.6
    patella_shift: tuple[float, float] = (0.0, 0.0)
    patella_tilt: float = 0.0
    gap_change: float = 0.0


class _Wall:
    """Signed distance of points to a surface's nearest vertex along its normal, mm."""

    def __init__(self, surface: Surface) -> None:
        near = np.abs(surface.vertices[:, 2]) < 1.6 * _NEAR
        self._points = surface.vertices[near]
        self._normals = vertex_normals(surface)[near]
        self._tree = cKDTree(self._points)

    def gap(self, points: np.ndarray) -> float:
        """Smallest signed distance (negative: one is inside the other)."""
        distance, nearest = self._tree.query(points)
        offset = points - self._points[nearest]
        outside = np.einsum("ij,ij->i", offset, self._normals[nearest]) >= 0
        return float(np.where(outside, distance, -distance).min())


def vertex_normals(surface: Surface) -> np.ndarray:
    """Area-weighted outward unit normals at the vertices, ``(V, 3)``."""
    a, b, c = (surface.vertices[surface.faces[:, k]] for k in range(3))
    face_normals = np.cross(b - a, c - a)
    normals = np.zeros_like(surface.vertices)
    for corner in range(3):
        np.add.at(normals, surface.faces[:, corner], face_normals)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


def bend(knee: Knee, pose: JointPose, gaps: dict[Bone, float]) -> Knee:
    """The right knee in another pose, its bones as far apart as they were.

    Args:
        knee: a right knee, aligned.
        pose: how to move it.
        gaps: mm to keep between femur and tibia, femur and patella, tibia and fibula, as
            :func:`joint_gaps` measures them before anything was deformed.

    Returns:
        the femur stays; the others moved.
    """
    femur = knee.surfaces[Bone.FEMUR].vertices
    low, high = condyle_box(femur)
    depth = high[1] - low[1]
    axis_point = np.array([0.0, low[1] + _AXIS_HEIGHT * depth, femur[:, 2].min() + 0.45 * depth])
    # Seen from the right, a positive turn about +x lifts the front: the shin, which hangs down,
    # swings to the front, so flexion is a negative turn.
    flex = rotation("x", -pose.flexion, axis_point)
    shin = flex @ rotation("y", pose.varus) @ rotation("z", -pose.axial)
    follow = rotation("x", -pose.flexion * pose.patella_follow, axis_point)
    patella_middle = knee.surfaces[Bone.PATELLA].vertices.mean(axis=0)
    shift = np.eye(4)
    shift[:3, 3] = (pose.patella_shift[0], 0.0, pose.patella_shift[1])
    tilt = rotation("z", pose.patella_tilt, patella_middle)
    bent = knee.transformed(shin, (Bone.TIBIA, Bone.FIBULA))
    bent = bent.transformed(follow @ shift @ tilt, (Bone.PATELLA,))
    return _kept_apart(bent, pose, gaps, shin[:3, :3] @ (0.0, 0.0, -1.0), follow[:3, :3])


def _kept_apart(
    knee: Knee, pose: JointPose, gaps: dict[Bone, float], down: np.ndarray, follow: np.ndarray
) -> Knee:
    """Slides tibia (with fibula) along the shin, patella to the front, fibula outwards."""
    femur = _Wall(knee.surfaces[Bone.FEMUR])
    tibial_gap = max(gaps[Bone.TIBIA] + pose.gap_change, 0.4)
    step = _slide(femur, _near(knee, Bone.TIBIA), down, tibial_gap)
    knee = knee.transformed(step, (Bone.TIBIA, Bone.FIBULA))
    forward = follow @ np.array([0.0, 1.0, 0.0])
    step = _slide(femur, _near(knee, Bone.PATELLA), forward, gaps[Bone.PATELLA])
    knee = knee.transformed(step, (Bone.PATELLA,))
    tibia = _Wall(knee.surfaces[Bone.TIBIA])
    fibula_middle, tibia_middle = (
        knee.surfaces[bone].vertices.mean(axis=0) for bone in (Bone.FIBULA, Bone.TIBIA)
    )
    outwards = fibula_middle - tibia_middle
    outwards = outwards * (1.0, 1.0, 0.0) / np.linalg.norm(outwards[:2])
    fibular_gap = min(max(gaps[Bone.FIBULA], 0.5), 3.0)
    step = _slide(tibia, _near(knee, Bone.FIBULA), outwards, fibular_gap)
    return knee.transformed(step, (Bone.FIBULA,))


def _near(knee: Knee, bone: Bone) -> np.ndarray:
    """Vertices of a bone that can touch another."""
    vertices = knee.surfaces[bone].vertices
    return vertices[np.abs(vertices[:, 2]) < _NEAR + 20.0]


def _slide(wall: _Wall, points: np.ndarray, direction: np.ndarray, gap: float) -> np.ndarray:
    """Translation along ``direction`` after which points and wall are ``gap`` mm apart."""
    travel = 0.0
    for _ in range(6):
        missing = gap - wall.gap(points + travel * direction)
        travel = float(np.clip(travel + missing, -15.0, 15.0))
        if abs(missing) < 0.05:
            break
    step = np.eye(4)
    step[:3, 3] = travel * direction
    return step


def joint_gaps(knee: Knee) -> dict[Bone, float]:
    """Smallest distances femur–tibia, femur–patella and tibia–fibula, mm, by the moving bone."""
    femur, tibia = _Wall(knee.surfaces[Bone.FEMUR]), _Wall(knee.surfaces[Bone.TIBIA])
    return {
        Bone.TIBIA: femur.gap(_near(knee, Bone.TIBIA)),
        Bone.PATELLA: femur.gap(_near(knee, Bone.PATELLA)),
        Bone.FIBULA: tibia.gap(_near(knee, Bone.FIBULA)),
    }
