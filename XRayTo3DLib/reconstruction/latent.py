"""The rival of Chen et al.: films to one vector, the vector to a volume."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from XRayTo3DLib.reconstruction.layers import Convolution3d, convolution_pair

_FILM_LEVELS = 6
_START = 4
"""Voxels a side of the volume into which the vector is unfolded."""


class LatentNetwork(nn.Module):
    """A 2D encoder, a one-dimensional bottleneck and a 3D decoder, without skips.

    After Chen, Yan and Fang 2020 ("Using CNN to recover the 3D shape of knee bones from two X-ray
    images"), as Kasten et al. 2020 describe it. It knows nothing of the films' geometry.

    Args:
        classes: of the output.
        film_size: pixels a side of the films; a multiple of 64.
        size: voxels a side of the output; 4 times a power of 2.
        film_base: channels of the first 2D level; they double up to 16 times as many.
        base: channels of the last 3D level; they double towards the vector.
        length: of the vector.
        norm_group: channels that are normalised together.
    """

    def __init__(
        self,
        classes: int,
        film_size: int,
        size: int,
        film_base: int,
        base: int,
        length: int,
        norm_group: int = 1,
    ) -> None:
        super().__init__()
        rises = (size // _START).bit_length() - 1
        widths = [film_base * min(2**level, 16) for level in range(_FILM_LEVELS)]
        self.encoders = nn.ModuleList(_encoder(widths, norm_group) for _ in range(2))
        features = 2 * widths[-1] * (film_size // 2**_FILM_LEVELS) ** 2
        volumes = [base * min(2**level, 16) for level in range(rises, -1, -1)]
        self._widest = volumes[0]
        self.squeeze = nn.Sequential(nn.Linear(features, length), nn.PReLU())
        self.unfold = nn.Sequential(nn.Linear(length, volumes[0] * _START**3), nn.PReLU())
        self.decoder = nn.Sequential(
            *(_rise(a, b, norm_group) for a, b in zip(volumes[:-1], volumes[1:], strict=True))
        )
        self.head = nn.Conv3d(base, classes, 1)

    def forward(self, films: Tensor) -> Tensor:
        """``(B, 2, rows, columns)`` to ``(B, classes, z, y, x)``."""
        codes = [encode(films[:, view, None]) for view, encode in enumerate(self.encoders)]
        vector = self.squeeze(torch.cat([code.flatten(1) for code in codes], dim=1))
        volume = self.unfold(vector).unflatten(1, (self._widest, _START, _START, _START))
        return self.head(self.decoder(volume))


def _encoder(widths: list[int], norm_group: int) -> nn.Sequential:
    blocks: list[nn.Module] = []
    for before, after in zip([1, *widths[:-1]], widths, strict=True):
        blocks += [convolution_pair(nn.Conv2d, before, after, norm_group), nn.MaxPool2d(2)]
    return nn.Sequential(*blocks)


def _rise(before: int, after: int, norm_group: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose3d(before, after, 2, stride=2),
        convolution_pair(Convolution3d, after, after, norm_group),
    )
