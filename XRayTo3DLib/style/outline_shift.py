"""How far a translation of style has moved the outlines of the bones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from XRayTo3DLib.reconstruction.projected import resampled

_SCALE = 1.0
"""Pixels: standard deviation of the Gaussian whose derivative is the gradient."""

_STEP = 0.1
"""Pixels between samples along a normal; a parabola finds the peak between them."""

_LOOK = 2.0
"""Pixels to either side of the true outline in which the film's own edge is looked for."""

_MOVE = 2.0
"""Pixels by which an edge may have moved; beyond, it counts as lost."""

_SHARE = 0.5
"""Of the highest peak there: a lower one is not taken for the edge, however near."""

_FAINT = 0.01
"""Grey per pixel below which a film shows no edge that could move."""

_CLOSE = 4
"""Points of an outline nearer to the film's border than this are left out, pixels."""


@dataclass(frozen=True)
class OutlineShift:
    """Displacements along the outlines' normals.

    Attributes:
        mean: mean absolute displacement, mm at the isocentre.
        p95: 95th percentile of the absolute displacement, mm.
        bias: mean displacement, mm, positive into the bone.
        lost: share of the film's edges that have none within 2 pixels in the translation.
        points: edges that were measured, those lost among them.
    """

    mean: float
    p95: float
    bias: float
    lost: float
    points: int

    @classmethod
    def of(cls, shifts: np.ndarray) -> OutlineShift:
        """Of the values that :func:`outline_shifts` gives."""
        found = shifts[np.isfinite(shifts)]
        if len(found) == 0:
            return cls(np.nan, np.nan, np.nan, 1.0 if len(shifts) else np.nan, len(shifts))
        return cls(
            mean=float(np.abs(found).mean()),
            p95=float(np.percentile(np.abs(found), 95)),
            bias=float(found.mean()),
            lost=float(1.0 - len(found) / len(shifts)),
            points=len(shifts),
        )


def outline_shifts(
    before: np.ndarray, after: np.ndarray, contours: Sequence[np.ndarray], spacing: float
) -> np.ndarray:
    """How far the edge at each point of the outlines has moved along their normal.

    An edge is where the derivative along the normal is largest in size (Canny, IEEE TPAMI 8(6),
    1986); in the translation, the nearest steep place of the same sign within 2 pixels of there.

    Args:
        before: the film, ``(rows, columns)``.
        after: its translation, same shape.
        contours: outlines of the bones on it, each ``(n, 2)`` pixel (row, column), closed or not,
            the bone on the right-hand side, as
            :func:`XRayTo3DLib.reconstruction.projected.outline` gives them.
        spacing: mm between pixels, at the isocentre.

    Returns:
        mm, positive into the bone, one for each point where the film has an edge; NaN where the
        translation has none.
    """
    shifts = [_shifts(before, after, contour) * spacing for contour in contours]
    return np.concatenate([np.zeros(0), *shifts])


def _shifts(before: np.ndarray, after: np.ndarray, contour: np.ndarray) -> np.ndarray:
    points, normals = _points_and_normals(contour)
    rows, columns = before.shape
    inside = np.all((points >= _CLOSE) & (points <= (rows - 1 - _CLOSE, columns - 1 - _CLOSE)), 1)
    points, normals = points[inside], normals[inside]
    reach = _LOOK + _MOVE
    count = round(reach / _STEP)
    offsets = np.arange(-count, count + 1) * _STEP
    first = _derivatives(before, points, normals, offsets)
    middle = np.zeros(len(points))
    start = _peaks(np.abs(first), offsets, middle, _LOOK, share=1.0)
    there = np.isfinite(start)
    points, normals, first, start = points[there], normals[there], first[there], start[there]
    nearest = np.abs(offsets - start[:, None]).argmin(axis=1)
    height = np.take_along_axis(first, nearest[:, None], axis=1)[:, 0]
    strong = np.abs(height) >= _FAINT
    second = _derivatives(after, points[strong], normals[strong], offsets)
    second = second * np.sign(height[strong])[:, None]
    return _peaks(second, offsets, start[strong], _MOVE, share=_SHARE) - start[strong]


def _points_and_normals(contour: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A point every pixel and the unit normals into the bone, ``(n, 2)`` each."""
    closed = bool(np.array_equal(contour[0], contour[-1]))
    points = resampled(contour, 1.0)
    mode = "wrap" if closed else "nearest"
    # The contour of a mask is a staircase.
    smooth = ndimage.gaussian_filter1d(points, 3.0, axis=0, mode=mode)
    tangents = ndimage.correlate1d(smooth, [-0.5, 0.0, 0.5], axis=0, mode=mode)
    normals = np.stack([tangents[:, 1], -tangents[:, 0]], axis=1)
    lengths = np.linalg.norm(normals, axis=1)
    kept = lengths > 0
    return points[kept], normals[kept] / lengths[kept, None]


def _derivatives(
    film: np.ndarray, points: np.ndarray, normals: np.ndarray, offsets: np.ndarray
) -> np.ndarray:
    """Derivatives along normals, grey per pixel, ``(points, offsets)``."""
    places = points[:, None] + offsets[:, None] * normals[:, None]
    total = np.zeros(places.shape[:2])
    for axis in (0, 1):
        order = [0, 0]
        order[axis] = 1
        slope = ndimage.gaussian_filter(film.astype(float), _SCALE, order=order, mode="nearest")
        sampled = ndimage.map_coordinates(slope, places.reshape(-1, 2).T, order=3, mode="nearest")
        total += sampled.reshape(total.shape) * normals[:, None, axis]
    return total


def _peaks(
    profiles: np.ndarray, offsets: np.ndarray, middle: np.ndarray, reach: float, share: float
) -> np.ndarray:
    """Offset of a peak of each row, NaN where there is none.

    The one nearest to ``middle`` (one a row) of all peaks within ``reach`` of it that are at least
    ``share`` as high as the highest of them.
    """
    inner = profiles[:, 1:-1]
    distance = np.abs(offsets[1:-1] - middle[:, None])
    peak = (inner > profiles[:, :-2]) & (inner >= profiles[:, 2:]) & (inner > 0)
    peak &= distance <= reach + 1e-9
    heights = np.where(peak, inner, 0.0)
    peak &= heights >= share * heights.max(axis=1, keepdims=True)
    place = np.where(peak, distance, np.inf).argmin(axis=1) + 1
    row = np.arange(len(profiles))
    left, top, right = (profiles[row, place + step] for step in (-1, 0, 1))
    curvature = left - 2.0 * top + right
    beside = 0.5 * (left - right) / np.where(curvature < 0, curvature, -1.0)
    return np.where(peak.any(axis=1), offsets[place] + _STEP * beside, np.nan)
