"""Metrics against spheres in closed form, and against SimpleITK's on voxels."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import vtk

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.surface import Surface, read_surface
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.evaluation.metrics import (
    EMPTY,
    SurfaceDistances,
    compare_bone,
    dice,
    sample_surface,
    signed_distances,
    solid_dice,
    surface_distances,
)
from XRayTo3DLib.imaging.grid import VolumeGrid


def sphere(radius: float, centre=(0.0, 0.0, 0.0)) -> Surface:
    source = vtk.vtkSphereSource()
    source.SetRadius(radius)
    source.SetCenter(*centre)
    source.SetThetaResolution(120)
    source.SetPhiResolution(120)
    source.Update()
    return Surface.from_vtk(source.GetOutput())


def tube(radius: float, half_length: float) -> Surface:
    """A closed cylinder along z."""
    source = vtk.vtkCylinderSource()
    source.SetRadius(radius)
    source.SetHeight(2 * half_length)
    source.SetResolution(180)
    source.Update()
    upright = np.array([[1, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1.0]])
    return Surface.from_vtk(source.GetOutput()).transformed(upright)


def ball(radius: float, centre, count: int = 110, spacing: float = 0.4) -> np.ndarray:
    x, y, z = VolumeGrid((count,) * 3, spacing).axes()
    gap = (x - centre[0]) ** 2 + (y[:, None] - centre[1]) ** 2
    return gap + (z[:, None, None] - centre[2]) ** 2 < radius**2


def image_of(mask: np.ndarray, spacing: float) -> sitk.Image:
    return VolumeGrid(mask.shape, spacing).image(mask.astype(np.uint8))


@pytest.mark.parametrize("inner, outer", [(20.0, 23.0), (12.0, 12.5), (8.0, 30.0)])
def test_concentric_spheres(inner: float, outer: float):
    distances = surface_distances(sphere(inner), sphere(outer))
    gap = outer - inner
    expected = SurfaceDistances(gap, gap, gap, -gap)
    for name in ("assd", "hd95", "hausdorff", "bias"):
        assert getattr(distances, name) == pytest.approx(getattr(expected, name), abs=0.015)
    overlap = 2 * inner**3 / (inner**3 + outer**3)
    assert solid_dice(sphere(inner), sphere(outer)) == pytest.approx(overlap, abs=0.002)


@pytest.mark.parametrize("radius, shift", [(20.0, 3.0), (20.0, 0.7), (7.0, 5.0), (10.0, 25.0)])
def test_spheres_apart(radius: float, shift: float):
    a, b = sphere(radius), sphere(radius, (0.6 * shift, 0.0, 0.8 * shift))
    # The height of a point spread evenly over a sphere is uniform (Archimedes).
    height = np.linspace(-1, 1, 200001)
    away = np.abs(np.sqrt(radius**2 + shift**2 + 2 * radius * shift * height) - radius)
    distances = surface_distances(a, b)
    assert distances.assd == pytest.approx(away.mean(), abs=0.01)
    assert distances.hd95 == pytest.approx(np.percentile(away, 95), abs=0.02)
    assert distances.hausdorff == pytest.approx(shift, abs=0.03)
    ratio = min(shift / (2 * radius), 1.0)
    assert solid_dice(a, b) == pytest.approx(1 - 1.5 * ratio + 0.5 * ratio**3, abs=0.003)


@pytest.mark.parametrize("shift", [(0, 0, 0), (3.1, 0, 0), (4, -2, 5), (60, 0, 0)])
def test_dice_is_that_of_simpleitk(shift):
    a, b = ball(16, (0, 0, 0)), ball(12, shift)
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(image_of(a, 0.4), image_of(b, 0.4))
    assert dice(a, b) == pytest.approx(overlap.GetDiceCoefficient(), abs=1e-12)


@pytest.mark.parametrize("shift", [(3.1, 0, 0), (4, -2, 5)])
def test_distances_are_those_of_simpleitk_on_voxels(shift):
    spacing = 0.4
    images = [image_of(ball(16, (0, 0, 0)), spacing), image_of(ball(12, shift), spacing)]
    maps = [
        sitk.GetArrayFromImage(sitk.SignedMaurerDistanceMap(image, False, False, True))
        for image in images
    ]
    borders = [sitk.GetArrayFromImage(sitk.LabelContour(image)) > 0 for image in images]
    directed = [np.abs(maps[1][borders[0]]), np.abs(maps[0][borders[1]])]
    hausdorff = sitk.HausdorffDistanceImageFilter()
    hausdorff.Execute(*images)

    distances = surface_distances(sphere(16), sphere(12, shift))
    assert distances.assd == pytest.approx(np.mean([d.mean() for d in directed]), abs=0.6 * spacing)
    percentile = max(np.percentile(d, 95) for d in directed)
    assert distances.hd95 == pytest.approx(percentile, abs=spacing)
    assert distances.hausdorff == pytest.approx(hausdorff.GetHausdorffDistance(), abs=spacing)


def test_cut_ends_are_left_out_and_distances_measured_to_the_whole_bone():
    region = VolumeGrid.cube(80, 120.0)
    truth, predicted = tube(15, 180), tube(16, 60)
    distances = surface_distances(predicted, truth, region)
    assert distances.assd == pytest.approx(1.0, abs=0.01)
    assert distances.hausdorff == pytest.approx(1.0, abs=0.01)
    assert distances.bias == pytest.approx(1.0, abs=0.01)
    assert surface_distances(predicted, truth).hausdorff > 100
    # The solids are compared as far as the faces and no further.
    assert solid_dice(predicted, truth, region) == pytest.approx(
        2 * 15**2 / (15**2 + 16**2), abs=0.003
    )


def test_cut_planes_leave_out_what_lies_beyond():
    planes = np.array([[0, 0, 1, -50.0], [0, 0, -1, -50.0]])
    truth, predicted = tube(15, 180), tube(16, 60)
    distances = surface_distances(predicted, truth, margin=2.0, cut_planes=planes)
    assert distances.hausdorff == pytest.approx(1.0, abs=0.01)
    assert surface_distances(predicted, truth, cut_planes=planes[:1]).hausdorff > 100


OUTSIDE = Surface(sphere(5).vertices + 500.0, sphere(5).faces)


@pytest.mark.parametrize(
    "predicted, truth, overlap, distance",
    [
        (EMPTY, EMPTY, 1.0, 0.0),
        (None, None, 1.0, 0.0),
        (EMPTY, sphere(9), 0.0, np.inf),
        (sphere(9), None, 0.0, np.inf),
        (OUTSIDE, sphere(9), 0.0, np.inf),
        (OUTSIDE, OUTSIDE, 1.0, 0.0),
    ],
)
def test_empty_bones_have_a_stated_result(predicted, truth, overlap, distance):
    metrics = compare_bone(predicted, truth, VolumeGrid.cube(64, 96.0))
    assert metrics.dice == overlap
    assert metrics.distances.assd == distance
    assert metrics.distances.hd95 == distance
    assert metrics.distances.hausdorff == distance


def test_dice_of_empty_masks_and_of_other_shapes():
    nothing, something = np.zeros((3, 4), bool), np.ones((3, 4), bool)
    assert dice(nothing, nothing) == 1.0
    assert dice(nothing, something) == 0.0
    with pytest.raises(XRayTo3DError, match=r"\(3, 4\).*\(4, 3\)"):
        dice(nothing, nothing.T)


def test_points_are_spread_by_area_whatever_the_triangles():
    # A box of 10 × 20 × 40 with one face cut into many more triangles than the others.
    source = vtk.vtkCubeSource()
    source.SetXLength(10)
    source.SetYLength(20)
    source.SetZLength(40)
    source.Update()
    box = Surface.from_vtk(source.GetOutput())
    divide = vtk.vtkLinearSubdivisionFilter()
    divide.SetNumberOfSubdivisions(5)
    top = box.vertices[box.faces][:, :, 2].min(axis=1) > 19
    divide.SetInputData(Surface(box.vertices, box.faces[top]).to_vtk())
    divide.Update()
    many = Surface.from_vtk(divide.GetOutput())
    mixed = Surface(
        np.concatenate([box.vertices, many.vertices]),
        np.concatenate([box.faces[~top], many.faces + len(box.vertices)]),
    )
    points = sample_surface(mixed, area_per_point=0.5)
    assert len(points) == pytest.approx(2 * (200 + 400 + 800) / 0.5, abs=1)
    for axis, (half, area) in enumerate([(5, 800), (10, 400), (20, 200)]):
        for sign in (-1, 1):
            share = np.mean(np.abs(points[:, axis] - sign * half) < 1e-6)
            assert share == pytest.approx(area / 2800, abs=2e-3)
    # Even within a face: mean and variance of a uniform distribution.
    face = points[np.abs(points[:, 0] - 5) < 1e-6]
    np.testing.assert_allclose(face[:, 1:].mean(axis=0), 0, atol=0.2)
    np.testing.assert_allclose(face[:, 1:].var(axis=0), [400 / 12, 1600 / 12], rtol=0.02)
    np.testing.assert_array_equal(points, sample_surface(mixed, area_per_point=0.5))


def test_signed_distances_to_a_sphere():
    points = np.random.default_rng(1).normal(0, 12, (2000, 3))
    expected = np.linalg.norm(points, axis=1) - 15
    np.testing.assert_allclose(signed_distances(points, sphere(15)), expected, atol=0.01)
    with pytest.raises(XRayTo3DError, match="empty surface"):
        signed_distances(points, EMPTY)


def test_real_bone_moved_by_a_millimetre(shared_bones):
    truth = read_surface(shared_bones / "vhf_right" / f"{Bone.PATELLA.key}.ply")
    same = compare_bone(truth, truth)
    assert same.dice == 1.0
    assert same.distances.hausdorff < 1e-4
    moved = compare_bone(Surface(truth.vertices + [0, 0, 1.0], truth.faces), truth)
    assert 0.4 < moved.distances.assd < 0.8
    assert 0.9 < moved.distances.hausdorff <= 1.001
    assert 0.95 < moved.dice < 0.99
