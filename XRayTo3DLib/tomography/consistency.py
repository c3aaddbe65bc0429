"""A volume changed as little as it must be for its projections to be those measured.

SIRT with weights: a ray whose integral is off by r gives each of its voxels a share of r in
proportion to the variance that is predicted there, so that places of which the network is sure stay
and those that it could only guess take up the film's detail; every voxel takes the mean of what
its rays ask for. (Gregor and Benson, IEEE TMI 27(7):918–924, 2008, with the variance as the
preconditioner.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from XRayTo3DLib.imaging.geometry import ViewGeometry
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.projector import line_integrals, project

_LEAST = 1e-6

_RELAXATION = 1.5
"""Of the updates by two views and more, of each of which a voxel takes but a part; SIRT converges
below 2."""

_SURE = 1e-3
"""Share of the largest integral of the variance below which a ray is left alone."""


@dataclass(frozen=True)
class MeasuredView:
    """What is known of a view.

    Attributes:
        view: source and detector.
        integrals: ``(rows, columns)`` line integrals, dimensionless.
        known: ``(rows, columns)`` bool, where they are known.
    """

    view: ViewGeometry
    integrals: Tensor
    known: Tensor


@dataclass(frozen=True)
class _Rays:
    """The rays of a view that may change something.

    Attributes:
        start: ``(R, 3)`` RAS mm.
        end: ``(R, 3)`` RAS mm.
        integrals: ``(R,)`` measured.
        shares: ``(R,)`` one over the integral of the variance.
    """

    start: Tensor
    end: Tensor
    integrals: Tensor
    shares: Tensor


def made_consistent(
    volume: Tensor,
    variance: Tensor,
    grid: VolumeGrid,
    measured: list[MeasuredView],
    rounds: int = 3,
    densest: float = np.inf,
) -> Tensor:
    """Update a volume until it projects to what was measured, as far as views allow.

    Where views disagree, neither wins: all ask of the same volume, and each voxel takes the mean
    over the rays of all of them.

    Args:
        volume: ``(z, y, x)``, 1/mm.
        variance: ``(z, y, x)``, at least 0, any unit: where a change is likely.
        grid: of both.
        measured: one view or more.
        rounds: of updates.
        densest: 1/mm, the highest attenuation that there is.

    Returns:
        ``(z, y, x)``, nowhere below 0 nor above ``densest``.
    """
    whole, box = volume, _filled((volume > 0) | (variance > 0))
    volume, variance, grid = volume[box], variance[box], _within(grid, box)
    views, lengths = [], torch.zeros_like(volume)
    for each in measured:
        rays, added = _rays(variance, grid, each)
        views.append(rays)
        lengths += added
    gain = (1.0 if len(views) == 1 else _RELAXATION) * variance / lengths.clamp_min(_LEAST)
    for _ in range(rounds):
        volume = (volume + gain * _asked(volume, grid, views)).clamp(0.0, densest)
    result = whole.clone()
    result[box] = volume
    return result


def _filled(mask: Tensor) -> tuple[slice, slice, slice]:
    """The smallest box that holds a mask, ``(z, y, x)``, and a voxel beside it where there is."""
    sides = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        there = torch.nonzero(mask.amax(dim=others)).squeeze(1)
        first, last = (int(there[0]), int(there[-1])) if len(there) else (0, mask.shape[axis] - 1)
        sides.append(slice(max(first - 1, 0), min(last + 2, mask.shape[axis])))
    return sides[0], sides[1], sides[2]


def _within(grid: VolumeGrid, box: tuple[slice, slice, slice]) -> VolumeGrid:
    """The part of a grid in a box of its voxels."""
    ends = grid.to_ras(np.array([[side.start, side.stop - 1] for side in box]).T)
    depth, height, width = (side.stop - side.start for side in box)
    x, y, z = ends.mean(axis=0)
    return VolumeGrid((depth, height, width), grid.spacing, (float(x), float(y), float(z)))


def _rays(variance: Tensor, grid: VolumeGrid, measured: MeasuredView) -> tuple[_Rays, Tensor]:
    """Rays that may change something, and mm of all of them in each voxel, ``(z, y, x)``."""
    with torch.enable_grad():
        leaf = variance.detach().clone().requires_grad_(True)
        along = project(leaf, grid, measured.view)
        # Rays along which everything is sure, such as those beside the leg, could change nothing.
        chosen = measured.known & (along > _SURE * along.max())
        # The gradient of the projection is its adjoint: it smears back.
        along.backward(chosen.to(along))
    assert leaf.grad is not None
    end = torch.as_tensor(measured.view.pixel_positions()).to(variance)[chosen]
    start = torch.as_tensor(measured.view.source).to(variance).expand_as(end)
    shares = 1.0 / along.detach()[chosen]
    return _Rays(start, end, measured.integrals[chosen], shares), leaf.grad


def _asked(volume: Tensor, grid: VolumeGrid, views: list[_Rays]) -> Tensor:
    """What the rays of all views lack, smeared back, ``(z, y, x)``."""
    with torch.enable_grad():
        leaf = volume.detach().clone().requires_grad_(True)
        for rays in views:
            found = line_integrals(leaf[None], grid, rays.start, rays.end)[0]
            found.backward((rays.integrals - found.detach()) * rays.shares)
    assert leaf.grad is not None
    return leaf.grad
