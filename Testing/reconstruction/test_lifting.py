"""Lifting against projection: what a voxel sees is the pixel on which it falls."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from XRayTo3DLib.imaging.geometry import ViewGeometry, view_geometry
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.projector import projection_matrices
from XRayTo3DLib.imaging.radiograph import Side, View
from XRayTo3DLib.reconstruction.lifting import lift, parallel_matrices, pixel_rays, rescaled

GRID = VolumeGrid((6, 8, 10), 9.0)
VIEWS = (View.AP, View.PA, View.LATERAL)


def stand(view: View, sid: float = 1100.0, sod: float = 1000.0, size: int = 96) -> ViewGeometry:
    spacing = 1.5 * sid / sod
    return view_geometry(
        view, Side.RIGHT, sid=sid, sod=sod, spacing=(spacing, spacing), shape=(size, size)
    )


def coordinates(size: int) -> torch.Tensor:
    """An image of two channels: its own row and column."""
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    return torch.stack([rows, columns]).float()


@pytest.mark.parametrize("view", VIEWS)
def test_every_voxel_sees_its_own_pixel(view: View) -> None:
    geometry = stand(view)
    matrices = torch.from_numpy(projection_matrices((geometry,)))[None]
    lifted = lift(coordinates(96)[None, None], matrices, GRID)[0]
    z, y, x = np.meshgrid(*GRID.axes()[::-1], indexing="ij")
    expected = geometry.project(np.stack([x, y, z], axis=-1))
    np.testing.assert_allclose(lifted[0], expected[..., 0], atol=1e-2)
    np.testing.assert_allclose(lifted[1], expected[..., 1], atol=1e-2)


def test_beside_the_film_there_is_nothing() -> None:
    geometry = stand(View.AP, size=16)
    matrices = torch.from_numpy(projection_matrices((geometry,)))[None]
    lifted = lift(torch.ones(1, 1, 1, 16, 16), matrices, GRID)
    assert float(lifted[..., 0].abs().max()) == 0.0
    assert float(lifted[0, 0, 3, 4, 5]) == pytest.approx(1.0)


def test_stacking_is_the_limit_of_a_distant_source() -> None:
    far = [stand(view, sid=1e7, sod=1e7 - 100.0) for view in (View.AP, View.LATERAL)]
    cone = torch.from_numpy(np.stack([view.matrix() for view in far])).float()
    images = coordinates(96).expand(1, 2, 2, 96, 96)
    parallel = parallel_matrices(1.5, 96, images)
    stacked, limit = (lift(images, m[None], GRID) for m in (parallel, cone))
    np.testing.assert_allclose(stacked, limit, atol=0.05)


def test_stacking_repeats_each_film_along_its_own_axis() -> None:
    images = torch.rand(1, 2, 1, 96, 96, generator=torch.Generator().manual_seed(1))
    stacked = lift(images, parallel_matrices(1.5, 96, images)[None], GRID)[0]
    frontal, lateral = stacked
    np.testing.assert_allclose(frontal, frontal[:, :1].expand_as(frontal), atol=1e-6)
    np.testing.assert_allclose(lateral, lateral[..., :1].expand_as(lateral), atol=1e-6)


@pytest.mark.parametrize("factor", [2, 4])
def test_rescaled_projections_hit_the_reduced_image(factor: int) -> None:
    matrices = torch.from_numpy(projection_matrices((stand(View.LATERAL),)))[None]
    image = coordinates(96)[None]
    small = torch.nn.functional.avg_pool2d(image, factor)
    full = lift(image[:, None], matrices, GRID)
    reduced = lift(small[:, None], rescaled(matrices, factor), GRID)
    np.testing.assert_allclose(reduced, full, atol=1e-2)


@pytest.mark.parametrize("view", VIEWS)
def test_rays_of_a_matrix_are_those_of_the_geometry(view: View) -> None:
    geometry = stand(view, size=12)
    start, end = pixel_rays(torch.from_numpy(geometry.matrix()), 12, 12)
    np.testing.assert_allclose(start[0], geometry.source, atol=1e-6)
    np.testing.assert_allclose(end, geometry.pixel_positions().reshape(-1, 3), atol=1e-6)
