"""Everything of a leg that bone surfaces do not show: cortex, marrow, muscle, fat, skin.

Made of surfaces alone, so that the simulator that consumes it never meets a voxel, and written
without a look at the knee generator of the training, so that a film made from it is foreign to a
network in anatomy as well as in physics.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, gaussian_filter1d, minimum_filter1d
from scipy.spatial import ConvexHull

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.surface import Surface

_LEVEL_STEP = 5.0
_ANGLES = np.linspace(0.0, 2.0 * np.pi, 90, endpoint=False)
_BEYOND_BONE = 80.0
"""mm of soft tissue above and below the bones, so that no film shows its ends."""
_LEAST_THICKNESS = 0.6
_SHAFT_STARTS, _SHAFT_ENDS = 35.0, 115.0
"""mm from the joint between which the cortex grows to its full thickness."""
_CANAL_STARTS, _CANAL_ENDS = 55.0, 120.0
"""mm from the joint between which the marrow canal opens."""
_RELATIVE_CORTEX = {Bone.FEMUR: 1.0, Bone.TIBIA: 0.9, Bone.FIBULA: 0.55, Bone.PATELLA: 0.45}


@dataclass(frozen=True)
class LegShape:
    """What distinguishes one leg from another, beside its bones.

    Attributes:
        cortex: thickness of the femur's cortex at the shaft, mm.
        subchondral: thickness of the bone's shell at the joint, mm.
        soft_tissue: from the bones to the skin, median over the leg, mm.
        fat: thickness of the subcutaneous fat, median, mm.
    """

    cortex: float
    subchondral: float
    soft_tissue: float
    fat: float


def leg_surfaces(
    bones: dict[Bone, Surface], shape: LegShape, generator: np.random.Generator
) -> dict[str, Surface]:
    """The nested surfaces of a leg around given bones.

    Args:
        bones: closed, RAS mm, the joint near z = 0 and the long axis along z.
        shape: thicknesses.
        generator: draws the irregularities.

    Returns:
        ``"skin"`` around ``"muscle"`` around ``"strands"`` (fat between the muscles) and, for each
        bone's ``key``, ``"<key>"`` around ``"<key>/inside"`` (the cortex lies between) and, for the
        long bones, ``"<key>/canal"``.
    """
    surfaces = {}
    for bone, surface in bones.items():
        surfaces[bone.key] = surface
        inside = _inner_surface(bone, surface, shape, generator)
        surfaces[f"{bone.key}/inside"] = inside
        if bone is not Bone.PATELLA:
            surfaces[f"{bone.key}/canal"] = _marrow_canal(inside)
    surfaces.update(_soft_tissue(bones, shape, generator))
    return surfaces


def _inner_surface(
    bone: Bone, surface: Surface, shape: LegShape, generator: np.random.Generator
) -> Surface:
    """The bone without its cortex: thin at the joint, thick at the shaft, irregular throughout."""
    vertices = surface.vertices
    shaft = _smooth_step(np.abs(vertices[:, 2]), _SHAFT_STARTS, _SHAFT_ENDS)
    full = max(shape.cortex * _RELATIVE_CORTEX[bone], shape.subchondral)
    thickness = shape.subchondral + shaft * (full - shape.subchondral)
    thickness *= np.exp(0.25 * _waves(vertices, 25.0, generator))
    thickness = np.maximum(thickness, _LEAST_THICKNESS)
    return Surface(vertices - thickness[:, None] * _vertex_normals(surface), surface.faces)


def _vertex_normals(surface: Surface) -> np.ndarray:
    """``(V, 3)`` unit normals, averaged over neighbours so that neighbours do not cross."""
    a, b, c = (surface.vertices[surface.faces[:, k]] for k in range(3))
    of_faces = np.cross(b - a, c - a)
    normals = np.zeros_like(surface.vertices)
    for k in range(3):
        np.add.at(normals, surface.faces[:, k], of_faces)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    for _ in range(3):
        normals = _average_over_neighbours(normals, surface.faces)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


def _average_over_neighbours(values: np.ndarray, faces: np.ndarray) -> np.ndarray:
    total = values.copy()
    for first, second in ((0, 1), (1, 2), (2, 0)):
        np.add.at(total, faces[:, first], values[faces[:, second]])
        np.add.at(total, faces[:, second], values[faces[:, first]])
    counts = 1 + 2 * np.bincount(faces.ravel(), minlength=len(values))
    return total / counts[:, None]


def _marrow_canal(inside: Surface) -> Surface:
    """The yellow marrow of the shaft: the inside, drawn in to a funnel towards the joint.

    Near the joint the funnel has collapsed onto the axis of the shaft and encloses nothing.
    """
    vertices = inside.vertices
    opening = _smooth_step(np.abs(vertices[:, 2]), _CANAL_STARTS, _CANAL_ENDS)
    far = opening > 0.5
    if far.sum() < 16:
        return Surface(np.zeros((0, 3)), np.zeros((0, 3), dtype=np.int64))
    slope = np.polyfit(vertices[far, 2], vertices[far, :2], 1)
    axis = vertices[:, 2:] * slope[0] + slope[1]
    drawn = np.column_stack(
        [axis + 0.92 * opening[:, None] * (vertices[:, :2] - axis), vertices[:, 2]]
    )
    return Surface(drawn, inside.faces)


def _soft_tissue(
    bones: dict[Bone, Surface], shape: LegShape, generator: np.random.Generator
) -> dict[str, Surface]:
    points = np.concatenate([_points_on_edges(surface) for surface in bones.values()])
    levels = np.arange(
        points[:, 2].min() - _BEYOND_BONE, points[:, 2].max() + _BEYOND_BONE, _LEVEL_STEP
    )
    centres, hull = _hull_radii(points, levels)
    uneven = np.exp(0.2 * _ring_noise(len(levels), generator))
    offset = np.maximum(shape.soft_tissue * _padding(levels) * uneven, 5.0)
    uneven = np.exp(0.35 * _ring_noise(len(levels), generator))
    fat = np.clip(shape.fat * _fat_share(levels) * uneven, 1.5, offset - 2.0)
    skin, muscle = hull + offset, hull + offset - fat
    return {
        "skin": _tube(levels, centres, skin),
        "muscle": _tube(levels, centres, muscle),
        "strands": _strands(levels, centres, hull, muscle, generator),
    }


def _points_on_edges(surface: Surface) -> np.ndarray:
    """Vertices, and points on the edges so that no level finds a gap between coarse triangles."""
    start = surface.vertices[surface.faces].reshape(-1, 3)
    end = surface.vertices[np.roll(surface.faces, -1, axis=1)].reshape(-1, 3)
    rise = np.abs(end[:, 2] - start[:, 2])
    points = [surface.vertices]
    parts = int(np.ceil(rise.max() / _LEVEL_STEP))
    long = rise > _LEVEL_STEP
    for share in np.arange(1, parts) / max(parts, 1):
        points.append(start[long] + share * (end - start)[long])
    return np.concatenate(points)


def _hull_radii(points: np.ndarray, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centre ``(L, 2)`` and radius ``(L, A)`` of the convex hull of the bones near each level."""
    low, high = points[:, 2].min() + 5.0, points[:, 2].max() - 5.0
    hulls = [
        ConvexHull(points[np.abs(points[:, 2] - level) < 12.0, :2])
        for level in np.clip(levels, low, high)
    ]
    middles = np.array([hull.points[hull.vertices].mean(axis=0) for hull in hulls])
    centres = gaussian_filter1d(middles, 3.0, axis=0)
    radii = [_radii(hull, centre) for hull, centre in zip(hulls, centres, strict=True)]
    return centres, gaussian_filter(np.array(radii), (2.0, 2.0), mode=("nearest", "wrap"))


def _radii(hull: ConvexHull, centre: np.ndarray) -> np.ndarray:
    """``(A,)`` distance from a point inside a convex polygon to its edge, in each direction."""
    normals, offsets = hull.equations[:, :2], hull.equations[:, 2]
    approach = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1) @ normals.T
    reach = -(normals @ centre + offsets) / np.where(approach > 1e-9, approach, np.nan)
    return np.nanmin(reach, axis=1)


def _padding(levels: np.ndarray) -> np.ndarray:
    """Relative thickness of what covers the bones, ``(L, A)``: thigh, calf, and the bare shin."""
    front = np.clip(np.sin(_ANGLES), 0, 1)[None, :]
    back = np.clip(-np.sin(_ANGLES), 0, 1)[None, :]
    thigh = _smooth_step(levels, 20.0, 150.0)[:, None]
    calf = _smooth_step(-levels, 10.0, 110.0)[:, None]
    return (
        1.0
        - 0.55 * front * (1 - thigh)
        + 0.6 * thigh
        + 0.9 * back * calf
        + 0.2 * back * (1 - calf)
        - 0.1 * calf
    )


def _fat_share(levels: np.ndarray) -> np.ndarray:
    """Relative thickness of the subcutaneous fat, ``(L, A)``: least in front of the knee."""
    front = np.clip(np.sin(_ANGLES), 0, 1)[None, :]
    knee = np.exp(-((levels / 70.0) ** 2))[:, None]
    return 1.0 - 0.6 * front * knee


def _ring_noise(count: int, generator: np.random.Generator) -> np.ndarray:
    """``(count, A)`` smooth noise of unit spread, periodic in the angle."""
    noise = generator.standard_normal((count, len(_ANGLES)))
    smooth = gaussian_filter(noise, (8.0, 9.0), mode=("nearest", "wrap"))
    return smooth / smooth.std()


def _tube(levels: np.ndarray, centres: np.ndarray, radii: np.ndarray) -> Surface:
    """A closed tube of rings, capped at both ends, faces outwards."""
    count, sides = radii.shape
    angles = np.linspace(0.0, 2.0 * np.pi, sides, endpoint=False)
    rings = np.empty((count, sides, 3))
    rings[..., 0] = centres[:, :1] + radii * np.cos(angles)
    rings[..., 1] = centres[:, 1:] + radii * np.sin(angles)
    rings[..., 2] = levels[:, None]
    ends = np.column_stack([centres[[0, -1]], levels[[0, -1]]])
    index = np.arange(count * sides).reshape(count, sides)
    after = np.roll(index, -1, axis=1)
    low, low_after, high, high_after = index[:-1], after[:-1], index[1:], after[1:]
    bottom, top = count * sides, count * sides + 1
    faces = [
        np.stack([low, low_after, high_after], axis=-1).reshape(-1, 3),
        np.stack([low, high_after, high], axis=-1).reshape(-1, 3),
        np.stack([after[0], index[0], np.full(sides, bottom)], axis=-1),
        np.stack([index[-1], after[-1], np.full(sides, top)], axis=-1),
    ]
    return Surface(np.concatenate([rings.reshape(-1, 3), ends]), np.concatenate(faces))


def _strands(
    levels: np.ndarray,
    centres: np.ndarray,
    hull: np.ndarray,
    muscle: np.ndarray,
    generator: np.random.Generator,
) -> Surface:
    """Fat between the muscles: thin tubes that wind up and down the leg beside the bones."""
    between = np.maximum(muscle - hull, 0.0)
    tubes = []
    for _ in range(int(generator.integers(6, 14))):
        angle = generator.uniform(0, 2 * np.pi) + 0.004 * generator.normal() * levels
        depth = np.clip(0.5 + 0.15 * _wander(len(levels), generator), 0.25, 0.75)
        column = np.round(angle / (2 * np.pi) * len(_ANGLES)).astype(int) % len(_ANGLES)
        row = np.arange(len(levels))
        room = between[row, column]
        distance = hull[row, column] + depth * room
        axis = centres + distance[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
        radius = np.minimum(generator.uniform(1.5, 4.0), 0.22 * minimum_filter1d(room, 5))
        tubes.append(_tube(levels, axis, np.repeat(radius[:, None], 12, axis=1)))
    return _merged(tubes)


def _wander(count: int, generator: np.random.Generator) -> np.ndarray:
    noise = gaussian_filter1d(generator.standard_normal(count), 8.0)
    return noise / noise.std()


def _merged(surfaces: list[Surface]) -> Surface:
    starts = np.cumsum([0] + [len(surface.vertices) for surface in surfaces[:-1]])
    return Surface(
        np.concatenate([surface.vertices for surface in surfaces]),
        np.concatenate(
            [surface.faces + start for surface, start in zip(surfaces, starts, strict=True)]
        ),
    )


def _waves(points: np.ndarray, length: float, generator: np.random.Generator) -> np.ndarray:
    """Smooth noise of unit spread at points in space, features about ``length`` mm apart."""
    directions = generator.standard_normal((8, 3)) / length
    phases = generator.uniform(0, 2 * np.pi, 8)
    return np.sin(2 * np.pi * points @ directions.T / 2 + phases).sum(axis=1) / 2.0


def _smooth_step(values: np.ndarray, start: float, end: float) -> np.ndarray:
    share = np.clip((values - start) / (end - start), 0.0, 1.0)
    return share * share * (3.0 - 2.0 * share)
