"""Shaft axes, joint line and width of the condyles, measured in silhouettes of a knee.

All lengths are in mm at the isocentre, all angles in degrees by which a line's upper end leans to
the right of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from torch import Tensor

from XRayTo3DLib.anatomy.bones import Bone

NEAR_SHAFT = (38.0, 80.0)
"""mm from the middle of the joint between which the network's films show the shafts. Bones flare
there, so the middles lean off the axis of the shaft further away: see the population's bias."""

FAR_SHAFT = (90.0, 170.0)
"""mm from the middle of the joint between which a shaft is straight: its anatomical axis."""

_LEAST_LENGTH = 12.0
"""mm of shaft without which it has no direction."""

_LEAST_WIDTH = 8.0
"""mm; less bone than this across the shaft is none."""

_TURNS = 6
_SETTLED = 0.05
_PLATEAU = (0.1, 0.9)
"""Share of the tibia's width within which its upper border is the joint surface."""

_PLATEAU_DEPTH = 25.0
_CONDYLES = 45.0
"""mm above the femur's lowest point within which its condyles are widest."""

_MIDDLE = (2.0, 40.0)
"""mm above the femur's lowest point between which the middle of its condyles is taken."""

_WIDEST = 6.0
"""mm along the axis over which the greatest width is averaged."""


@dataclass(frozen=True)
class Line:
    """A straight line in a picture.

    Attributes:
        point: a pixel (row, column) of it.
        angle: degrees by which its upper end leans to the right.
    """

    point: tuple[float, float]
    angle: float

    @property
    def up(self) -> np.ndarray:
        """Unit vector (down, right) that points along it, upwards."""
        return np.array([-np.cos(np.radians(self.angle)), np.sin(np.radians(self.angle))])

    @property
    def right(self) -> np.ndarray:
        """Unit vector (down, right) that points across it, to the right."""
        return np.array([np.sin(np.radians(self.angle)), np.cos(np.radians(self.angle))])


class BoneProfile:
    """A silhouette as widths and middles along a direction.

    Args:
        silhouette: ``(rows, columns)`` 0–1.
        seen: which pixels are on the film; where the silhouette touches others it is cut.
        along: its ``up`` is the direction, its ``point`` the origin.
        step: mm between pixels.
    """

    def __init__(self, silhouette: np.ndarray, seen: np.ndarray, along: Line, step: float) -> None:
        rows, columns = np.indices(silhouette.shape)
        offset = np.stack([rows - along.point[0], columns - along.point[1]], axis=-1) * step
        height, across = offset @ along.up, offset @ along.right
        # Shared between the two nearest heights, lest an oblique direction make steps.
        place = height / step
        first = int(np.floor(place.min()))
        lower = np.floor(place).astype(int) - first
        share = place - first - lower
        count = int(lower.max()) + 2

        def summed(values: np.ndarray) -> np.ndarray:
            return np.bincount(lower.ravel(), (values * (1 - share)).ravel(), count) + np.bincount(
                lower.ravel() + 1, (values * share).ravel(), count
            )

        area = summed(silhouette)
        self.heights = (np.arange(count) + first) * step
        self.widths = area * step
        """mm of bone across each height."""
        self.middles = summed(silhouette * across) / np.maximum(area, 1e-9)
        """mm to the right of the line."""
        self.whole = summed(silhouette * ~seen) < 0.02 * area + 0.2
        """Whether nothing of it is cut off there."""


def seen_and_inner(on_film: Tensor) -> np.ndarray:
    """Pixels at which a silhouette is not cut: on the film, off the rim of film and picture."""
    seen = np.pad(on_film.numpy(), 1)
    inner = seen.copy()
    for axis in (0, 1):
        for shift in (-2, -1, 1, 2):
            inner &= np.roll(seen, shift, axis)
    return inner[1:-1, 1:-1]


def shaft_axis(
    silhouette: np.ndarray,
    seen: np.ndarray,
    joint: tuple[float, float],
    step: float,
    bone: Bone,
    between: tuple[float, float] = NEAR_SHAFT,
) -> Line | None:
    """The axis of femur or tibia near the knee: a line through the middles of its shaft.

    The line is fitted by least squares to the middles of the silhouette across itself, again until
    it settles. Heights at which the picture or the film cuts the bone are left out.

    Args:
        silhouette: ``(rows, columns)`` 0–1.
        seen: of :func:`seen_and_inner`.
        joint: pixel (row, column) of the middle of the joint.
        step: mm between pixels.
        bone: femur, whose shaft is above the joint, or tibia.
        between: mm from the joint.

    Returns:
        The axis, its point in the middle of what was used; None where too little of the shaft is
        seen.
    """
    up = 1.0 if bone is Bone.FEMUR else -1.0
    line = Line(joint, _direction(silhouette, joint, step, up, between))
    for _ in range(_TURNS):
        profile = BoneProfile(silhouette, seen, line, step)
        height = up * profile.heights
        # Measured from the joint, wherever the point of the line is.
        height = height - up * float((np.array(joint) - line.point) @ line.up) * step
        use = (height >= between[0]) & (height <= between[1])
        use &= profile.whole & (profile.widths > _LEAST_WIDTH)
        if use.sum() * step < _LEAST_LENGTH:
            return None
        slope, intercept = np.polyfit(profile.heights[use], profile.middles[use], 1)
        middle = float(profile.heights[use].mean())
        across = slope * middle + intercept
        point = np.array(line.point) + (middle * line.up + across * line.right) / step
        turn = float(np.degrees(np.arctan(slope)))
        line = Line((float(point[0]), float(point[1])), line.angle + turn)
        if abs(turn) < _SETTLED:
            break
    return line


def _direction(
    silhouette: np.ndarray,
    joint: tuple[float, float],
    step: float,
    up: float,
    between: tuple[float, float],
) -> float:
    """Roughly where a shaft points: from the joint to the middle of what is far from it."""
    rows, columns = np.indices(silhouette.shape)
    offset = np.stack([rows - joint[0], columns - joint[1]], axis=-1) * step
    far = np.hypot(offset[..., 0], offset[..., 1])
    weight = silhouette * (far > between[0]) * (far < between[1]) * (up * offset[..., 0] < 0)
    if weight.sum() * step**2 < _LEAST_LENGTH**2:
        return 0.0
    down, right = up * np.tensordot(weight, offset, axes=([0, 1], [0, 1]))
    return float(np.degrees(np.arctan2(right, -down)))


def joint_line(tibia: np.ndarray, axis: Line, step: float) -> tuple[np.ndarray, np.ndarray]:
    """The tibial plateau: a line through the upper border of the tibia.

    Fitted by the median of the slopes between all pairs of points of the border (Theil and Sen), so
    that the eminence in the middle does not bend it.

    Args:
        tibia: ``(rows, columns)`` 0–1.
        axis: of the tibia, or upright.
        step: mm between pixels.

    Returns:
        Its left and its right end, pixels (row, column).
    """
    # Columns of the tibia seen along its axis: the upper end of each is a point of the border.
    rows, cols = np.indices(tibia.shape)
    offset = np.stack([rows - axis.point[0], cols - axis.point[1]], axis=-1) * step
    height, right = offset @ axis.up, offset @ axis.right
    inside = tibia > 0.5
    top = height[inside].max() if inside.any() else 0.0
    near = inside & (height > top - _PLATEAU_DEPTH)
    if near.sum() * step**2 < 100.0:
        point = np.array(axis.point)
        return point - 30.0 / step * axis.right, point + 30.0 / step * axis.right
    bins = np.round(right[near] / step).astype(int)
    first = bins.min()
    border = np.full(bins.max() - first + 1, -np.inf)
    np.maximum.at(border, bins - first, height[near])
    x = (np.arange(len(border)) + first) * step
    low, high = x[0] + np.array(_PLATEAU) * (x[-1] - x[0])
    use = np.isfinite(border) & (x >= low) & (x <= high)
    x_used, y_used = x[use], border[use]
    i, j = np.triu_indices(len(x_used), 1)
    slope = float(np.median((y_used[j] - y_used[i]) / (x_used[j] - x_used[i])))
    offset_y = float(np.median(y_used - slope * x_used))
    ends = [
        np.array(axis.point) + (end * axis.right + (slope * end + offset_y) * axis.up) / step
        for end in (x[0], x[-1])
    ]
    return ends[0], ends[1]


def condylar_width(
    femur: np.ndarray, patella: np.ndarray, seen: np.ndarray, axis: Line, step: float, lateral: bool
) -> float | None:
    """The greatest width of the femur's condyles across its axis, mm; None where it is cut.

    On a frontal film it is the width over both condyles, on a lateral one their depth.

    Args:
        femur: ``(rows, columns)`` 0–1.
        patella: the same; on a lateral film what lies under it does not count, as a network may
            take part of it for femur.
        seen: of :func:`seen_and_inner`.
        axis: of the femur.
        step: mm between pixels.
        lateral: whether it is a lateral film.
    """
    if lateral:
        femur = femur * (1.0 - patella)
    profile = BoneProfile(_in_one_piece(femur), seen, axis, step)
    there = np.flatnonzero(profile.widths > _LEAST_WIDTH)
    if not len(there):
        return None
    height = profile.heights - profile.heights[there[0]]
    use = (height >= 0) & (height <= _CONDYLES)
    if not profile.whole[use].all():
        return None
    widest = np.sort(profile.widths[use])[::-1][: max(1, round(_WIDEST / step))]
    return float(widest.mean())


def condylar_middle(
    femur: np.ndarray, patella: np.ndarray, axis: Line, step: float, lateral: bool
) -> tuple[float, float] | None:
    """The foot of the femur: at the height of its lowest point, midway between the condyles' sides.

    It goes with the femur however much the knee is bent.

    Args:
        femur: ``(rows, columns)`` 0–1.
        patella: the same; as for :func:`condylar_width`.
        axis: anatomical axis of the femur.
        step: mm between pixels.
        lateral: whether it is a lateral film.

    Returns:
        pixel (row, column), or None without a femur.
    """
    inside = _in_one_piece(femur * (1.0 - patella) if lateral else femur) > 0.5
    if not inside.any():
        return None
    offset = (np.argwhere(inside) - np.array(axis.point)) * step
    height, across = offset @ axis.up, offset @ axis.right
    lowest = height.min()
    condyles = (height > lowest + _MIDDLE[0]) & (height < lowest + _MIDDLE[1])
    if not condyles.any():
        return None
    middle = 0.5 * (across[condyles].min() + across[condyles].max())
    row, column = np.array(axis.point) + (lowest * axis.up + middle * axis.right) / step
    return float(row), float(column)


def _in_one_piece(silhouette: np.ndarray) -> np.ndarray:
    """The silhouette without whatever is apart from its largest piece."""
    pieces, count = ndimage.label(silhouette > 0.5)
    if count < 2:
        return silhouette
    largest = 1 + int(np.bincount(pieces.ravel())[1:].argmax())
    # Its soft rim belongs to it.
    return silhouette * ndimage.binary_dilation(pieces == largest, iterations=2)
