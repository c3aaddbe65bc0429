"""What a step of training sees: a case on fresh films, with one view or both."""

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
from XRayTo3DLib.tomography.density_network import WATER
from XRayTo3DLib.training.cases import FILM_SPACING
from XRayTo3DLib.training.density_cases import DensityCase
from XRayTo3DLib.training.density_settings import DensityTrainingSettings
from XRayTo3DLib.training.misstatement import stated_matrices


@dataclass(frozen=True)
class DensitySample:
    """Tensors of one case, or of a batch of them.

    Attributes:
        films: ``(2, rows, columns)`` normalised.
        matrices: ``(2, 3, 4)``.
        present: ``(2,)``, 1 for a film that is shown.
        truth: ``(z, y, x)`` attenuation on the network's grid, in units of ``WATER``.
    """

    films: Tensor
    matrices: Tensor
    present: Tensor
    truth: Tensor

    def to(self, device: torch.device) -> DensitySample:
        """On the device that computes."""
        return DensitySample(*(getattr(self, name).to(device) for name in self._names()))

    @classmethod
    def collated(cls, samples: list[DensitySample]) -> DensitySample:
        """A batch of samples."""
        return cls(*(torch.stack([getattr(s, name) for s in samples]) for name in cls._names()))

    @classmethod
    def _names(cls) -> tuple[str, ...]:
        return tuple(cls.__dataclass_fields__)


def fresh_films(case: DensityCase, seed: list[int], strength: float) -> Tensor:
    """Both films of a case, ``(2, rows, columns)`` normalised.

    Args:
        case: with the path lengths.
        seed: of the randomisation; the same gives the same films.
        strength: 0 gives plain DRRs, 1 the full randomisation.
    """
    rng = np.random.default_rng(seed)
    films = []
    for paths in torch.from_numpy(case.paths):
        settings = FilmSettings.random(rng, strength) if strength > 0 else FilmSettings.plain()
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        films.append(normalise_film(simulate_film(paths, FILM_SPACING, settings, generator)))
    return torch.stack(films)


def truth_on(case: DensityCase, size: int) -> Tensor:
    """Mean attenuation of each voxel of a grid of ``size``³ over the same cube, in ``WATER``."""
    factor = case.attenuation.shape[0] // size
    truth = torch.from_numpy(case.attenuation / np.float32(WATER))
    return F.avg_pool3d(truth[None, None], factor)[0, 0]


class DensitySet(Dataset[DensitySample]):
    """Endless draws: item ``i`` is the same whenever and wherever it is asked for.

    Args:
        paths: of the cases.
        settings: of the training.
    """

    def __init__(self, paths: list[Path], settings: DensityTrainingSettings) -> None:
        self._paths, self._settings = paths, settings

    def __len__(self) -> int:
        return self._settings.steps * self._settings.batch

    def __getitem__(self, index: int) -> DensitySample:
        settings = self._settings
        epoch, place = divmod(index, len(self._paths))
        order = np.random.default_rng([settings.seed, 1, epoch]).permutation(len(self._paths))
        case = DensityCase.load(self._paths[order[place]])
        risen = min(1.0, index / max(1, settings.film_ramp * settings.batch))
        # Films that are hard from the first step on hamper learning (see docs/training.md).
        strength = settings.film_strength * (0.5 + 0.5 * risen)
        stated = stated_matrices(case.matrices, settings.misstated, [settings.seed, 5, index])
        return DensitySample(
            films=fresh_films(case, [settings.seed, 2, index], strength),
            matrices=torch.from_numpy(stated),
            present=self._present(index),
            truth=truth_on(case, settings.network.size),
        )

    def _present(self, index: int) -> Tensor:
        settings = self._settings
        draw = np.random.default_rng([settings.seed, 4, index]).random()
        if draw < settings.frontal_only:
            return torch.tensor([1.0, 0.0])
        if draw < settings.frontal_only + settings.lateral_only:
            return torch.tensor([0.0, 1.0])
        return torch.ones(2)


def population(paths: list[Path], size: int) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each voxel over cases, ``(z, y, x)`` each, in ``WATER``."""
    total = torch.zeros((size,) * 3, dtype=torch.float64)
    squares = torch.zeros_like(total)
    for path in paths:
        truth = truth_on(DensityCase.load(path), size).double()
        total += truth
        squares += truth.square()
    mean = total / len(paths)
    variance = (squares / len(paths) - mean.square()).clamp_min(0.0)
    return mean.float(), variance.sqrt().float()
