"""The networks: two films and their geometry in, five class scores per voxel out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from XRayTo3DLib.anatomy.bones import CLASS_COUNT
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.reconstruction.lifting import lift, parallel_matrices, rescaled


@dataclass(frozen=True)
class NetworkSettings:
    """What defines a network; stored with its weights.

    Attributes:
        lifting: how films become a volume. ``stack``: repeated along their axes, as in Kasten et
            al. 2020; ``backproject``: smeared back along the rays of the stated geometry;
            ``encode``: a 2D network turns each film into features, which are back-projected.
        size: voxels a side of the volume that the 3D network works on.
        upscale: how much finer than that its output is.
        field_of_view: mm a side of the cube.
        base: channels of the finest 3D level; they double from level to level.
        levels: of the 3D network.
        film_size: pixels a side of the films.
        film_spacing: mm between pixels, at the isocentre.
        film_base: channels of the finest 2D level (``encode``).
        film_features: features per view that are lifted (``encode``).
        silhouettes: whether the silhouette of each bone on each film is estimated and lifted as
            well (``encode``); training can then teach the films' network directly.
        norm_group: channels that are normalised together. 1, each by itself, learns many times
            faster than 8 (see docs/training.md).
    """

    lifting: Literal["stack", "backproject", "encode"] = "encode"
    size: int = 64
    upscale: int = 2
    field_of_view: float = 153.6
    base: int = 16
    levels: int = 4
    film_size: int = 256
    film_spacing: float = 0.68
    film_base: int = 16
    film_features: int = 16
    silhouettes: bool = False
    norm_group: int = 1

    def __post_init__(self) -> None:
        """Check what would otherwise fail deep inside torch."""
        if self.lifting not in ("stack", "backproject", "encode"):
            raise XRayTo3DError(
                f"The lifting is stack, backproject or encode, not {self.lifting!r}."
            )
        whole = ("size", "upscale", "base", "levels", "film_size", "film_base", "film_features")
        for name in (*whole, "norm_group", "field_of_view", "film_spacing"):
            if not getattr(self, name) > 0:
                raise XRayTo3DError(
                    f"The network's {name} must be positive, not {getattr(self, name):g}."
                )
        if self.silhouettes and self.lifting != "encode":
            raise XRayTo3DError(
                f"Silhouettes are estimated by the lifting encode, not by {self.lifting}."
            )
        if self.size % 2 ** (self.levels - 1):
            raise XRayTo3DError(
                f"A network of {self.levels} levels needs a size that {2 ** (self.levels - 1)} "
                f"divides, not {self.size}."
            )

    @property
    def work_grid(self) -> VolumeGrid:
        """Where the 3D network works."""
        return VolumeGrid.cube(self.size, self.field_of_view)

    @property
    def output_grid(self) -> VolumeGrid:
        """Where its output lies."""
        return VolumeGrid.cube(self.size * self.upscale, self.field_of_view)


PAPER = NetworkSettings(lifting="stack", size=128, upscale=1, base=8)
"""The network of Kasten et al. 2020: films stacked to two channels of 128³."""


class ReconstructionNetwork(nn.Module):
    """Films to class scores."""

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        self.settings = settings
        encode = settings.lifting == "encode"
        group = settings.norm_group
        bones = CLASS_COUNT - 1 if settings.silhouettes else 0
        self.films = (
            FilmEncoder(settings.film_base, settings.film_features, bones, group)
            if encode
            else None
        )
        channels = 2 * (settings.film_features + bones) if encode else 2
        self.volume = VNet(
            channels, CLASS_COUNT, settings.base, settings.levels, settings.upscale, group
        )

    def forward(self, films: Tensor, matrices: Tensor) -> Tensor:
        """Class scores (logits) of right knees.

        Args:
            films: ``(B, 2, rows, columns)`` normalised films, frontal and lateral.
            matrices: ``(B, 2, 3, 4)`` their projections, RAS mm to (row, column).

        Returns:
            ``(B, 5, z, y, x)`` on ``settings.output_grid``.
        """
        return self.scores_and_silhouettes(films, matrices)[0]

    def scores_and_silhouettes(self, films: Tensor, matrices: Tensor) -> tuple[Tensor, Tensor]:
        """What :meth:`forward` gives, and the silhouettes that it was worked out from.

        Returns:
            scores as of :meth:`forward`, and ``(B, 2, 4, rows / 2, columns / 2)`` logits of the
            bones' silhouettes (no channels where the settings have none).
        """
        if self.films is None:
            silhouettes = films.new_zeros(*films.shape[:2], 0, *films.shape[2:])
            return self.volume(self.lifted(films[:, :, None], matrices)), silhouettes
        features, silhouettes = self.films(films)
        images = torch.cat([features, silhouettes.sigmoid()], dim=2)
        matrices = rescaled(matrices, films.shape[-1] / images.shape[-1])
        return self.volume(self.lifted(images, matrices)), silhouettes

    def lifted(self, images: Tensor, matrices: Tensor) -> Tensor:
        """The volume that the 3D network sees.

        Args:
            images: ``(B, 2, C, rows, columns)``.
            matrices: ``(B, 2, 3, 4)`` projections onto them.

        Returns:
            ``(B, 2·C, z, y, x)``.
        """
        settings = self.settings
        if settings.lifting == "stack":
            parallel = parallel_matrices(settings.film_spacing, settings.film_size, images)
            matrices = parallel.expand(len(images), -1, -1, -1)
        volume = lift(images, matrices, settings.work_grid)
        return volume.contiguous(memory_format=torch.channels_last_3d)


def _pair(
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
            _pair(nn.Conv3d, a, b, norm_group)
            for a, b in zip([channels, *widths[:-1]], widths, strict=True)
        )
        self.rise = nn.ModuleList(
            nn.ConvTranspose3d(2 * width, width, 2, stride=2) for width in widths[:-1]
        )
        self.up = nn.ModuleList(
            _pair(nn.Conv3d, 2 * width, width, norm_group) for width in widths[:-1]
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
        return _voxel_shuffle(self.head(volume), self.upscale)


def _voxel_shuffle(scores: Tensor, upscale: int) -> Tensor:
    """``(B, C·u³, z, y, x)`` to ``(B, C, z·u, y·u, x·u)``."""
    if upscale == 1:
        return scores
    batch, channels, z, y, x = scores.shape
    parts = scores.reshape(batch, channels // upscale**3, upscale, upscale, upscale, z, y, x)
    parts = parts.permute(0, 1, 5, 2, 6, 3, 7, 4)
    return parts.reshape(batch, -1, z * upscale, y * upscale, x * upscale)


class FilmEncoder(nn.Module):
    """A 2D U-Net that turns each film into features, and silhouettes, at half its resolution.

    Frontal and lateral films share the weights but for the first layer, which knows the view.
    """

    def __init__(
        self, base: int, features: int, bones: int = 0, norm_group: int = 1, levels: int = 5
    ) -> None:
        super().__init__()
        widths = [base * min(2**level, 8) for level in range(levels)]
        self.entry = nn.ModuleList(nn.Conv2d(1, base, 5, stride=2, padding=2) for _ in range(2))
        self.down = nn.ModuleList(
            _pair(nn.Conv2d, a, b, norm_group)
            for a, b in zip([base, *widths[:-1]], widths, strict=True)
        )
        self.up = nn.ModuleList(
            _pair(nn.Conv2d, coarse + fine, fine, norm_group)
            for fine, coarse in zip(widths[:-1], widths[1:], strict=True)
        )
        self.exit = nn.Conv2d(base, features + bones, 1)
        self.features = features

    def forward(self, films: Tensor) -> tuple[Tensor, Tensor]:
        """``(B, 2, rows, columns)`` to features and logits of the bones' silhouettes.

        Returns:
            ``(B, 2, features, rows / 2, columns / 2)`` and ``(B, 2, bones, …)``.
        """
        views = [entry(films[:, view, None]) for view, entry in enumerate(self.entry)]
        image = torch.stack(views, dim=1).flatten(0, 1)
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
        image = self.exit(image).unflatten(0, films.shape[:2])
        return image[:, :, : self.features], image[:, :, self.features :]
