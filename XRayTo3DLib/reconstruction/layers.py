"""What the networks are built of."""

from __future__ import annotations

from torch import nn


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
