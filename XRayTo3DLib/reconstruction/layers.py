"""What the networks are built of."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

_SMALL = 20480
"""Numbers in batch × channels × planes × rows up to which PyTorch leaves a volume, on a processor,
to a kernel of its own instead of oneDNN's (``use_mkldnn`` in its ``Convolution.cpp``). That takes
up to 14 times as long: 43 ms for 16 to 32 channels at 32³, on four cores, in place of 3."""


class Convolution3d(nn.Conv3d):
    """A convolution that oneDNN works out for small volumes too, where there is oneDNN."""

    def forward(self, volume: Tensor) -> Tensor:
        """``(B, channels, z, y, x)``, as of :class:`torch.nn.Conv3d`."""
        if not _is_left_to_slow_kernel(volume):
            return super().forward(volume)
        return torch.mkldnn_convolution(
            volume,
            self.weight,
            self.bias,
            self.padding,
            self.stride,
            self.dilation,
            self.groups,
        )


def _is_left_to_slow_kernel(volume: Tensor) -> bool:
    return (
        volume.device.type == "cpu"
        and volume.dtype == torch.float32
        and len(volume) == 1
        and math.prod(volume.shape[:4]) <= _SMALL
        and torch.backends.mkldnn.is_available()
        and not torch.is_autocast_enabled("cpu")
    )


def convolution_pair(
    kind: type[nn.Module], channels_in: int, channels_out: int, norm_group: int
) -> nn.Sequential:
    """Twice: 3×3(×3) convolution, group normalisation, PReLU."""
    layers: list[nn.Module] = []
    for channels in (channels_in, channels_out):
        layers += [
            kind(channels, channels_out, 3, padding=1, bias=False),
            nn.GroupNorm(max(1, channels_out // norm_group), channels_out),
            nn.PReLU(channels_out),
        ]
    return nn.Sequential(*layers)
