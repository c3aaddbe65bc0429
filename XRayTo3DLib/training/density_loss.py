"""What the network of densities learns from: the cross-entropy of levels of attenuation."""

from __future__ import annotations

import torch
from torch import Tensor

from XRayTo3DLib.tomography.density_network import BONE_FROM, LEVELS


def level_shares(truth: Tensor) -> Tensor:
    """Shares of the two :data:`LEVELS` between which each attenuation lies, so that they mix to it.

    Args:
        truth: ``(B, z, y, x)`` in units of water's attenuation; beyond the last level counts as it.

    Returns:
        ``(B, levels, z, y, x)``, summing to 1 over the levels.
    """
    levels = torch.tensor(LEVELS, device=truth.device, dtype=truth.dtype)
    truth = truth.clamp(levels[0], levels[-1])
    upper = torch.bucketize(truth.contiguous(), levels).clamp(1, len(LEVELS) - 1)
    above = (truth - levels[upper - 1]) / (levels[upper] - levels[upper - 1])
    shares = truth.new_zeros(truth.shape[0], len(LEVELS), *truth.shape[1:])
    shares.scatter_(1, upper[:, None], above[:, None])
    return shares.scatter_(1, upper[:, None] - 1, 1.0 - above[:, None])


def level_cross_entropy(scores: Tensor, truth: Tensor, bone_weight: float) -> Tensor:
    """Cross-entropy between scores of levels and the truth's shares, mean over voxels.

    Args:
        scores: ``(B, levels, z, y, x)``.
        truth: ``(B, z, y, x)`` in units of water's attenuation.
        bone_weight: how much more a voxel of bone counts than another.
    """
    entropy = -(level_shares(truth) * scores.log_softmax(dim=1)).sum(dim=1)
    weight = 1.0 + (bone_weight - 1.0) * (truth > BONE_FROM)
    return (entropy * weight).sum() / weight.sum()
