"""The fine step: the network's coarse volume, and the detail of the films, in one volume."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from XRayTo3DLib.imaging.geometry import ViewGeometry
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.tomography.consistency import made_consistent
from XRayTo3DLib.tomography.density import DENSITY_GRID
from XRayTo3DLib.tomography.density_network import LEVELS, WATER
from XRayTo3DLib.tomography.film_fit import FilmFit, fit_film
from XRayTo3DLib.tomography.leg_ends import continued, cut_off
from XRayTo3DLib.tomography.leg_outline import carved, decided
from XRayTo3DLib.tomography.resampling import resampled

_SIZE = 192

_AIR_BELOW = 0.1
"""Expected share of water's attenuation about which a voxel of the coarse volume becomes air: by
degrees, lest what the films add gather along a jagged border."""

FINE_GRID = VolumeGrid(
    (_SIZE,) * 3,
    DENSITY_GRID.spacing * DENSITY_GRID.shape[0] / _SIZE,
    DENSITY_GRID.centre,
)
"""Where the result lies: 1.07 mm over the whole of the network's cube."""


@dataclass(frozen=True)
class FineDensity:
    """The fine volume and what it was fitted to.

    Attributes:
        attenuation: ``(z, y, x)`` float32, 1/mm.
        deviation: ``(z, y, x)`` float32, 1/mm, as the network states it.
        grid: of both.
        fits: of each film.
    """

    attenuation: Tensor
    deviation: Tensor
    grid: VolumeGrid
    fits: tuple[FilmFit, ...]


def fine_density(
    mean: Tensor,
    deviation: Tensor,
    grid: VolumeGrid,
    films: list[tuple[np.ndarray, ViewGeometry]],
    rounds: int = 3,
    fine_grid: VolumeGrid = FINE_GRID,
) -> FineDensity:
    """Refine a coarse volume until its projections are the films.

    Args:
        mean: ``(z, y, x)`` 1/mm.
        deviation: ``(z, y, x)`` 1/mm, how unsure it is.
        grid: of both.
        films: pixels ``(rows, columns)``, more attenuation brighter, and where they were taken.
        rounds: of the correction; 0 gives the coarse volume on the fine grid, as it is.
        fine_grid: where the result lies.
    """
    if rounds:
        mean, deviation = carved(mean, deviation, grid, films)
        # Where the network is all but sure of air, it is air, and no film puts anything there.
        leg = (mean / WATER / _AIR_BELOW - 0.5).clamp(0.0, 1.0)
        mean, deviation = mean * leg, deviation * leg
    volume = resampled(decided(mean) if rounds else mean, grid, fine_grid).clamp_min(0.0)
    spread = resampled(deviation, grid, fine_grid)
    # The coarse volume projects as its interpolation does, in a third of the time.
    fits = tuple(fit_film(pixels, view, mean, grid) for pixels, view in films)
    if rounds:
        measured = [fit.measured for fit in fits]
        longer, longer_grid = continued(volume, fine_grid)
        variance, _ = continued(spread.square(), fine_grid)
        made = made_consistent(longer, variance, longer_grid, measured, rounds, WATER * LEVELS[-1])
        volume = cut_off(made, fine_grid)
    return FineDensity(volume, spread, fine_grid, fits)
