"""From films to volumes: every voxel looks up the pixel on which it falls."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from XRayTo3DLib.imaging.grid import VolumeGrid


def voxel_centres(grid: VolumeGrid, like: Tensor) -> Tensor:
    """RAS mm of the voxel centres, ``(z·y·x, 3)``, in the device and type of ``like``."""
    x, y, z = (torch.as_tensor(axis, device=like.device, dtype=like.dtype) for axis in grid.axes())
    zz, yy, xx = torch.meshgrid(z, y, x, indexing="ij")
    return torch.stack([xx, yy, zz], dim=-1).reshape(-1, 3)


def lift(images: Tensor, matrices: Tensor, grid: VolumeGrid) -> Tensor:
    """Cone-beam back-projection without weighting: smear each image back along its rays.

    Args:
        images: ``(B, V, C, rows, columns)``, C features in each of V views.
        matrices: ``(B, V, 3, 4)`` projections from RAS mm to pixel (row, column) of ``images``.
        grid: of the volume.

    Returns:
        ``(B, V·C, z, y, x)``; zero where a voxel falls beside the film.
    """
    batch, views, channels, rows, columns = images.shape
    points = voxel_centres(grid, images)
    linear, offset = matrices[..., :3].flatten(0, 1), matrices[..., 3].flatten(0, 1)
    homogeneous = points @ linear.transpose(1, 2) + offset[:, None]
    pixels = homogeneous[..., :2] / homogeneous[..., 2:]
    size = torch.tensor([rows - 1, columns - 1], device=images.device, dtype=images.dtype)
    positions = (pixels * (2.0 / size) - 1.0).flip(-1)
    sampled = F.grid_sample(
        images.flatten(0, 1), positions[:, None], padding_mode="zeros", align_corners=True
    )
    return sampled.reshape(batch, views * channels, *grid.shape)


def rescaled(matrices: Tensor, factor: float) -> Tensor:
    """Projections onto images whose pixels are ``factor`` times as large (same field)."""
    scale = torch.eye(3, device=matrices.device, dtype=matrices.dtype)
    scale[0, 0] = scale[1, 1] = 1.0 / factor
    scale[0, 2] = scale[1, 2] = (1.0 / factor - 1.0) / 2.0
    return scale @ matrices


def parallel_matrices(spacing: float, size: int, like: Tensor) -> Tensor:
    """``(2, 3, 4)``: two parallel, orthogonal beams, frontal and lateral, of a right knee.

    With these, :func:`lift` is the stacking of Kasten et al. 2020: each film is repeated along
    its own axis, as if source and detector were infinitely far away.

    Args:
        spacing: mm between pixels at the isocentre.
        size: pixels a side; the isocentre falls on the middle.
        like: device and type.
    """
    step, middle = -1.0 / spacing, (size - 1) / 2.0
    down = [0.0, 0.0, step, middle]
    weight = [0.0, 0.0, 0.0, 1.0]
    frontal = [down, [step, 0.0, 0.0, middle], weight]
    lateral = [down, [0.0, step, 0.0, middle], weight]
    return torch.tensor([frontal, lateral], device=like.device, dtype=like.dtype)


def pixel_rays(matrix: Tensor, rows: int, columns: int) -> tuple[Tensor, Tensor]:
    """Source and pixel positions of a view, from its projection alone.

    Args:
        matrix: ``(3, 4)``, as :meth:`ViewGeometry.matrix` makes it.
        rows: of the image.
        columns: of the image.

    Returns:
        start and end of the rays, ``(rows·columns, 3)`` RAS mm each.
    """
    inverse = torch.linalg.inv(matrix[:, :3])
    source = -inverse @ matrix[:, 3]
    row, column = torch.meshgrid(
        torch.arange(rows, device=matrix.device, dtype=matrix.dtype),
        torch.arange(columns, device=matrix.device, dtype=matrix.dtype),
        indexing="ij",
    )
    pixels = torch.stack([row, column, torch.ones_like(row)], dim=-1).reshape(-1, 3)
    end = source + pixels @ inverse.T
    return source.expand_as(end), end
