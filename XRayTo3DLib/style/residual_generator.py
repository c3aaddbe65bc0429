"""The generator of a CycleGAN: a small ResNet that corrects what it is given."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ResidualGenerator(nn.Module):
    """A film in, the same film in another style out: input plus a correction.

    The ResNet of Johnson et al. (ECCV 2016) as Zhu et al. (ICCV 2017) use it, narrowed to 64
    channels and four blocks. Two changes keep the anatomy where it is: the network adds to its
    input, and its last layer starts at zero, so that training begins at the identity; and it
    enlarges by interpolation instead of transposed convolution, which leaves chequered patterns
    (Odena et al., Distill 2016).

    Args:
        base: channels at full resolution; twice and four times as many below.
        blocks: residual blocks at a quarter of the resolution.
    """

    def __init__(self, base: int = 16, blocks: int = 4) -> None:
        super().__init__()
        layers: list[nn.Module] = [*_unit(1, base, 7), *_unit(base, 2 * base, 3, stride=2)]
        layers += _unit(2 * base, 4 * base, 3, stride=2)
        layers += [_Block(4 * base) for _ in range(blocks)]
        for channels in (4 * base, 2 * base):
            layers.append(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False))
            layers += _unit(channels, channels // 2, 3)
        self.body = nn.Sequential(*layers)
        self.last = nn.Conv2d(base, 1, 7, padding=3, padding_mode="reflect")
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, films: Tensor) -> Tensor:
        """Films ``(B, 1, rows, columns)`` in 0–1, sides divisible by 4, in the other style.

        The result has the same shape; it may leave 0–1 by a little.
        """
        return films + torch.tanh(self.last(self.body(films)))


class _Block(nn.Module):
    """Two convolutions beside a straight way."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*_unit(channels, channels, 3), *_unit(channels, channels, 3)[:2])

    def forward(self, features: Tensor) -> Tensor:
        return features + self.body(features)


def _unit(channels_in: int, channels_out: int, size: int, stride: int = 1) -> list[nn.Module]:
    """Convolution, instance normalisation, ReLU."""
    return [
        nn.Conv2d(
            channels_in,
            channels_out,
            size,
            stride=stride,
            padding=size // 2,
            padding_mode="reflect",
            bias=False,
        ),
        nn.InstanceNorm2d(channels_out, affine=True),
        nn.ReLU(inplace=True),
    ]
