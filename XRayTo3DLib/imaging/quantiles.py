"""Quantiles of a part of a picture."""

from __future__ import annotations

import torch

_QUANTILE_SIDE = 128
"""Pixels a side that suffice for quantiles."""


def sampling_step(image: torch.Tensor) -> int:
    """Every how many-th row and column of ``(…, H, W)`` is enough for its quantiles."""
    return max(1, min(image.shape[-2:]) // _QUANTILE_SIDE)


def masked_quantiles(
    sample: torch.Tensor, mask: torch.Tensor, quantiles: tuple[float, float]
) -> list[torch.Tensor]:
    """Quantiles ``(B,)`` of ``sample`` ``(B, h, w)`` where ``mask``; all pixels if too few are."""
    mask = mask | (mask.float().mean(dim=(1, 2), keepdim=True) < 0.02)
    values = torch.where(mask, sample, torch.inf).flatten(1).sort(dim=1).values
    last = mask.sum(dim=(1, 2)) - 1
    return [values.gather(1, torch.round(q * last).long()[:, None])[:, 0] for q in quantiles]
