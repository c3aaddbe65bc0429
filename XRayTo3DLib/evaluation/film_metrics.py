"""Silhouettes compared: all there is to judge by where a film has no true 3D shape."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.evaluation.metrics import dice
from XRayTo3DLib.reconstruction.projected import outline, resampled

_CONTOUR_STEP_PIXELS = 0.2
"""Between the points at which contours are compared: far below what a mask can tell."""


def dice_2d(mask_a: np.ndarray, mask_b: np.ndarray) -> float:
    """Dice coefficient of two silhouettes ``(rows, columns)``; 1 when both are empty.

    Raises:
        XRayTo3DError: the shapes differ, or they are not pictures.
    """
    if mask_a.ndim != 2:
        raise XRayTo3DError(f"A silhouette has rows and columns, not the shape {mask_a.shape}.")
    return dice(mask_a, mask_b)


def contour_distance_2d(
    mask_a: np.ndarray, mask_b: np.ndarray, spacing: tuple[float, float]
) -> float:
    """Mean distance between the outlines of two masks, averaged over both directions, mm.

    Args:
        mask_a: ``(rows, columns)``.
        mask_b: ``(rows, columns)``.
        spacing: mm between pixels, (row, column): at the detector, or at the isocentre for
            distances in the knee.

    Returns:
        0 when neither mask has an outline, infinity when only one has.
    """
    points = [_contour_points(mask, spacing) for mask in (mask_a, mask_b)]
    empty = [len(part) == 0 for part in points]
    if any(empty):
        return 0.0 if all(empty) else float(np.inf)
    there = cKDTree(points[1]).query(points[0])[0].mean()
    back = cKDTree(points[0]).query(points[1])[0].mean()
    return float(there + back) / 2


def _contour_points(mask: np.ndarray, spacing: tuple[float, float]) -> np.ndarray:
    contours = [resampled(contour, _CONTOUR_STEP_PIXELS) for contour in outline(mask)]
    return np.concatenate([np.zeros((0, 2)), *contours]) * np.asarray(spacing)
