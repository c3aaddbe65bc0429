"""The z-buffer against a sphere and planes, of which every pixel's depth is known."""

from __future__ import annotations

import numpy as np
import pytest
import vtk

from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.reconstruction.z_buffer import Fragments, nearest_triangles

SHAPE = (120, 140)


def ball(radius: float) -> Surface:
    source = vtk.vtkSphereSource()
    source.SetRadius(radius)
    source.SetThetaResolution(128)
    source.SetPhiResolution(64)
    source.Update()
    return Surface.from_vtk(source.GetOutput())


def seen(surface: Surface, offset: tuple[float, float]) -> tuple[Fragments, np.ndarray]:
    """Looking along +z; rows grow with y, columns with x, so that outer faces turn clockwise."""
    position = surface.vertices[:, [1, 0]] + np.array(offset)
    # Rows down and columns right put +z behind the picture: the near side is that of small z.
    depth = surface.vertices[:, 2]
    return nearest_triangles(position, depth, surface.faces, SHAPE), depth


def test_a_ball_covers_its_disc_at_its_depth() -> None:
    fragments, depth = seen(ball(40.0), (60.0, 70.0))
    squared = (fragments.row - 60.0) ** 2 + (fragments.column - 70.0) ** 2
    assert len(squared) == pytest.approx(np.pi * 40.0**2, rel=0.01)
    distance = fragments.interpolated(depth)
    inner = squared < 35.0**2
    np.testing.assert_allclose(distance[inner], -np.sqrt(1600.0 - squared[inner]), atol=0.15)


def test_weights_add_up_to_the_pixel() -> None:
    surface = ball(40.0)
    fragments, _ = seen(surface, (60.0, 70.0))
    np.testing.assert_allclose(fragments.weights.sum(axis=1), 1.0)
    place = fragments.interpolated(surface.vertices[:, [1, 0]]) + (60.0, 70.0)
    np.testing.assert_allclose(place[:, 0], fragments.row, atol=1e-6)
    np.testing.assert_allclose(place[:, 1], fragments.column, atol=1e-6)


@pytest.mark.parametrize("listed", [("far", "near"), ("near", "far")])
def test_the_nearer_of_two_planes_is_seen(listed: tuple[str, str]) -> None:
    """Whichever is listed first: without a test of depth the one listed last would win."""
    corners = np.array([[10.0, 10.0], [10.0, 90.0], [90.0, 90.0], [90.0, 10.0]])
    planes = {"far": (corners, 5.0), "near": (corners * 0.5, 2.0)}
    position = np.concatenate([planes[name][0] for name in listed])
    depth = np.repeat([planes[name][1] for name in listed], 4)
    faces = np.array([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])
    # Both windings: one of them has its outer side turned towards the viewer.
    faces = np.concatenate([faces, faces[:, ::-1]])
    fragments = nearest_triangles(position, depth, faces, SHAPE)
    picture = np.full(SHAPE, np.nan)
    picture[fragments.row, fragments.column] = fragments.interpolated(depth)
    assert picture[30, 30] == 2.0
    assert picture[80, 80] == 5.0
    assert np.isnan(picture[100, 100])


def test_what_lies_beside_the_picture_is_left_out() -> None:
    fragments, _ = seen(ball(40.0), (0.0, 70.0))
    assert fragments.row.min() == 0
    assert len(fragments.row) == pytest.approx(np.pi * 40.0**2 / 2, rel=0.03)
    nothing, _ = seen(ball(40.0), (-100.0, 70.0))
    assert len(nothing.row) == 0


def test_a_surface_without_triangles_covers_nothing() -> None:
    empty = Surface(np.zeros((0, 3)), np.zeros((0, 3), dtype=np.int64))
    fragments, depth = seen(empty, (60.0, 70.0))
    assert len(fragments.row) == 0
    assert fragments.interpolated(depth).shape == (0,)
