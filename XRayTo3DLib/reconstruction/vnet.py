"""The 3D network: encoder, decoder and skips."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from XRayTo3DLib.reconstruction.layers import Convolution3d, convolution_pair


class VNet(nn.Module):
    """Encoder and decoder in 3D with concatenating skips (Milletari et al. 2016; Kasten 2020).

    Args:
        channels: of the input.
        classes: of the output.
        base: channels of the finest level.
        levels: resolutions.
        upscale: each voxel becomes this many along each axis at the output, from features of its
            own (sub-voxel convolution, after Shi et al. 2016), which spares the full-resolution
            convolutions in which the time would go.
        norm_group: channels that are normalised together.
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        base: int,
        levels: int,
        upscale: int,
        norm_group: int = 1,
    ) -> None:
        super().__init__()
        widths = [base * 2**level for level in range(levels)]
        self.down = nn.ModuleList(
            convolution_pair(Convolution3d, a, b, norm_group)
            for a, b in zip([channels, *widths[:-1]], widths, strict=True)
        )
        self.rise = nn.ModuleList(
            nn.ConvTranspose3d(2 * width, width, 2, stride=2) for width in widths[:-1]
        )
        self.up = nn.ModuleList(
            convolution_pair(Convolution3d, 2 * width, width, norm_group) for width in widths[:-1]
        )
        self.upscale = upscale
        kernel = 1 if upscale == 1 else 3
        self.head = nn.Conv3d(base, classes * upscale**3, kernel, padding=kernel // 2)

    def forward(self, volume: Tensor) -> Tensor:
        """``(B, channels, z, y, x)`` to ``(B, classes, z·u, y·u, x·u)``."""
        skips: list[Tensor] = []
        for level, block in enumerate(self.down):
            volume = block(volume if level == 0 else F.max_pool3d(volume, 2))
            skips.append(volume)
        volume = skips.pop()
        for rise, block in zip(reversed(self.rise), reversed(self.up), strict=True):
            volume = block(torch.cat([rise(volume), skips.pop()], dim=1))
        return voxel_shuffle(self.head(volume), self.upscale)


def voxel_shuffle(scores: Tensor, upscale: int) -> Tensor:
    """``(B, C·u³, z, y, x)`` to ``(B, C, z·u, y·u, x·u)``."""
    if upscale == 1:
        return scores
    batch, channels, z, y, x = scores.shape
    parts = scores.reshape(batch, channels // upscale**3, upscale, upscale, upscale, z, y, x)
    parts = parts.permute(0, 1, 5, 2, 6, 3, 7, 4)
    return parts.reshape(batch, -1, z * upscale, y * upscale, x * upscale)
