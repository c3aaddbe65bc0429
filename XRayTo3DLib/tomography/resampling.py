"""A volume on another grid."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from XRayTo3DLib.imaging.grid import VolumeGrid


def resampled(volume: Tensor, source: VolumeGrid, target: VolumeGrid) -> Tensor:
    """Trilinear interpolation; zero outside the source, fading over its outermost half voxel.

    Args:
        volume: ``(z, y, x)`` or ``(C, z, y, x)`` on ``source``.
        source: where the values are.
        target: where they are wanted.

    Returns:
        the same channels on ``target``.
    """
    if source == target:
        return volume
    channels = volume if volume.dim() == 4 else volume[None]
    axes = [
        torch.as_tensor(
            (wanted - first) / source.spacing * (2.0 / max(count - 1, 1)) - 1.0,
            dtype=volume.dtype,
            device=volume.device,
        )
        for wanted, first, count in zip(
            target.axes(), source.first, source.shape[::-1], strict=True
        )
    ]
    z, y, x = torch.meshgrid(axes[2], axes[1], axes[0], indexing="ij")
    positions = torch.stack([x, y, z], dim=-1)[None]
    result = F.grid_sample(channels[None], positions, padding_mode="zeros", align_corners=True)[0]
    return result if volume.dim() == 4 else result[0]
