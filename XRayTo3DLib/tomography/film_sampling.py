"""A film on another detector in the same plane, its greys left as they are; and its white frame."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import binary_erosion, label
from torch import Tensor

from XRayTo3DLib.imaging.geometry import ViewGeometry

_WHITE = 0.005
"""Share of a film's range of greys below its brightest that counts as white."""


def film_on(pixels: np.ndarray, view: ViewGeometry, target: ViewGeometry) -> tuple[Tensor, Tensor]:
    """Resample a film.

    Args:
        pixels: ``(rows, columns)`` float.
        view: where they were taken.
        target: a detector in the plane of ``view``, rows and columns along its own.

    Returns:
        ``(rows, columns)`` float32 on ``target``, and which of its pixels lie on the film, bool.
    """
    rows, columns = target.shape
    corners = view.project(target.pixel_positions()[[0, -1], [0, -1]])
    step = (corners[1] - corners[0]) / (np.array(target.shape) - 1)
    image = torch.from_numpy(np.ascontiguousarray(pixels, dtype=np.float32))[None, None]
    # Averaging blocks first keeps fine detail from turning into false coarse detail.
    block = [max(1, int(s)) for s in step]
    image = F.avg_pool2d(image, block, ceil_mode=True, count_include_pad=False)
    positions, inside = [], []
    for axis, count in enumerate((rows, columns)):
        index = corners[0][axis] + np.arange(count) * step[axis]
        inside.append(torch.from_numpy((index >= -0.5) & (index <= pixels.shape[axis] - 0.5)))
        pooled = (index - (block[axis] - 1) / 2) / block[axis]
        last = max(image.shape[2 + axis] - 1, 1)
        positions.append(torch.from_numpy(pooled * (2.0 / last) - 1.0).float())
    down, right = torch.meshgrid(*positions, indexing="ij")
    where = torch.stack([right, down], dim=-1)[None]
    values = F.grid_sample(image, where, padding_mode="border", align_corners=True)[0, 0]
    return values, inside[0][:, None] & inside[1]


def without_white_edge(greys: Tensor, known: Tensor) -> Tensor:
    """What is left of a film without the white that reaches its edge.

    That is the frame of a collimated film whose polarity was turned over after the blades were
    blackened, or bone beyond the end of the window. Neither says how much attenuates there: taken
    for the thickest bone, a frame bends the tone curve of the whole film.

    Args:
        greys: ``(rows, columns)``, more attenuation brighter.
        known: ``(rows, columns)`` bool, which of them lie on the film.

    Returns:
        ``(rows, columns)`` bool, within ``known``.
    """
    low, high = float(greys[known].min()), float(greys[known].max())
    film = known.numpy()
    parts, _ = label(film & (greys > high - _WHITE * (high - low)).numpy())
    at_edge = np.unique(parts[film & ~binary_erosion(film)])
    return known & torch.from_numpy(~np.isin(parts, at_edge[at_edge > 0]))
