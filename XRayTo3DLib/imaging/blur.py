"""Gaussian blur at a cost that does not grow with its width."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

NARROWEST_BLUR = 0.2
"""Pixels of standard deviation below which a blur is not worth its time."""


def gaussian_blur(image: torch.Tensor, sigma: float) -> torch.Tensor:
    """Gaussian blur with repeated edges, at a cost that does not grow with its width.

    Wide kernels are applied to a reduced picture.

    Args:
        image: ``(..., H, W)`` float.
        sigma: standard deviation, pixels; below :data:`NARROWEST_BLUR` the picture is
            returned as it is.
    """
    if sigma < NARROWEST_BLUR:
        return image
    height, width = image.shape[-2:]
    images = image.reshape(-1, 1, height, width)
    factor = max(1, min(int(sigma / 4.0), min(height, width) // 8))
    if factor == 1:
        return _convolved(images, sigma).reshape(image.shape)
    padding = (0, -width % factor, 0, -height % factor)
    padded = functional.pad(images, padding, mode="replicate")
    small = functional.avg_pool2d(padded, factor)
    # Averaging and interpolating blur too: the box by (f²-1)/12, the tent by about f²/6 pixels².
    rest = math.sqrt(max(sigma**2 - (factor**2 - 1) / 12 - factor**2 / 6, 0.25)) / factor
    small = _convolved(small, rest)
    size = [padded.shape[-2], padded.shape[-1]]
    large = functional.interpolate(small, size, mode="bilinear", align_corners=False)
    return large[..., :height, :width].reshape(image.shape)


def _convolved(images: torch.Tensor, sigma: float) -> torch.Tensor:
    """Images ``(N, 1, H, W)`` blurred."""
    radius = math.ceil(3.5 * sigma)
    offsets = torch.arange(-radius, radius + 1, device=images.device, dtype=images.dtype)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = kernel / kernel.sum()
    padded = functional.pad(images, (radius,) * 4, mode="replicate")
    rows = functional.conv2d(padded, kernel.reshape(1, 1, -1, 1))
    return functional.conv2d(rows, kernel.reshape(1, 1, 1, -1))
