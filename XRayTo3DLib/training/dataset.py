"""What a step of training sees: a case on a fresh film."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from XRayTo3DLib.imaging.film import FilmSettings, normalise_film, simulate_film
from XRayTo3DLib.reconstruction.networks import NetworkSettings
from XRayTo3DLib.training.cases import FILM_SPACING, Case


@dataclass(frozen=True)
class Sample:
    """Tensors of one case, or of a batch of them.

    Attributes:
        films: ``(2, rows, columns)`` normalised.
        matrices: ``(2, 3, 4)``.
        nearest: ``(z, y, x)`` int64 on the network's output grid.
        depth: ``(z, y, x)`` mm.
    """

    films: Tensor
    matrices: Tensor
    nearest: Tensor
    depth: Tensor

    def to(self, device: torch.device) -> Sample:
        """On another device."""
        return Sample(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


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


class TrainingSet(Dataset[Sample]):
    """Endless draws from a bank: item ``i`` is the same whenever and wherever it is asked for.

    Args:
        paths: of the cases.
        network: whose grids and films are made.
        length: number of items (steps × batch).
        seed: of the draws.
        strength: of the films' randomisation.
    """

    def __init__(
        self, paths: list[Path], network: NetworkSettings, length: int, seed: int, strength: float
    ) -> None:
        self._paths, self._network, self._length = paths, network, length
        self._seed, self._strength = seed, strength

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Sample:
        epoch, place = divmod(index, len(self._paths))
        order = np.random.default_rng([self._seed, 1, epoch]).permutation(len(self._paths))
        case = Case.load(self._paths[order[place]])
        films = films_of(case, [self._seed, 2, index], self._strength)
        nearest, depth = truth_on(case, self._network.size * self._network.upscale)
        return Sample(films, torch.from_numpy(case.matrices), nearest, depth)
