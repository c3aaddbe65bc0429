"""How far off each place of a reconstructed surface may be, in millimetres.

Across the surface of a bone the network's probability rises from 0 to 1: steeply where it is sure
of the place, slowly where it is not. If the true surface lies a normally distributed distance of
deviation σ from the one shown, the probability at a depth d is Φ(d / σ), and the logarithm of its
odds has the slope 4 / (σ √(2π)) at the surface. So the slope tells σ, but for a factor by which
the network is too sure of itself, or not sure enough: :data:`CALIBRATION`, measured on a person
held out.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.ndimage import map_coordinates

from XRayTo3DLib.anatomy.bones import CLASS_COUNT, Bone
from XRayTo3DLib.anatomy.joint import vertex_normals
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.imaging.grid import VolumeGrid

CALIBRATION = {Bone.FEMUR: 0.64, Bone.TIBIA: 0.72, Bone.PATELLA: 1.10, Bone.FIBULA: 1.12}
"""Root mean square of (error / σ from the slope), of the weights that are shipped, on the person of
validation; ``Testing/benchmarks/uncertainty_study.py`` measures it."""

_FLOOR = 1e-4
"""Keeps the logarithm finite deep inside and far outside."""

_REACH = 1.5
"""mm to either side of the surface over which the slope is taken."""

_RANGE = (0.05, 20.0)
"""mm; a slope of nothing tells no more than that the surface may be anywhere."""


def surface_deviations(
    surfaces: Mapping[Bone, Surface], probabilities: np.ndarray, grid: VolumeGrid
) -> dict[Bone, np.ndarray]:
    """One standard deviation of the surface's place at each vertex, along its normal.

    Args:
        surfaces: RAS mm, as made from the probabilities.
        probabilities: ``(5, z, y, x)``.
        grid: where their voxels are.

    Returns:
        ``(V,)`` mm for each bone. It knows of what a network is unsure about, not of a wrong scale
        or geometry of the films.
    """
    return {
        bone: CALIBRATION[bone] * slope_deviation(surface, bone, probabilities, grid)
        for bone, surface in surfaces.items()
    }


def expected_error(deviation: np.ndarray) -> float:
    """Mean distance between the surface and the truth that deviations stand for, mm."""
    return float(np.sqrt(2.0 / np.pi) * deviation.mean())


def slope_deviation(
    surface: Surface, bone: Bone, probabilities: np.ndarray, grid: VolumeGrid
) -> np.ndarray:
    """σ by the slope alone, ``(V,)`` mm."""
    normals = vertex_normals(surface)
    outer, inner = (
        _log_odds(surface.vertices + side * _REACH * normals, bone, probabilities, grid)
        for side in (1.0, -1.0)
    )
    slope = np.maximum(inner - outer, 1e-9) / (2.0 * _REACH)
    return np.clip(4.0 / (np.sqrt(2.0 * np.pi) * slope), *_RANGE)


def _log_odds(
    points: np.ndarray, bone: Bone, probabilities: np.ndarray, grid: VolumeGrid
) -> np.ndarray:
    """Logarithm of the bone's probability over that of its strongest rival at RAS points."""
    index = grid.to_index(points).T
    at = [
        map_coordinates(probabilities[label], index, order=1, mode="nearest")
        for label in range(CLASS_COUNT)
    ]
    strongest = np.maximum.reduce([at[label] for label in range(CLASS_COUNT) if label != bone])
    return np.log((at[bone] + _FLOOR) / (strongest + _FLOOR))
