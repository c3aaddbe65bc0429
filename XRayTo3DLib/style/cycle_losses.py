"""What a translation of style is judged by while it is learnt."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from XRayTo3DLib.reconstruction.losses import ngcc

_TILE = 32
"""Pixels a side of the tiles in which gradients are compared, about 22 mm."""


def least_squares(scores: Tensor, real: bool) -> Tensor:
    """The adversary's loss: mean squared distance from 1 (real) or 0 (Mao et al., ICCV 2017)."""
    return F.mse_loss(scores, torch.full_like(scores, 1.0 if real else 0.0))


def anatomy_loss(before: Tensor, after: Tensor) -> Tensor:
    """1 − NGCC in tiles: 0 when every edge is where it was, with the same sign.

    In tiles, since over a whole film the thick shafts outweigh the thin outlines of patella and
    fibula. A tile of the first film without contrast has nothing that could move; it is left out.

    Args:
        before: ``(B, 1, rows, columns)``, sides divisible by 32.
        after: same shape.

    Returns:
        scalar, mean over tiles in proportion to the strength of the gradients in ``before``.
    """
    first, second = _tiles(before), _tiles(after)
    agreement = ngcc(first, second)
    # The square root lets faint outlines count beside strong ones.
    strength = first.flatten(-2).std(dim=-1).sqrt()
    return (strength * (1.0 - agreement)).sum() / strength.sum().clamp_min(1e-6)


def _tiles(films: Tensor) -> Tensor:
    """``(B, T, 32, 32)``."""
    batch, _, rows, columns = films.shape
    parts = films.reshape(batch, rows // _TILE, _TILE, columns // _TILE, _TILE)
    return parts.transpose(2, 3).reshape(batch, -1, _TILE, _TILE)
