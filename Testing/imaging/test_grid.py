from __future__ import annotations

import numpy as np
import pytest

from XRayTo3DLib.imaging.grid import VolumeGrid

GRIDS = [
    VolumeGrid.cube(128, 160.0),
    VolumeGrid.cube(5, 10.0),
    VolumeGrid((3, 4, 7), 0.7),
    VolumeGrid((6, 2, 3), 1.5, centre=(-12.0, 5.5, 80.0)),
]


def random_indices(grid: VolumeGrid, count: int = 20) -> np.ndarray:
    return np.random.default_rng(1).uniform(-2, np.array(grid.shape) + 1, (count, 3))


@pytest.mark.parametrize("grid", GRIDS)
def test_points_are_where_simpleitk_has_them(grid: VolumeGrid):
    image = grid.image(np.zeros(grid.shape, dtype=np.float32))
    index = random_indices(grid)
    lps = [image.TransformContinuousIndexToPhysicalPoint(i[::-1].tolist()) for i in index]
    np.testing.assert_allclose(grid.to_ras(index), np.array(lps) * (-1, -1, 1), atol=1e-9)


@pytest.mark.parametrize("grid", GRIDS)
def test_image_keeps_array_and_size(grid: VolumeGrid):
    array = np.random.default_rng(2).normal(size=grid.shape)
    image = grid.image(array)
    assert image.GetSize() == grid.shape[::-1]
    z, y, x = (count - 1 for count in grid.shape)
    assert image[x, y, z] == array[-1, -1, -1]
    assert image[0, y, 0] == array[0, -1, 0]


@pytest.mark.parametrize("grid", GRIDS)
def test_index_and_ras_are_inverse(grid: VolumeGrid):
    index = random_indices(grid).reshape(4, 5, 3)
    np.testing.assert_allclose(grid.to_index(grid.to_ras(index)), index, atol=1e-9)


@pytest.mark.parametrize("grid", GRIDS)
def test_axes_are_the_coordinates_of_the_voxels(grid: VolumeGrid):
    x, y, z = grid.axes()
    assert (len(z), len(y), len(x)) == grid.shape
    corners = grid.to_ras(np.array([[0, 0, 0], np.array(grid.shape) - 1]))
    np.testing.assert_allclose(corners, [(x[0], y[0], z[0]), (x[-1], y[-1], z[-1])], atol=1e-9)


@pytest.mark.parametrize(
    ("index", "direction"),
    [((0, 0, 1), (1, 0, 0)), ((0, 1, 0), (0, 1, 0)), ((1, 0, 0), (0, 0, 1))],
)
def test_axes_run_to_the_right_to_the_front_and_up(index, direction):
    grid = VolumeGrid((4, 4, 4), 2.0)
    step = grid.to_ras(np.array(index)) - grid.to_ras(np.zeros(3))
    np.testing.assert_allclose(step, 2.0 * np.array(direction))


@pytest.mark.parametrize("grid", GRIDS)
def test_middle_of_the_grid_is_its_centre(grid: VolumeGrid):
    middle = (np.array(grid.shape) - 1) / 2
    np.testing.assert_allclose(grid.to_ras(middle), grid.centre, atol=1e-9)


@pytest.mark.parametrize(
    ("size", "field_of_view", "spacing", "first"),
    [(128, 160.0, 1.25, -79.375), (96, 144.0, 1.5, -71.25), (1, 8.0, 8.0, 0.0)],
)
def test_cube_spans_the_field_of_view(size, field_of_view, spacing, first):
    grid = VolumeGrid.cube(size, field_of_view)
    assert grid.shape == (size, size, size)
    assert grid.spacing == pytest.approx(spacing)
    np.testing.assert_allclose(grid.first, (first,) * 3)


@pytest.mark.parametrize(
    ("point", "inside"),
    [
        ((0, 0, 0), True),
        ((7.0, 4.0, 3.0), True),
        ((-7.0, -4.0, -3.0), True),
        ((7.01, 0, 0), False),
        ((0, -4.01, 0), False),
        ((0, 0, 3.01), False),
    ],
)
def test_contains_counts_up_to_the_outer_faces(point, inside):
    assert bool(VolumeGrid((3, 4, 7), 2.0).contains(np.array(point))) is inside


def test_contains_keeps_the_shape_of_its_points():
    points = np.zeros((2, 5, 3))
    points[1, 2] = 100
    inside = VolumeGrid.cube(4, 8.0).contains(points)
    assert inside.shape == (2, 5)
    assert np.argwhere(~inside).tolist() == [[1, 2]]
