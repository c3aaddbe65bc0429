"""Signed distance from voxels to a surface, accurate to a fraction of a voxel near it."""

from __future__ import annotations

import numpy as np
import vtk
from scipy import ndimage
from scipy.spatial import cKDTree
from vtk.util.numpy_support import vtk_to_numpy

from XRayTo3DLib.anatomy.joint import vertex_normals
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.imaging.grid import VolumeGrid

_BAND = 1.8
"""Voxels from the surface within which the distance is measured to the surface itself."""


def inside_mask(surface: Surface, grid: VolumeGrid) -> np.ndarray:
    """Which voxel centres lie inside a closed surface, bool ``(z, y, x)``."""
    stencil = vtk.vtkPolyDataToImageStencil()
    stencil.SetInputData(surface.to_vtk())
    stencil.SetOutputOrigin(*grid.first)
    stencil.SetOutputSpacing(*(grid.spacing,) * 3)
    depth, height, width = grid.shape
    stencil.SetOutputWholeExtent(0, width - 1, 0, height - 1, 0, depth - 1)
    stencil.SetTolerance(0.0)
    image = vtk.vtkImageStencilToImage()
    image.SetInputConnection(stencil.GetOutputPort())
    image.SetInsideValue(1)
    image.SetOutsideValue(0)
    image.SetOutputScalarTypeToUnsignedChar()
    image.Update()
    return vtk_to_numpy(image.GetOutput().GetPointData().GetScalars()).reshape(grid.shape) > 0


def signed_depth(surface: Surface, grid: VolumeGrid, reach: float) -> np.ndarray:
    """Depth below the surface, mm, ``(z, y, x)`` float32: positive inside, −reach far outside.

    Within two voxels of the surface it is the distance to the plane of the nearest vertex or
    triangle centre; deeper inside it is the distance between voxels (SciPy's exact transform).

    Args:
        surface: closed, RAS mm.
        grid: where to measure.
        reach: mm outside the surface at which measuring stops.
    """
    depth = np.full(grid.shape, -reach, dtype=np.float32)
    window = _window(surface, grid, reach)
    if window is None:
        return depth
    part, part_grid = window
    inside = inside_mask(surface, part_grid)
    h = grid.spacing
    near = ndimage.distance_transform_edt(inside, sampling=h).astype(np.float32)
    away = ndimage.distance_transform_edt(~inside, sampling=h).astype(np.float32)
    # Both distances end at a voxel centre, on average half a voxel beyond the surface.
    measured = np.where(inside, near - 0.5 * h, 0.5 * h - away)
    band = np.abs(measured) < _BAND * h
    measured[band] = _distance_to_planes(surface, part_grid, np.argwhere(band))
    depth[part] = np.maximum(measured, -reach)
    return depth


def _window(
    surface: Surface, grid: VolumeGrid, reach: float
) -> tuple[tuple[slice, ...], VolumeGrid] | None:
    """The part of the grid within ``reach`` of the surface, or None."""
    margin = reach + 2.0 * grid.spacing
    low = grid.to_index(surface.vertices.min(axis=0) - margin)
    high = grid.to_index(surface.vertices.max(axis=0) + margin)
    start = np.maximum(np.floor(low), 0).astype(int)
    stop = np.minimum(np.ceil(high) + 1, grid.shape).astype(int)
    if np.any(stop - start < 2):
        return None
    centre = grid.to_ras((start + stop - 1) / 2)
    shape = (int(stop[0] - start[0]), int(stop[1] - start[1]), int(stop[2] - start[2]))
    part = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    return part, VolumeGrid(shape, grid.spacing, tuple(centre))


def _distance_to_planes(surface: Surface, grid: VolumeGrid, voxels: np.ndarray) -> np.ndarray:
    a, b, c = (surface.vertices[surface.faces[:, k]] for k in range(3))
    normals = np.cross(b - a, c - a)
    normals = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    points = np.concatenate([surface.vertices, (a + b + c) / 3.0])
    normals = np.concatenate([vertex_normals(surface), normals])
    low, high = grid.to_ras(np.zeros(3)) - 4.0, grid.to_ras(np.array(grid.shape) - 1.0) + 4.0
    local = np.all((points >= low) & (points <= high), axis=1)
    points, normals = points[local], normals[local]
    positions = grid.to_ras(voxels)
    _, nearest = cKDTree(points).query(positions)
    return -np.einsum("ij,ij->i", positions - points[nearest], normals[nearest])
