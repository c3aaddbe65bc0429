"""Silhouettes compared: all there is to judge by where a film has no true 3D shape."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.evaluation.metrics import dice
from XRayTo3DLib.reconstruction.projected import outline, resampled

_CONTOUR_STEP_PIXELS = 0.2
"""Between the points at which contours are compared: far below what a mask can tell."""

_SMOOTHING_PIXELS = 1.0
"""A mask's outline is a staircase, and the nearest points of one are its corners: as it is, discs
of 50 and 60 pixels come out 0.2 pixels too near; smoothed by this, within 0.1."""


def dice_2d(mask_a: np.ndarray, mask_b: np.ndarray) -> float:
    """Dice coefficient of two silhouettes ``(rows, columns)``; 1 when both are empty.

    Raises:
        XRayTo3DError: the shapes differ, or they are not pictures.
    """
    if mask_a.ndim != 2:
        raise XRayTo3DError(f"A silhouette has rows and columns, not the shape {mask_a.shape}.")
    return dice(mask_a, mask_b)


def contour_distance_2d(
    mask_a: np.ndarray,
    mask_b: np.ndarray,
    spacing: tuple[float, float],
    region: np.ndarray | None = None,
) -> float:
    """Mean distance between the outlines of two masks, averaged over both directions, mm.

    Args:
        mask_a: ``(rows, columns)``.
        mask_b: ``(rows, columns)``.
        spacing: mm between pixels, (row, column): at the detector, or at the isocentre for
            distances in the knee.
        region: ``(rows, columns)`` bool; only points of the outlines within it are measured, always
            to the complete other outline, so that where masks are cut at its border costs nothing.
            All are when None.

    Returns:
        0 when neither mask has an outline (in the region), infinity when only one has.
    """
    contours = [_contour_points(mask) for mask in (mask_a, mask_b)]
    measured = [points[_within(points, region)] for points in contours]
    empty = [len(part) == 0 for part in measured]
    if any(empty):
        return 0.0 if all(empty) else float(np.inf)
    there, back = (
        cKDTree(whole * spacing).query(part * spacing)[0].mean()
        for part, whole in zip(measured, reversed(contours), strict=True)
    )
    return float(there + back) / 2


def _contour_points(mask: np.ndarray) -> np.ndarray:
    smooth = ndimage.gaussian_filter(mask.astype(np.float32), _SMOOTHING_PIXELS, mode="nearest")
    # What is but a pixel wide vanishes when smoothed.
    contours = [
        resampled(contour, _CONTOUR_STEP_PIXELS) for contour in outline(smooth) or outline(mask)
    ]
    return np.concatenate([np.zeros((0, 2)), *contours])


def _within(points: np.ndarray, region: np.ndarray | None) -> np.ndarray:
    if region is None:
        return np.ones(len(points), dtype=bool)
    row, column = np.rint(points).astype(int).T
    return region[row, column].astype(bool)
