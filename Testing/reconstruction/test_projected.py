"""Silhouettes against rays through solids, outlines and their distances against discs."""

from __future__ import annotations

import numpy as np
import pytest
import vtk
from scipy import ndimage

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.surface import Surface, read_surface
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.evaluation.film_metrics import contour_distance_2d, dice_2d
from XRayTo3DLib.imaging.geometry import ViewGeometry, view_geometry
from XRayTo3DLib.imaging.radiograph import Side, View
from XRayTo3DLib.reconstruction.projected import (
    edge_agreement,
    outline,
    silhouette,
)

SPACING = (0.5, 0.5)


def standing(view: View, shape=(180, 200), spacing=(1.0, 0.9), angle=0.0) -> ViewGeometry:
    return view_geometry(
        view, Side.RIGHT, sid=1000, sod=850, spacing=spacing, shape=shape, angle=angle
    )


def ray_distance(view: ViewGeometry, centre: np.ndarray) -> np.ndarray:
    """Distance of a point from the ray to each pixel centre, mm, ``(rows, columns)``."""
    rays = view.pixel_positions() - view.source
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    return np.linalg.norm(np.cross(rays, centre - view.source), axis=-1)


def disc(radius: float, centre=(64.0, 64.0), shape=(128, 128)) -> np.ndarray:
    row, column = np.ogrid[: shape[0], : shape[1]]
    return np.hypot(row - centre[0], column - centre[1]) < radius


def fine_sphere(radius: float, centre: np.ndarray) -> Surface:
    source = vtk.vtkSphereSource()
    source.SetRadius(radius)
    source.SetCenter(*centre)
    source.SetThetaResolution(200)
    source.SetPhiResolution(200)
    source.Update()
    return Surface.from_vtk(source.GetOutput())


@pytest.mark.parametrize(
    "view",
    [
        standing(View.AP),
        standing(View.LATERAL, angle=20.0),
        standing(View.PA, spacing=(0.6, 1.4)),
    ],
)
@pytest.mark.parametrize("centre", [(0.0, 0.0, 0.0), (70.0, 40.0, -60.0)])
def test_sphere_covers_the_pixels_whose_rays_meet_it(view, centre):
    radius = 31.0
    mask = silhouette(fine_sphere(radius, np.array(centre)), view)
    distance = ray_distance(view, np.array(centre))
    assert mask.shape == view.shape
    assert np.all(mask[distance < 0.999 * radius])
    assert not np.any(mask[distance > radius + 1e-3])
    assert (distance < radius).any()


def test_real_bone_covers_the_pixels_whose_rays_meet_it(shared_bones):
    bone = read_surface(shared_bones / "vsd_z013_right" / "tibia.ply")
    view = standing(View.LATERAL, shape=(120, 100), spacing=(1.7, 1.6))
    mask = silhouette(bone, view)
    locator = vtk.vtkStaticCellLocator()
    locator.SetDataSet(bone.to_vtk())
    locator.BuildLocator()
    pixels = view.pixel_positions()
    generator = np.random.default_rng(3)
    tested = generator.integers(0, view.shape, size=(1500, 2))
    t, x, p, part = vtk.reference(0.0), [0.0] * 3, [0.0] * 3, vtk.reference(0)
    hits = [
        bool(locator.IntersectWithLine(view.source, pixels[row, column], 0.0, t, x, p, part))
        for row, column in tested
    ]
    assert 200 < sum(hits) < 1300
    # VTK's surface is in single precision, so a ray may graze an edge either way.
    assert np.sum(mask[tuple(tested.T)] != hits) <= 1


def test_no_pixel_is_missed_between_triangles(toy_knee):
    view = standing(View.AP, shape=(700, 700), spacing=(0.21, 0.21))
    for surface in toy_knee.values():
        mask = silhouette(surface, view)
        assert mask.any()
        assert np.array_equal(mask, ndimage.binary_fill_holes(mask))
        _, pieces = ndimage.label(mask)
        assert pieces == 1


@pytest.mark.parametrize("sod", [850.0, 700.0])
def test_what_lies_off_the_detector_is_not_seen(sod):
    view = view_geometry(View.AP, Side.RIGHT, sid=1000, sod=sod, spacing=(1, 1), shape=(50, 60))
    away = fine_sphere(10.0, np.array([0.0, 0.0, 200.0]))
    assert not silhouette(away, view).any()
    all_over = fine_sphere(80.0, np.zeros(3))
    assert silhouette(all_over, view).all()
    empty = Surface(np.zeros((0, 3)), np.zeros((0, 3), dtype=np.int64))
    assert not silhouette(empty, view).any()


def test_a_bone_behind_the_source_is_refused(toy_knee):
    view = view_geometry(View.AP, Side.RIGHT, sid=1000, sod=20, spacing=(1, 1), shape=(50, 60))
    with pytest.raises(XRayTo3DError, match="behind the X-ray source"):
        silhouette(toy_knee[Bone.PATELLA], view)


def test_outline_has_the_mask_on_its_right():
    contours = outline(disc(30.0))
    assert len(contours) == 1
    contour = contours[0]
    np.testing.assert_array_equal(contour[0], contour[-1])
    np.testing.assert_allclose(np.hypot(*(contour - 64.0).T), 30.0, atol=0.8)
    row, column = contour.T
    # Shoelace formula; clockwise as seen (rows down) is positive.
    area = 0.5 * np.sum(column[:-1] * row[1:] - column[1:] * row[:-1])
    assert area == pytest.approx(np.pi * 30**2, rel=0.02)


def test_the_border_of_the_picture_is_no_outline():
    mask = disc(30.0, centre=(0.0, 64.0))
    contours = outline(mask)
    assert len(contours) == 1
    assert contours[0][[0, -1], 0] == pytest.approx([0, 0])
    assert np.all(np.hypot(*(contours[0] - [0, 64]).T) > 29)
    assert outline(np.ones((9, 9), bool)) == []


@pytest.mark.parametrize(
    "a, b, expected",
    [
        (disc(30), disc(30), 1.0),
        (disc(30), disc(15), 2 / 5),
        (disc(10, (30, 30)), disc(10, (90, 90)), 0.0),
        (disc(30) & False, disc(30) & False, 1.0),
        (disc(30) & False, disc(30), 0.0),
    ],
)
def test_dice_of_discs(a, b, expected):
    # 2·15² / (30² + 15²) is 2/5.
    assert dice_2d(a, b) == pytest.approx(expected, abs=0.01)


def test_dice_wants_two_pictures_of_one_shape():
    with pytest.raises(XRayTo3DError, match="rows and columns"):
        dice_2d(np.zeros((2, 2, 2), bool), np.zeros((2, 2, 2), bool))
    with pytest.raises(XRayTo3DError, match=r"\(128, 128\)"):
        dice_2d(disc(3), np.zeros((2, 2), bool))


@pytest.mark.parametrize(
    "a, b, spacing, expected",
    [
        (disc(40), disc(40), (0.5, 0.5), 0.0),
        (disc(40), disc(34), (1.0, 1.0), 6.0),
        (disc(40), disc(34), (0.3, 0.3), 1.8),
        # Moved by d, a disc's outline is 2d/π away on average.
        (disc(40), disc(40, (64, 68)), (0.5, 0.5), 4 * 0.5 * 2 / np.pi),
        (disc(40) & False, disc(40) & False, (1.0, 1.0), 0.0),
        (disc(40), disc(40) & False, (1.0, 1.0), np.inf),
    ],
)
def test_distance_of_outlines(a, b, spacing, expected):
    assert contour_distance_2d(a, b, spacing) == pytest.approx(expected, abs=0.15 * spacing[0])
    assert contour_distance_2d(b, a, spacing) == contour_distance_2d(a, b, spacing)


def test_distance_of_outlines_on_oblong_pixels():
    wide, narrow = np.zeros((60, 400), bool), np.zeros((60, 400), bool)
    wide[20:40], narrow[23:37] = True, True
    assert contour_distance_2d(wide, narrow, (0.7, 0.1)) == pytest.approx(3 * 0.7, abs=1e-6)


@pytest.fixture(scope="module")
def film() -> tuple[np.ndarray, list[np.ndarray]]:
    """Noisy film of a ball of 25 mm with a dense shell, in a leg, and the ball's outline."""
    view = standing(View.AP, shape=(256, 256), spacing=SPACING)
    centre = np.zeros(3)
    distance = ray_distance(view, centre)
    whole, core = (2 * np.sqrt(np.clip(r**2 - distance**2, 0, None)) for r in (25, 23))
    chord = whole - 0.8 * core
    leg = 60 + 0.05 * (np.arange(256) - 128)
    noise = np.random.default_rng(8).normal(0, 1.0, chord.shape)
    pixels = ndimage.gaussian_filter(chord + leg, 0.6) + noise
    return pixels, outline(silhouette(fine_sphere(25, centre), view))


def test_agreement_falls_as_the_outline_moves_off(film):
    pixels, contours = film
    scores = []
    for shift in (0.0, 1.0, 3.0, 5.0):
        moved = [contour + [0, shift / SPACING[1]] for contour in contours]
        grown = [128 + (contour - 128) * (1 + shift / 29.4) for contour in contours]
        scores.append([edge_agreement(pixels, part, spacing=SPACING) for part in (moved, grown)])
    moved, grown = np.transpose(scores)
    assert moved[0] > 0.95
    assert np.all(np.diff(moved) < 0)
    assert moved[2] < moved[0] - 0.2
    assert np.all(grown[2:] < 0.5)


def test_agreement_does_not_depend_on_exposure(film):
    pixels, contours = film
    score = edge_agreement(pixels, contours, spacing=SPACING)
    assert edge_agreement(7 * pixels + 1000, contours, spacing=SPACING) == pytest.approx(
        score, abs=1e-3
    )
    tone = np.exp(-pixels / 40)
    assert edge_agreement(-tone, contours, spacing=SPACING) > 0.9
    assert edge_agreement(tone, contours, spacing=SPACING) < 0.05


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_agreement_with_nothing_but_noise_is_that_of_chance(film, scale):
    _, contours = film
    values = [
        edge_agreement(
            np.random.default_rng(seed).normal(size=(256, 256)),
            contours,
            spacing=SPACING,
            scale=scale,
        )
        for seed in range(12)
    ]
    assert np.mean(values) == pytest.approx(1 / np.pi, abs=0.06)


def test_agreement_on_oblong_pixels():
    # An ellipse on the film is a disc in mm: gradient and normal must both be in mm.
    row, column = np.mgrid[:100, :300]
    distance = np.hypot((row - 50) * 0.9, (column - 150) * 0.3)
    pixels = np.clip(35 - distance, 0, 10)
    contours = outline(distance < 30)
    assert edge_agreement(pixels, contours, spacing=(0.9, 0.3)) > 0.98


def test_agreement_of_no_outline_is_not_a_number(film):
    pixels, contours = film
    assert np.isnan(edge_agreement(pixels, [], spacing=SPACING))
    outside = [contour + 1000 for contour in contours]
    assert np.isnan(edge_agreement(pixels, outside, spacing=SPACING))
    assert edge_agreement(np.zeros((256, 256)), contours, spacing=SPACING) == 0.0
