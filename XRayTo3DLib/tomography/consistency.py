"""A volume changed as little as it must be for its projections to be those measured.

SIRT with weights: a ray whose integral is off by r gives each of its voxels a share of r in
proportion to the variance that is predicted there, so that places of which the network is sure stay
and those that it could only guess take up the film's detail; every voxel takes the mean of what
its rays ask for. (Gregor and Benson, IEEE TMI 27(7):918–924, 2008, with the variance as the
preconditioner.)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from XRayTo3DLib.imaging.geometry import ViewGeometry
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.projector import project

_LEAST = 1e-6


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
class _Weights:
    of_rays: Tensor
    of_voxels: Tensor


def made_consistent(
    volume: Tensor,
    variance: Tensor,
    grid: VolumeGrid,
    measured: list[MeasuredView],
    rounds: int = 3,
) -> Tensor:
    """Update a volume until it projects to what was measured, as far as views allow.

    Args:
        volume: ``(z, y, x)``, 1/mm.
        variance: ``(z, y, x)``, at least 0, any unit: where a change is likely.
        grid: of both.
        measured: one view or more; in turn, each corrects what the others left.
        rounds: times that each view has its turn.

    Returns:
        ``(z, y, x)``, nowhere below 0.
    """
    weights = [_weights(variance, grid, each) for each in measured]
    for _ in range(rounds):
        for each, weight in zip(measured, weights, strict=True):
            volume = _updated(volume, variance, grid, each, weight)
    return volume


def _weights(variance: Tensor, grid: VolumeGrid, measured: MeasuredView) -> _Weights:
    """One over each ray's integral of the variance, and over each voxel's sum of ray lengths."""
    with torch.enable_grad():
        leaf = variance.detach().clone().requires_grad_(True)
        along = project(leaf, grid, measured.view)
        along.backward(measured.known.to(along))
    assert leaf.grad is not None
    of_rays = torch.where(measured.known, 1.0 / along.detach().clamp_min(_LEAST), 0.0)
    return _Weights(of_rays, 1.0 / leaf.grad.clamp_min(_LEAST))


def _updated(
    volume: Tensor, variance: Tensor, grid: VolumeGrid, measured: MeasuredView, weights: _Weights
) -> Tensor:
    with torch.enable_grad():
        leaf = volume.detach().clone().requires_grad_(True)
        projected = project(leaf, grid, measured.view)
        # The gradient of the projection is its adjoint: it smears the residual back.
        projected.backward((measured.integrals - projected.detach()) * weights.of_rays)
    assert leaf.grad is not None
    return (volume + variance * leaf.grad * weights.of_voxels).clamp_min(0.0)
