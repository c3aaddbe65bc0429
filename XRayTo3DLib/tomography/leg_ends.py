"""The leg goes on where the volume ends.

Rays near the upper and the lower end of a volume leave it through that end and cross leg that it
does not hold. If its voxels had to make up for that, its ends would be far too dense. So the leg is
taken to go on there as it ends.
"""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

from XRayTo3DLib.imaging.grid import VolumeGrid

_BEYOND = 16.0
"""mm at either end; a ray climbs by as much within a thick leg at 0.9 m from the tube."""


def continued(volume: Tensor, grid: VolumeGrid) -> tuple[Tensor, VolumeGrid]:
    """A volume with its first and its last slice repeated beyond them, and its grid.

    Args:
        volume: ``(z, y, x)``.
        grid: of it.
    """
    count = _slices(grid)
    longer = F.pad(volume[None, None], (0, 0, 0, 0, count, count), mode="replicate")[0, 0]
    return longer, VolumeGrid(tuple(longer.shape), grid.spacing, grid.centre)


def cut_off(volume: Tensor, grid: VolumeGrid) -> Tensor:
    """The reverse of :func:`continued`, on the grid that was continued."""
    count = _slices(grid)
    return volume[count : len(volume) - count]


def _slices(grid: VolumeGrid) -> int:
    return math.ceil(_BEYOND / grid.spacing)
