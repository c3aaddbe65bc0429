"""A calibration ball or a clicked length on a film: how large its pixels are.

The ball is looked for by votes of edges for the middles of circles (radial symmetry; Loy and
Zelinsky, IEEE PAMI 25, 2003, with radii from the film), and its edge is then fitted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from skimage.measure import block_reduce

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.centres import Pixel
from XRayTo3DLib.imaging.radiograph import Origin, Radiograph
from XRayTo3DLib.reconstruction.joint_scale import FilmScale

DIAMETERS = (5.0, 60.0)
"""mm of balls that are used."""

DEPTH_DOUBT = 20.0
"""mm by which ball or ruler may be nearer to the tube than the middle of the knee, or further
(standard deviation)."""

CLICK_DOUBT = 1.5
"""Pixels by which either end of a clicked length may be off."""

_SPACING = (0.05, 1.0)
"""mm at the isocentre between pixels of films."""

_LONGEST = 640
"""Pixels of the longer side of the picture in which a ball is looked for."""

_SECTORS = 96
_ROUND = 0.75
"""Share of a ball's rim that must be a sharp edge."""

_EVEN = 0.5
"""Spread of a ball's inside, as a share of its contrast: a ball of steel is white throughout."""

_BEST_GUESSES = 6


@dataclass(frozen=True)
class Ball:
    """A ball on a film.

    Attributes:
        centre: pixel (row, column).
        radius: pixels.
        radius_sd: pixels, standard error of the radius.
    """

    centre: Pixel
    radius: float
    radius_sd: float


def scale_by_ball(film: Radiograph, diameter: float) -> tuple[FilmScale, Ball]:
    """The scale by a metal ball beside the knee.

    Args:
        film: on which pixels are square.
        diameter: mm, of the ball itself.

    Raises:
        XRayTo3DError: a diameter that no ball has, or no ball on the film.
    """
    low, high = DIAMETERS
    if not low <= diameter <= high:
        raise XRayTo3DError(
            f"A calibration ball measures {low:g} to {high:g} mm across, not {diameter:g}; give "
            "the diameter of the ball itself with --ball."
        )
    radii = tuple(diameter / 2 / step for step in reversed(_SPACING))
    ball = find_ball(film.pixels, (radii[0], radii[1]))
    if ball is None:
        name = film.path.name if film.path else "The film"
        raise XRayTo3DError(
            f"{name}: no calibration ball was found; give a known length with --ruler, or the "
            "pixel spacing with --spacing."
        )
    step = diameter / 2 / ball.radius
    relative = math.hypot(ball.radius_sd / ball.radius, DEPTH_DOUBT / film.sod.value)
    note = f"a ball of {diameter:g} mm, {2 * ball.radius:.1f} pixels across"
    return FilmScale((step, step), relative * step, Origin.FOUND, note), ball


def scale_by_ruler(film: Radiograph, start: Pixel, end: Pixel, length: float) -> FilmScale:
    """The scale by a length that the user clicked, beside the knee.

    Args:
        film: on which pixels are square.
        start: pixel (row, column) of its one end.
        end: of the other.
        length: mm.

    Raises:
        XRayTo3DError: a length of nothing, or so few pixels that it says nothing.
    """
    pixels = math.hypot(end[0] - start[0], end[1] - start[1])
    if not (math.isfinite(length) and length > 0):
        raise XRayTo3DError(f"The length of --ruler must be more than 0 mm, not {length:g}.")
    if not pixels >= 20:
        raise XRayTo3DError(
            f"The ends of --ruler are {pixels:.0f} pixels apart; take two that are further apart."
        )
    step = length / pixels
    if not _SPACING[0] / 2 <= step <= 2 * _SPACING[1]:
        raise XRayTo3DError(
            f"--ruler makes a pixel {step:.3g} mm; check its ends (row,column,row,column) and its "
            "length in mm."
        )
    relative = math.hypot(math.sqrt(2) * CLICK_DOUBT / pixels, DEPTH_DOUBT / film.sod.value)
    note = f"{length:g} mm clicked, {pixels:.0f} pixels long"
    return FilmScale((step, step), relative * step, Origin.USER, note)


def find_ball(pixels: np.ndarray, radii: tuple[float, float]) -> Ball | None:
    """The roundest bright disc of even grey; None where there is none.

    Args:
        pixels: ``(rows, columns)``, metal bright.
        radii: pixels, from and to.
    """
    block = max(1, math.ceil(max(pixels.shape) / _LONGEST))
    coarse = block_reduce(pixels, (block, block), np.mean).astype(np.float64)
    guesses = _guesses(coarse, max(2.0, radii[0] / block), radii[1] / block)
    shift = (block - 1) / 2
    fitted = [
        _fitted(pixels, (row * block + shift, column * block + shift), radius * block)
        for row, column, radius in guesses
    ]
    balls = [entry for entry in fitted if entry is not None]
    if not balls:
        return None
    best = max(balls, key=lambda entry: entry[1])[0]
    return best if radii[0] * 0.9 <= best.radius <= radii[1] * 1.1 else None


def _guesses(picture: np.ndarray, low: float, high: float) -> list[tuple[float, float, float]]:
    """(row, column, radius) of circles that most strong edges point into the middle of."""
    high = min(high, min(picture.shape) / 3)
    if high < low:
        return []
    gradient = [ndimage.gaussian_filter(picture, 1.0, order=order) for order in ((1, 0), (0, 1))]
    strength = np.hypot(gradient[0], gradient[1])
    edge = strength > np.quantile(strength, 0.9)
    rows, columns = np.nonzero(edge)
    unit = np.stack([part[edge] for part in gradient]) / strength[edge]
    found = []
    for radius in np.geomspace(low, high, max(2, math.ceil(math.log(high / low) / math.log(1.08)))):
        at = np.stack([rows, columns]) + radius * unit  # bright inside: gradients point inwards
        inside = [(axis >= 0) & (axis <= n - 1) for axis, n in zip(at, picture.shape, strict=True)]
        index = np.round(at[:, inside[0] & inside[1]]).astype(int)
        votes = np.zeros(picture.shape)
        np.add.at(votes, tuple(index), 1.0)
        votes = ndimage.gaussian_filter(votes, max(1.0, 0.08 * radius)) * 2 * math.pi
        share = votes * max(1.0, 0.08 * radius) ** 2 / (2 * math.pi * radius)
        row, column = np.unravel_index(share.argmax(), share.shape)
        found.append((float(share.max()), float(row), float(column), float(radius)))
    found.sort(reverse=True)
    return [(row, column, radius) for _, row, column, radius in found[:_BEST_GUESSES]]


def _fitted(pixels: np.ndarray, centre: Pixel, radius: float) -> tuple[Ball, float] | None:
    """The circle through the steepest edges around a guess, and how good a ball it is."""
    for _ in range(3):
        points = _rim(pixels, centre, radius)
        # Kåsa's circle (IEEE Trans. Instrum. Meas. 25, 1976), twice, without what lies off it.
        keep = np.ones(len(points), dtype=bool)
        for _ in range(3):
            if keep.sum() < _ROUND * _SECTORS * 0.8:
                return None
            middle, size = _circle(points[keep])
            off = np.linalg.norm(points - middle, axis=1) - size
            keep = np.abs(off) < max(1.0, 0.03 * size)
        centre, radius = (float(middle[0]), float(middle[1])), size
    share = float(keep.mean())
    if share < _ROUND or radius < 2.0:
        return None
    rows, columns = np.ogrid[: pixels.shape[0], : pixels.shape[1]]
    away = np.hypot(rows - centre[0], columns - centre[1])
    inside, ring = away < 0.8 * radius, (away > 1.15 * radius) & (away < 1.4 * radius)
    if not ring.any() or not inside.any():
        return None
    contrast = float(np.median(pixels[inside]) - np.median(pixels[ring]))
    if contrast <= 0 or float(np.std(pixels[inside])) > _EVEN * contrast:
        return None
    error = float(np.std(off[keep]) / math.sqrt(keep.sum()))
    quality = share * contrast / (float(np.ptp(pixels)) + 1e-9)
    return Ball(centre, radius, max(error, 0.1)), quality


def _rim(pixels: np.ndarray, centre: Pixel, radius: float) -> np.ndarray:
    """The steepest fall of brightness along rays from the middle, ``(sectors, 2)``."""
    angle = np.linspace(0.0, 2 * np.pi, _SECTORS, endpoint=False)
    ray = np.stack([np.sin(angle), np.cos(angle)], axis=-1)
    along = np.arange(0.7 * radius, 1.35 * radius + 1.0, 0.5)
    at = np.array(centre) + along[:, None, None] * ray
    values = ndimage.map_coordinates(pixels, at.transpose(2, 0, 1), order=1, mode="nearest")
    fall = -np.gradient(ndimage.gaussian_filter1d(values, 2.0, axis=0), axis=0)
    best = fall.argmax(axis=0)
    return np.array(centre) + along[best, None] * ray


def _circle(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Middle and radius of the circle that fits points best (algebraically)."""
    matrix = np.column_stack([2 * points, np.ones(len(points))])
    solution = np.linalg.lstsq(matrix, (points**2).sum(axis=1), rcond=None)[0]
    middle = solution[:2]
    return middle, float(np.sqrt(max(solution[2] + middle @ middle, 0.0)))
