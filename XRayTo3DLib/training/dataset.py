"""What a step of training sees: a case on a fresh film."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from XRayTo3DLib.imaging.film import simulate_film
from XRayTo3DLib.imaging.film_settings import FilmSettings
from XRayTo3DLib.imaging.normalisation import normalise_film
from XRayTo3DLib.reconstruction.networks import NetworkSettings
from XRayTo3DLib.training.cases import FILM_SPACING, Case
from XRayTo3DLib.training.misstatement import stated_matrices


@dataclass(frozen=True)
class Sample:
    """Tensors of one case, or of a batch of them.

    Attributes:
        films: ``(2, rows, columns)`` normalised.
        matrices: ``(2, 3, 4)``.
        nearest: ``(z, y, x)`` on the network's output grid; uint8 (on the way), then int64.
        depth: ``(z, y, x)`` mm; float16 (on the way), then float32.
        silhouettes: ``(2, 4, rows / 2, columns / 2)`` from 0 to 1, of each bone on each film;
            no bones where the network does not ask for them.
    """

    films: Tensor
    matrices: Tensor
    nearest: Tensor
    depth: Tensor
    silhouettes: Tensor

    def to(self, device: torch.device) -> Sample:
        """On the device that computes, in the types that it computes in."""
        films, matrices, nearest, depth, silhouettes = (
            getattr(self, name).to(device, non_blocking=True) for name in self.__dataclass_fields__
        )
        return Sample(films, matrices, nearest.long(), depth.float(), silhouettes)

    def pin_memory(self) -> Sample:
        """In memory from which a GPU copies by itself."""
        return Sample(*(getattr(self, name).pin_memory() for name in self.__dataclass_fields__))


def collate(samples: list[Sample]) -> Sample:
    """A batch of samples."""
    names = Sample.__dataclass_fields__
    return Sample(*(torch.stack([getattr(sample, name) for sample in samples]) for name in names))


def films_of(case: Case, seed: list[int], strength: float) -> Tensor:
    """Both films of a case, ``(2, rows, columns)`` normalised.

    Args:
        case: with the path lengths.
        seed: of the randomisation; the same gives the same films.
        strength: 0 gives plain DRRs, 1 the full randomisation.
    """
    rng = np.random.default_rng(seed)
    films = []
    for paths in torch.from_numpy(case.paths):
        random = strength > 0
        settings = FilmSettings.random(rng, strength) if random else FilmSettings.plain()
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        films.append(normalise_film(simulate_film(paths, FILM_SPACING, settings, generator)))
    return torch.stack(films)


def truth_on(case: Case, size: int) -> tuple[Tensor, Tensor]:
    """Nearest bone and depth on a grid of ``size``³ that spans the same cube."""
    nearest, depth = torch.from_numpy(case.nearest), torch.from_numpy(case.depth)
    if size == nearest.shape[0]:
        return nearest.long(), depth
    shape = (size, size, size)
    depth = F.interpolate(depth[None, None], shape, mode="trilinear", align_corners=False)[0, 0]
    nearest = F.interpolate(nearest[None, None].float(), shape, mode="nearest-exact")[0, 0]
    return nearest.long(), depth


def silhouettes_of(case: Case, network: NetworkSettings) -> Tensor:
    """``(2, 4, rows / 2, columns / 2)``; no bones where the network estimates none."""
    return torch.from_numpy(case.silhouettes)[:, : 4 if network.silhouettes else 0]


class _Draws:
    """Endless draws from a bank: item ``i`` is the same whenever and wherever it is asked for."""

    def __init__(
        self,
        paths: list[Path],
        network: NetworkSettings,
        length: int,
        seed: int,
        strength: float,
        ramp: int = 0,
        misstated: float = 0.0,
    ) -> None:
        """Say what to draw.

        Args:
            paths: of the cases.
            network: whose grids and films are made.
            length: number of items (steps × batch).
            seed: of the draws.
            strength: of the films' randomisation.
            ramp: items over which that rises from half to its whole.
            misstated: share of the items, where they have a geometry, that state it wrongly.
        """
        self._paths, self._network, self._length = paths, network, length
        self._seed, self._strength, self._ramp = seed, strength, ramp
        self._misstated = misstated

    def __len__(self) -> int:
        return self._length

    def _draw(self, index: int) -> tuple[Case, Tensor]:
        epoch, place = divmod(index, len(self._paths))
        order = np.random.default_rng([self._seed, 1, epoch]).permutation(len(self._paths))
        case = Case.load(self._paths[order[place]])
        return case, films_of(case, [self._seed, 2, index], self._strength_at(index))

    def _strength_at(self, index: int) -> float:
        # Films that are hard from the first step on hamper learning (see docs/training.md).
        risen = 1.0 if self._ramp == 0 else min(1.0, index / self._ramp)
        return self._strength * (0.5 + 0.5 * risen)


class TrainingSet(_Draws, Dataset[Sample]):
    """What the whole network learns from."""

    def __getitem__(self, index: int) -> Sample:
        case, films = self._draw(index)
        nearest, depth = truth_on(case, self._network.size * self._network.upscale)
        stated = stated_matrices(case.matrices, self._misstated, [self._seed, 4, index])
        matrices = torch.from_numpy(stated)
        silhouettes = silhouettes_of(case, self._network)
        return Sample(films, matrices, nearest.to(torch.uint8), depth.half(), silhouettes)


class SilhouetteSet(_Draws, Dataset[tuple[Tensor, Tensor]]):
    """What the films' network learns from alone.

    Each item is a pair: films ``(2, rows, columns)``, silhouettes ``(2, 4, rows / 2,
    columns / 2)``.
    """

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        case, films = self._draw(index)
        return films, silhouettes_of(case, self._network)
