"""What the networks see of a film."""

from __future__ import annotations

import torch
from torch.nn import functional

from XRayTo3DLib.imaging.quantiles import masked_quantiles, sampling_step

_FLAT = 2e-3
"""Share of a film's contrast up to which an area counts as flat."""


def normalise_film(film: torch.Tensor) -> torch.Tensor:
    """What the networks see of a film: the 1st to 99th percentile of its exposed field on 0–1.

    Flat areas (painted borders, padding, saturation) say nothing about the exposure and are left
    out of the percentiles; they are clipped like all else. The same function serves training and
    inference. A film without any contrast becomes 0.

    Args:
        film: ``(H, W)`` or ``(B, 1, H, W)`` float, finite, more bone brighter, any range.

    Returns:
        The same shape, float32, in [0, 1].
    """
    stack = film.float().reshape(-1, *film.shape[-2:])
    stride = sampling_step(stack)
    sample = stack[:, ::stride, ::stride]
    low, high = masked_quantiles(sample, _varied(sample), (0.01, 0.99))
    scale = torch.where(high > low, 1.0 / (high - low).clamp_min(1e-20), 0.0)
    stack = ((stack - low[:, None, None]) * scale[:, None, None]).clamp(0.0, 1.0)
    return stack.reshape(film.shape)


def _varied(sample: torch.Tensor) -> torch.Tensor:
    """Which pixels of ``(B, h, w)`` do not belong to a flat area or its blurred rim, bool."""
    stack = sample[:, None]
    extent = stack.amax(dim=(2, 3), keepdim=True) - stack.amin(dim=(2, 3), keepdim=True)
    highest = functional.max_pool2d(stack, 3, stride=1, padding=1)
    lowest = -functional.max_pool2d(-stack, 3, stride=1, padding=1)
    core = (highest - lowest <= _FLAT * extent).float()
    return functional.max_pool2d(core, 5, stride=1, padding=2)[:, 0] == 0
