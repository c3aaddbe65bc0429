"""Any film on the detector that the networks know."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from XRayTo3DLib.imaging.geometry import ViewGeometry
from XRayTo3DLib.imaging.normalisation import normalise_film


def standard_film(pixels: np.ndarray, view: ViewGeometry, spacing: float, size: int) -> Tensor:
    """Resample a film onto a square detector centred on the isocentre, and normalise it.

    Args:
        pixels: ``(rows, columns)`` float, bone bright.
        view: where they were taken.
        spacing: mm between the new pixels, at the isocentre.
        size: new pixels a side.

    Returns:
        ``(size, size)`` float32 in [0, 1], on the detector ``view.resampled(spacing, size)``;
        beside the film it is as dark as the film's darkest pixel.
    """
    target = view.resampled(spacing, size)
    corners = view.project(target.pixel_positions()[[0, -1], [0, -1]])
    image = torch.from_numpy(np.ascontiguousarray(pixels, dtype=np.float32))
    darkest = image.min()
    image = (image - darkest)[None, None]
    step = (corners[1] - corners[0]) / (size - 1)
    # Averaging blocks first keeps fine detail from turning into false coarse detail.
    block = [max(1, int(s)) for s in step]
    image = F.avg_pool2d(image, block, ceil_mode=True, count_include_pad=False)
    first = (corners[0] - (np.array(block) - 1) / 2) / block
    rows, columns = (
        torch.as_tensor(first[axis] + np.arange(size) * step[axis] / block[axis]).float()
        for axis in range(2)
    )
    height, width = image.shape[-2:]
    rows = rows * (2.0 / max(height - 1, 1)) - 1.0
    columns = columns * (2.0 / max(width - 1, 1)) - 1.0
    down, right = torch.meshgrid(rows, columns, indexing="ij")
    positions = torch.stack([right, down], dim=-1)[None]
    return normalise_film(F.grid_sample(image, positions, align_corners=True)[0, 0])
