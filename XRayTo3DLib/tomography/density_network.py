"""The network: one film or two, and where they were taken, to attenuation and how sure it is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.materials import from_hounsfield
from XRayTo3DLib.reconstruction.film_encoder import FilmEncoder
from XRayTo3DLib.reconstruction.lifting import lift, rescaled
from XRayTo3DLib.reconstruction.vnet import VNet
from XRayTo3DLib.tomography.density import DENSITY_GRID, REFERENCE_KEV

WATER = float(from_hounsfield(0.0, REFERENCE_KEV))
"""1/mm. The networks count attenuation in units of it."""

LEVELS = (0.0, 0.5, 0.92, 1.04, 1.3, 1.65, 2.1, 2.8)
"""Attenuations of which a voxel's is a mixture, in units of :data:`WATER`: air, the skin's voxels
that are half air, fat, muscle, and bone from marrow with some spongiosa to cortex."""

BONE_FROM = 1.2
"""Attenuation from which a voxel counts as bone, in units of :data:`WATER`."""

_LOWEST_VARIANCE = 0.01**2
_VIEWS = 2


@dataclass(frozen=True)
class DensityNetworkSettings:
    """What defines a network of densities; stored with its weights.

    Attributes:
        size: voxels a side of the volume, over the whole of the cases' grid.
        base: channels of the finest 3D level; they double from level to level.
        levels: of the 3D network.
        film_base: channels of the finest 2D level.
        film_features: features per view that are lifted, beside the bones' silhouettes.
        film_size: pixels a side of the films.
        film_spacing: mm between pixels, at the isocentre.
        norm_group: channels that are normalised together.
        bone_weight: how much more a voxel of bone counts in training than another; the network
            takes it back where it says how probable bone is.
    """

    size: int = 64
    base: int = 16
    levels: int = 4
    film_base: int = 16
    film_features: int = 8
    film_size: int = 256
    film_spacing: float = 0.68
    norm_group: int = 1
    bone_weight: float = 4.0

    def __post_init__(self) -> None:
        """Check what would otherwise fail deep inside torch."""
        for name in self.__dataclass_fields__:
            if not getattr(self, name) > 0:
                raise XRayTo3DError(
                    f"The network's {name} must be positive, not {getattr(self, name):g}."
                )
        if DENSITY_GRID.shape[0] % self.size or self.size % 2 ** (self.levels - 1):
            raise XRayTo3DError(
                f"A network of {self.levels} levels needs a size that divides "
                f"{DENSITY_GRID.shape[0]} and that {2 ** (self.levels - 1)} divides, not "
                f"{self.size}."
            )

    @property
    def grid(self) -> VolumeGrid:
        """Where its output lies."""
        spacing = DENSITY_GRID.spacing * DENSITY_GRID.shape[0] / self.size
        return VolumeGrid((self.size,) * 3, spacing, DENSITY_GRID.centre)


class DensityNetwork(nn.Module):
    """Features of each film, lifted along its rays, to a distribution over levels of attenuation.

    The films' network is that of the bones' reconstruction, which has learnt silhouettes; it stays
    as it is. (Learnt from densities alone, it had found nothing after 700 steps.) The film itself
    is lifted too, for the soft tissue. A distribution, learnt by its cross-entropy, was learnt
    many times faster than a mean and a variance by their likelihood, and it can say "muscle or
    bone" where a film leaves both open.

    What is known of legs in general, ``mean`` and ``deviation``, is an input. The same network
    serves a frontal film, a lateral, or both: a film that is not there has no features, and a
    channel per view says which voxels it shows.
    """

    def __init__(self, settings: DensityNetworkSettings) -> None:
        super().__init__()
        self.settings = settings
        shape = settings.grid.shape
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", torch.ones(shape))
        self.register_buffer("deviation", torch.ones(shape))
        bones = len(Bone)
        self.films = FilmEncoder(
            settings.film_base, settings.film_features, bones, settings.norm_group
        ).requires_grad_(False)
        # Features, silhouettes, the film and where it is, of each view; mean and deviation.
        channels = _VIEWS * (settings.film_features + bones + 2) + 2
        self.volume = VNet(
            channels, len(LEVELS), settings.base, settings.levels, 1, settings.norm_group
        )

    def forward(self, films: Tensor, matrices: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Densities of right knees.

        Args:
            films: ``(B, 2, rows, columns)`` normalised films, frontal and lateral.
            matrices: ``(B, 2, 3, 4)`` their projections, RAS mm to (row, column); of a film that
                is not there any projection.
            present: ``(B, 2)``, 1 for a film that is there and 0 for one that is not.

        Returns:
            attenuation and the logarithm of its variance, ``(B, z, y, x)`` each on
            ``settings.grid``, in units of :data:`WATER` (squared).
        """
        scores = self.scores(films, matrices, present)
        # What counted more in training is thought more probable than it is, by as much.
        bone = torch.tensor(LEVELS, device=scores.device) > BONE_FROM
        excess = math.log(self.settings.bone_weight) * bone
        return moments(scores - excess[:, None, None, None])

    def scores(self, films: Tensor, matrices: Tensor, present: Tensor) -> Tensor:
        """Scores (logits) of the :data:`LEVELS` of each voxel, ``(B, levels, z, y, x)``."""
        with torch.no_grad():
            features, silhouettes = self.films(films)
            small = F.avg_pool2d(films, films.shape[-1] // features.shape[-1])[:, :, None]
            parts = [features, silhouettes.sigmoid(), small, torch.ones_like(small)]
            images = torch.cat(parts, dim=2) * present[:, :, None, None, None]
        matrices = rescaled(matrices, films.shape[-1] / images.shape[-1])
        lifted = lift(images, matrices, self.settings.grid)
        known = torch.stack([self.mean, self.deviation]).expand(len(films), -1, -1, -1, -1)
        volume = torch.cat([lifted, known], dim=1).contiguous(memory_format=torch.channels_last_3d)
        return self.volume(volume)


def moments(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and logarithm of the variance, ``(B, z, y, x)``, of ``(B, levels, z, y, x)`` scores."""
    levels = torch.tensor(LEVELS, device=scores.device, dtype=scores.dtype)
    shares = scores.softmax(dim=1)
    mean = torch.einsum("blzyx,l->bzyx", shares, levels)
    square = torch.einsum("blzyx,l->bzyx", shares, levels.square())
    return mean, (square - mean.square()).clamp_min(_LOWEST_VARIANCE).log()
