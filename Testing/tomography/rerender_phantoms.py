"""Volumes whose pictures are known by heart: balls and cylinders."""

from __future__ import annotations

import numpy as np

from XRayTo3DLib.imaging.geometry import ViewGeometry
from XRayTo3DLib.imaging.grid import VolumeGrid


def inside_ball(
    grid: VolumeGrid, centre: tuple[float, float, float], radius: float, parts: int = 3
) -> np.ndarray:
    """Share of each voxel within a ball, ``(z, y, x)`` float32, from ``parts``³ points in each."""
    offsets = ((np.arange(parts) + 0.5) / parts - 0.5) * grid.spacing
    x, y, z = grid.axes()
    total = np.zeros(grid.shape, dtype=np.float32)
    for dz in offsets:
        for dy in offsets:
            for dx in offsets:
                squared = (
                    (x + dx - centre[0])[None, None, :] ** 2
                    + (y + dy - centre[1])[None, :, None] ** 2
                    + (z + dz - centre[2])[:, None, None] ** 2
                )
                total += squared <= radius**2
    return total / parts**3


def chords(
    view: ViewGeometry, centre: tuple[float, float, float], radius: float
) -> tuple[np.ndarray, np.ndarray]:
    """mm of each ray within a ball, and mm by which it misses the centre, ``(rows, columns)``."""
    towards = view.pixel_positions() - view.source
    towards /= np.linalg.norm(towards, axis=-1, keepdims=True)
    miss = np.linalg.norm(np.cross(towards, np.array(centre) - view.source), axis=-1)
    return 2.0 * np.sqrt(np.clip(radius**2 - miss**2, 0.0, None)), miss
