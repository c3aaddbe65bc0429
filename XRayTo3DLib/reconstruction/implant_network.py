"""The network that marks metal on a film, pixel by pixel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from XRayTo3DLib.imaging.quantiles import masked_quantiles, sampling_step
from XRayTo3DLib.reconstruction.weights import LICENCE, LoadedNetwork, load_network, save_network
from XRayTo3DLib.resources import resource_path

STEP = 0.68
"""mm between the pixels that it sees, at the isocentre; the thinnest screws span four."""

_KEY = "xrayto3d-metal"
_BRIGHTEST = 2.0
"""Grey up to which brightness is told apart, where bone ends at 1: the networks that look for bones
clip it there, and with it the difference between bone and metal."""


_EXTREME = 0.004
"""Share of a film's greys at either end that count as blackest and whitest: one of 8 bits."""
_AROUND = 8
"""Pixels to each side that a pixel is compared with: the square is as wide as a plate."""
_GRAIN = 0.01
"""Standard deviation of greys that counts as none."""


@dataclass(frozen=True)
class ImplantSettings:
    """What defines the network; stored with its weights.

    Attributes:
        base: channels of the finest level; they double from level to level, up to fourfold.
        levels: of the U-Net; the finest has half the film's resolution.
    """

    base: int = 8
    levels: int = 4


class ImplantNetwork(nn.Module):
    """A U-Net (Ronneberger et al., MICCAI 2015) from a film to how likely each pixel is metal.

    Two by two pixels go in and come out together, at a quarter of the price. Features are
    normalised by batches, not film by film: on a film without metal, the latter raises the little
    that looks like it.
    """

    def __init__(self, settings: ImplantSettings) -> None:
        super().__init__()
        self.settings = settings
        widths = [settings.base * min(2**level, 4) for level in range(settings.levels)]
        self.down = nn.ModuleList(
            _convolution_pair(a, b) for a, b in zip([8, *widths[:-1]], widths, strict=True)
        )
        self.up = nn.ModuleList(
            _convolution_pair(coarse + fine, fine)
            for fine, coarse in zip(widths[:-1], widths[1:], strict=True)
        )
        self.exit = nn.Conv2d(settings.base, 4, 1)

    def forward(self, films: Tensor) -> Tensor:
        """Logits of metal, ``(B, 1, rows, columns)``.

        Args:
            films: ``(B, 2, rows, columns)`` as of :func:`as_seen`, any size.
        """
        rows, columns = films.shape[-2:]
        whole = 2**self.settings.levels
        padding = (0, -columns % whole, 0, -rows % whole)
        image = F.pixel_unshuffle(F.pad(films, padding, mode="replicate"), 2)
        image = image.contiguous(memory_format=torch.channels_last)
        skips: list[Tensor] = []
        for level, block in enumerate(self.down):
            image = block(image if level == 0 else F.max_pool2d(image, 2))
            skips.append(image)
        image = skips.pop()
        for block in reversed(self.up):
            skip = skips.pop()
            image = F.interpolate(image, skip.shape[-2:], mode="bilinear", align_corners=False)
            image = block(torch.cat([image, skip], dim=1))
        return F.pixel_shuffle(self.exit(image), 2)[..., :rows, :columns]


def _convolution_pair(channels_in: int, channels_out: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (channels_in, channels_out):
        layers += [
            nn.Conv2d(channels, channels_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


def as_seen(film: Tensor) -> Tensor:
    """What the network sees of a film: its greys, and how each pixel differs from those about it.

    Greys are shown from the film's 1st to its 98th percentile as 0–1, and what is brighter as more.
    The blackest and the whitest are paint, saturation and air; they say nothing about the exposure,
    and are left out of the percentiles. Differences are told in standard deviations of the greys
    within :data:`_AROUND` pixels, whatever the tone of the film there.

    Args:
        film: ``(rows, columns)``, bone bright, any range.

    Returns:
        ``(2, rows, columns)`` float32, in [-1, 2] and in [-1, 1]; 0 where there is no contrast.
    """
    film = film.float()
    stride = sampling_step(film)
    sample = film[None, ::stride, ::stride]
    darkest, brightest = film.min(), film.max()
    margin = _EXTREME * (brightest - darkest)
    exposed = (sample > darkest + margin) & (sample < brightest - margin)
    low, high = masked_quantiles(sample, exposed, (0.01, 0.98))
    scale = torch.where(high > low, 1.0 / (high - low).clamp_min(1e-20), 0.0)
    greys = ((film - low) * scale).clamp(-1.0, _BRIGHTEST)
    mean, square = (_mean_around(part) for part in (greys, greys.square()))
    spread = (square - mean.square()).clamp_min(0.0).sqrt()
    return torch.stack([greys, ((greys - mean) / (3.0 * (spread + _GRAIN))).clamp(-1.0, 1.0)])


def _mean_around(image: Tensor) -> Tensor:
    """Mean over a square; at the rim, over what of it lies on the film."""
    size, reach = 2 * _AROUND + 1, _AROUND
    image = F.avg_pool2d(image[None, None], (size, 1), 1, (reach, 0), count_include_pad=False)
    return F.avg_pool2d(image, (1, size), 1, (0, reach), count_include_pad=False)[0, 0]


def save_implant_network(network: ImplantNetwork, path: Path, card: Mapping[str, Any]) -> None:
    """Write the weights, ``path`` ending in .safetensors, with plain values for the reader."""
    save_network(network, path, _KEY, dict(card), LICENCE)


def load_implant_network(path: Path) -> LoadedNetwork[ImplantNetwork]:
    """The network, ready to run, with the values that were saved with it.

    Raises:
        InputFileError: the file holds something else, or is damaged.
    """
    unfit = "holds no weights that mark metal; install XRayTo3D again."
    return load_network(
        path, _KEY, lambda settings: ImplantNetwork(ImplantSettings(**settings)), unfit
    )


@lru_cache(maxsize=1)
def shipped_implant_network() -> ImplantNetwork:
    """The network that comes with the program."""
    return load_implant_network(resource_path("Models", "knee-metal.safetensors")).network
