"""What density from films is compared with: films smeared back, the mean leg, the nearest leg."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from XRayTo3DLib.imaging.film import simulate_film
from XRayTo3DLib.imaging.film_settings import FilmSettings
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.normalisation import normalise_film
from XRayTo3DLib.reconstruction.losses import ngcc
from XRayTo3DLib.tomography.consistency import MeasuredView, made_consistent
from XRayTo3DLib.training.cases import FILM_SPACING
from XRayTo3DLib.training.density_cases import DensityCase


def smeared(measured: Sequence[MeasuredView], grid: VolumeGrid, rounds: int = 12) -> Tensor:
    """Each film's line integrals spread evenly along its rays, ``(z, y, x)`` 1/mm.

    Of two films it is what algebraic reconstruction makes of them without any knowledge of legs.
    From nothing and with two films that takes more rounds than from a good guess.
    """
    nothing = torch.zeros(grid.shape)
    return made_consistent(nothing, torch.ones(grid.shape), grid, list(measured), rounds)


@dataclass(frozen=True)
class NearestLeg:
    """Looks up the leg of a bank whose films resemble given ones most.

    Attributes:
        paths: of the cases.
        films: ``(cases, 2, rows, columns)`` plain films, normalised.
    """

    paths: tuple[Path, ...]
    films: Tensor

    @classmethod
    def of(cls, paths: Sequence[Path]) -> NearestLeg:
        """Film every case of a bank."""
        return cls(tuple(paths), torch.stack([_plain_films(path) for path in paths]))

    def __call__(self, films: Tensor, shown: Sequence[int]) -> Tensor:
        """The attenuation of that leg, ``(z, y, x)`` 1/mm on ``DENSITY_GRID``.

        Args:
            films: ``(2, rows, columns)`` on the networks' detectors, normalised.
            shown: 0 for the frontal film, 1 for the lateral, or both.
        """
        likeness = torch.stack([ngcc(films[view], self.films[:, view]) for view in shown])
        best = int(likeness.sum(dim=0).argmax())
        return torch.from_numpy(DensityCase.load(self.paths[best]).attenuation)


def _plain_films(path: Path) -> Tensor:
    case = DensityCase.load(path)
    plain = FilmSettings.plain()
    return torch.stack(
        [
            normalise_film(simulate_film(paths, FILM_SPACING, plain))
            for paths in torch.from_numpy(case.paths)
        ]
    )
