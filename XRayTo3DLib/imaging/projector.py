"""Line integrals through a voxel volume, differentiable in the volume and in the geometry.

Joseph's method (P. M. Joseph, IEEE TMI 1(3):192–196, 1982): a ray is sampled once in every slice
perpendicular to the axis along which it runs fastest, by bilinear interpolation within the slice;
the sum times the length between slices is the integral. Bilinear sampling of a slice is torch's
two-dimensional ``grid_sample``, vectorised on the CPU and fast on a GPU, and its gradient is exact.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from XRayTo3DLib.imaging.geometry import ViewGeometry
from XRayTo3DLib.imaging.grid import VolumeGrid

_RAYS_AT_ONCE = 1 << 14
"""Rays per pass: keeps the sampling positions of a pass within the cache and bounds memory."""


def project(volume: Tensor, grid: VolumeGrid, view: ViewGeometry) -> Tensor:
    """Cone-beam projection of a volume.

    Args:
        volume: ``(z, y, x)`` or ``(C, z, y, x)``, any unit per mm.
        grid: where the voxels are.
        view: source and detector.

    Returns:
        ``(rows, columns)`` or ``(C, rows, columns)``: the integral along each ray from source to
        pixel, in the volume's unit × mm.
    """
    like = {"device": volume.device, "dtype": volume.dtype}
    pixels = torch.as_tensor(view.pixel_positions().reshape(-1, 3), **like)
    source = torch.as_tensor(view.source, **like).expand_as(pixels)
    channels = volume if volume.dim() == 4 else volume[None]
    integrals = line_integrals(channels, grid, source, pixels)
    return integrals.reshape(*volume.shape[:-3], *view.shape)


def line_integrals(volume: Tensor, grid: VolumeGrid, start: Tensor, end: Tensor) -> Tensor:
    """Integrals along segments.

    Args:
        volume: ``(C, z, y, x)``.
        grid: where the voxels are.
        start: ``(R, 3)`` RAS mm ``(x, y, z)``.
        end: ``(R, 3)`` RAS mm.

    Returns:
        ``(C, R)``, in the volume's unit × mm.
    """
    fastest = (end - start).detach().abs().argmax(dim=1)
    result = volume.new_zeros(volume.shape[0], start.shape[0])
    for axis in range(3):
        rays = torch.nonzero(fastest == axis).squeeze(1)
        if len(rays) == 0:
            continue
        slices = _slices_across(volume, axis)
        parts = [
            _integrate(slices, grid, axis, start[part], end[part])
            for part in rays.split(_RAYS_AT_ONCE)
        ]
        result = result.index_copy(1, rays, torch.cat(parts, dim=1))
    return result


def _slices_across(volume: Tensor, axis: int) -> Tensor:
    """``(K, C, rows, columns)``: the slices perpendicular to RAS ``axis``.

    Rows and columns of a slice are the two remaining axes, the later one first (z before y
    before x), as in the volume.
    """
    return volume.movedim(3 - axis, 0).contiguous()


def _integrate(slices: Tensor, grid: VolumeGrid, axis: int, start: Tensor, end: Tensor) -> Tensor:
    """``(C, R)`` integrals of rays that all run fastest along ``axis``."""
    first = torch.as_tensor(grid.first, dtype=start.dtype, device=start.device)
    origin = (start - first) / grid.spacing
    direction = (end - start) / grid.spacing
    along = direction[:, axis]
    count = slices.shape[0]
    number = torch.arange(count, dtype=start.dtype, device=start.device)[:, None]
    # Where a ray meets slice k is linear in k: offset + k · slope, in one pass over (K, R, 2).
    others = [other for other in range(3) if other != axis]
    sizes = torch.tensor(
        [grid.shape[2 - o] for o in others], dtype=start.dtype, device=start.device
    )
    scale = 2.0 / (sizes - 1).clamp(min=1)
    slope = direction[:, others] / along[:, None]
    offset = (origin[:, others] - slope * origin[:, axis, None]) * scale - 1.0
    positions = torch.addcmul(offset, number[..., None], slope * scale)
    samples = F.grid_sample(
        slices, positions[:, None], mode="bilinear", padding_mode="zeros", align_corners=True
    )[:, :, 0]
    ends = (number[[0, -1]] - origin[:, axis]) / along
    if bool((ends < 0).any()) or bool((ends > 1).any()):
        fraction = (number - origin[:, axis]) / along
        samples = samples * ((fraction >= 0) & (fraction <= 1))[:, None]
    length = (end - start).norm(dim=1) / along.abs()
    return samples.sum(dim=0) * length


def projection_matrices(views: tuple[ViewGeometry, ...]) -> np.ndarray:
    """``(V, 3, 4)`` float32: :meth:`ViewGeometry.matrix` of each view, for the networks."""
    return np.stack([view.matrix() for view in views]).astype(np.float32)
