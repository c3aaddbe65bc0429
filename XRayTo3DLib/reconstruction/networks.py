"""The networks: two films and their geometry in, five class scores per voxel out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from XRayTo3DLib.anatomy.bones import CLASS_COUNT
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.reconstruction.film_encoder import FilmEncoder
from XRayTo3DLib.reconstruction.latent import LatentNetwork
from XRayTo3DLib.reconstruction.lifting import lift, parallel_matrices, rescaled
from XRayTo3DLib.reconstruction.vnet import VNet


@dataclass(frozen=True)
class NetworkSettings:
    """What defines a network; stored with its weights.

    Attributes:
        lifting: how films become a volume. ``stack``: repeated along their axes, as in Kasten et
            al. 2020; ``backproject``: smeared back along the rays of the stated geometry;
            ``encode``: a 2D network turns each film into features, which are back-projected;
            ``latent``: through one vector without regard to geometry, as in Chen et al. 2020.
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
        latent: numbers in that vector (``latent``).
        norm_group: channels that are normalised together. 1, each by itself, learns many times
            faster than 8 (see docs/training.md).
    """

    lifting: Literal["stack", "backproject", "encode", "latent"] = "encode"
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
    latent: int = 192
    norm_group: int = 1

    def __post_init__(self) -> None:
        """Check what would otherwise fail deep inside torch."""
        if self.lifting not in ("stack", "backproject", "encode", "latent"):
            raise XRayTo3DError(
                f"The lifting is stack, backproject, encode or latent, not {self.lifting!r}."
            )
        whole = (
            "size",
            "upscale",
            "base",
            "levels",
            "film_size",
            "film_base",
            "film_features",
            "latent",
        )
        for name in (*whole, "norm_group", "field_of_view", "film_spacing"):
            if not getattr(self, name) > 0:
                raise XRayTo3DError(
                    f"The network's {name} must be positive, not {getattr(self, name):g}."
                )
        if self.silhouettes and self.lifting != "encode":
            raise XRayTo3DError(
                f"Silhouettes are estimated by the lifting encode, not by {self.lifting}."
            )
        if self.lifting == "latent" and (self.film_size % 64 or self.size & (self.size - 1)):
            raise XRayTo3DError(
                "The lifting latent needs films of a multiple of 64 pixels and a volume of a power "
                f"of 2 voxels, not {self.film_size} and {self.size}."
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


CHEN = NetworkSettings(lifting="latent", size=128, upscale=1, base=8)
"""The network of Chen et al. 2020: films to one vector, the vector to 128³."""


class ReconstructionNetwork(nn.Module):
    """Films to class scores."""

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        self.settings = settings
        group, bones = settings.norm_group, 0
        self.films: FilmEncoder | None = None
        self.volume: VNet | LatentNetwork
        channels = 2
        if settings.lifting == "encode":
            bones = CLASS_COUNT - 1 if settings.silhouettes else 0
            self.films = FilmEncoder(settings.film_base, settings.film_features, bones, group)
            channels = 2 * (settings.film_features + bones)
        if settings.lifting == "latent":
            self.volume = LatentNetwork(
                CLASS_COUNT,
                settings.film_size,
                settings.output_grid.shape[0],
                settings.film_base,
                settings.base,
                settings.latent,
                group,
            )
        else:
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
            flat = self.settings.lifting == "latent"
            seen = films if flat else self.lifted(films[:, :, None], matrices)
            return self.volume(seen), silhouettes
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
