"""Smooth random fields over a picture."""

from __future__ import annotations

import math

import torch
from torch.nn import functional


def smooth_field(
    image: torch.Tensor, width_px: float, generator: torch.Generator | None
) -> torch.Tensor:
    """Gaussian random field of unit variance, correlated over ``width_px`` pixels, ``(H, W)``."""
    height, width = image.shape
    # White noise on a lattice of that width, smoothly interpolated: cheap at any size.
    lattice = [max(2, math.ceil(n / max(width_px, 1.0))) + 3 for n in (height, width)]
    coarse = torch.randn(lattice, generator=generator, device=image.device, dtype=image.dtype)
    field = functional.interpolate(
        coarse[None, None],
        [math.ceil(n * c / (c - 3)) for n, c in zip((height, width), lattice, strict=True)],
        mode="bicubic",
        align_corners=False,
    )[0, 0]
    top, left = (
        (have - want) // 2 for have, want in zip(field.shape, (height, width), strict=True)
    )
    # Interpolation between lattice points averages independent numbers.
    return field[top : top + height, left : left + width] * 1.4
