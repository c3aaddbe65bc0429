from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.geometry import (
    MIRROR,
    BiplanarGeometry,
    ViewGeometry,
    geometry_of,
    view_geometry,
)
from XRayTo3DLib.imaging.radiograph import Origin, Radiograph, Side, Sourced, View

STAND = {"sid": 1000.0, "sod": 800.0, "spacing": (0.2, 0.25), "shape": (101, 81)}
RIGHT, FRONT, UP = np.eye(3)
ALL_VIEWS = [(view, side) for view in View for side in Side]


def film(view: View, side: Side, **changes: float | tuple[float, float]) -> Radiograph:
    """A black film that states its geometry."""
    stated = {**STAND, **changes}

    def said(value):
        return Sourced(value, Origin.USER)

    return Radiograph(
        pixels=np.zeros(stated["shape"], dtype=np.float32),
        spacing=said(stated["spacing"]),
        sid=said(stated["sid"]),
        sod=said(stated["sod"]),
        view=said(view),
        side=said(side),
        orientation=said(("L", "F")),
        inverted=said(False),
    )


def random_points(count: int = 30) -> np.ndarray:
    """Points in a knee's space, RAS mm."""
    return np.random.default_rng(7).uniform(-90, 90, (count, 3))


def random_view(seed: int) -> ViewGeometry:
    """A view with an oblique detector, off centre, its rows and columns square to each other."""
    rng = np.random.default_rng(seed)
    axes, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return ViewGeometry(
        source=-900 * axes[2] + rng.uniform(-50, 50, 3),
        first_pixel=200 * axes[2] - 60 * axes[0] - 70 * axes[1] + rng.uniform(-20, 20, 3),
        row_step=0.3 * axes[0],
        column_step=0.4 * axes[1],
        shape=(400, 350),
    )


def intersect_ray_with_detector(geometry: ViewGeometry, point: np.ndarray) -> np.ndarray:
    """Pixel (row, column) by solving source + t (point − source) = first + r row + c column."""
    ray = point - geometry.source
    system = np.stack([-ray, geometry.row_step, geometry.column_step], axis=1)
    _, row, column = np.linalg.solve(system, geometry.source - geometry.first_pixel)
    return np.array([row, column])


@pytest.mark.parametrize(("view", "side"), ALL_VIEWS)
@pytest.mark.parametrize(
    ("sid", "sod", "spacing"),
    [(1000.0, 800.0, (0.2, 0.25)), (1800.0, 1700.0, (0.139, 0.139)), (1200.0, 600.0, (1.0, 1.0))],
)
def test_magnification_is_sid_over_sod(view, side, sid, sod, spacing):
    geometry = view_geometry(view, side, sid=sid, sod=sod, spacing=spacing, shape=(64, 48))
    ends = geometry.project(np.array([-10 * UP, 10 * UP]))
    length = abs(ends[0, 0] - ends[1, 0]) * spacing[0]
    assert length == pytest.approx(20 * sid / sod)
    assert (geometry.sid, geometry.sod) == pytest.approx((sid, sod))
    assert geometry.spacing == pytest.approx(spacing)


@pytest.mark.parametrize(
    ("view", "side", "beam", "columns"),
    [
        (View.AP, Side.RIGHT, -FRONT, -RIGHT),
        (View.AP, Side.LEFT, -FRONT, -RIGHT),
        (View.PA, Side.RIGHT, FRONT, -RIGHT),
        (View.PA, Side.LEFT, FRONT, -RIGHT),
        (View.LATERAL, Side.RIGHT, RIGHT, -FRONT),
        (View.LATERAL, Side.LEFT, -RIGHT, FRONT),
    ],
)
def test_views_stand_as_a_radiograph_says(view, side, beam, columns):
    geometry = view_geometry(view, side, **STAND)
    np.testing.assert_allclose(geometry.normal, beam, atol=1e-12)
    np.testing.assert_allclose(geometry.source, -STAND["sod"] * beam, atol=1e-9)
    row_spacing, column_spacing = STAND["spacing"]
    np.testing.assert_allclose(geometry.column_step, column_spacing * columns, atol=1e-12)
    np.testing.assert_allclose(geometry.row_step, -row_spacing * UP, atol=1e-12)


@pytest.mark.parametrize(("view", "side"), ALL_VIEWS)
@pytest.mark.parametrize("centre", [None, (50.0, 40.0), (20.5, 66.0), (-30.0, 10.0)])
def test_isocentre_falls_where_it_is_asked_to(view, side, centre):
    geometry = view_geometry(view, side, **STAND, centre=centre)
    np.testing.assert_allclose(geometry.project(np.zeros(3)), centre or (50, 40), atol=1e-9)


def test_projection_of_a_point_worked_out_by_hand():
    """AP, SID 1000, SOD 800: 30 mm right, 200 mm in front, 12 mm up is magnified 1000/600."""
    geometry = view_geometry(View.AP, Side.RIGHT, **STAND)
    row, column = geometry.project(np.array([30.0, 200.0, 12.0]))
    assert row == pytest.approx(50 - 12 * (1000 / 600) / 0.2)
    assert column == pytest.approx(40 - 30 * (1000 / 600) / 0.25)


@pytest.mark.parametrize("seed", range(5))
def test_matrix_is_the_ray_meeting_the_detector(seed):
    geometry = random_view(seed)
    points = random_points()
    expected = [intersect_ray_with_detector(geometry, point) for point in points]
    np.testing.assert_allclose(geometry.project(points), expected, atol=1e-8)
    homogeneous = geometry.matrix() @ np.append(points[0], 1.0)
    np.testing.assert_allclose(homogeneous[:2] / homogeneous[2], expected[0], atol=1e-8)


@pytest.mark.parametrize("seed", range(3))
def test_w_is_the_depth_in_units_of_the_sid(seed):
    geometry = random_view(seed)
    points = random_points()
    w = points @ geometry.matrix()[2, :3] + geometry.matrix()[2, 3]
    depth = (points - geometry.source) @ geometry.normal
    np.testing.assert_allclose(w, depth / geometry.sid)
    assert np.all(w > 0)


@pytest.mark.parametrize("seed", range(3))
def test_pixels_project_onto_themselves(seed):
    geometry = replace(random_view(seed), shape=(7, 5))
    rows, columns = np.meshgrid(np.arange(7), np.arange(5), indexing="ij")
    projected = geometry.project(geometry.pixel_positions())
    np.testing.assert_allclose(projected, np.stack([rows, columns], axis=-1), atol=1e-8)


def test_every_point_of_a_ray_falls_on_one_pixel():
    geometry = random_view(4)
    along = np.linspace(0.5, 1.0, 6)[:, None]
    ray = geometry.source + along * (geometry.pixel_positions()[123, 45] - geometry.source)
    np.testing.assert_allclose(geometry.project(ray), [(123, 45)] * 6, atol=1e-7)


@pytest.mark.parametrize("seed", range(3))
def test_moved_follows_the_knee(seed):
    """A knee and a machine moved together give the same picture."""
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    shift = np.array([3.0, -5.0, 8.0])
    geometry, points = random_view(seed), random_points()
    moved = geometry.moved(rotation, shift).project(points @ rotation.T + shift)
    np.testing.assert_allclose(moved, geometry.project(points), atol=1e-8)


@pytest.mark.parametrize("seed", range(3))
def test_mirrored_view_of_the_mirrored_knee_is_the_same_picture(seed):
    geometry, points = random_view(seed), random_points()
    np.testing.assert_allclose(
        geometry.mirrored().project(points @ MIRROR), geometry.project(points), atol=1e-8
    )


@pytest.mark.parametrize("frontal", [View.AP, View.PA])
@pytest.mark.parametrize("angle", [90.0, 70.0, 120.0])
def test_left_knee_mirrored_falls_on_the_flipped_pixel(frontal, angle):
    centres = {"ap_centre": (40.0, 30.0), "lateral_centre": (55.0, 47.5)}
    left = geometry_of(
        film(frontal, Side.LEFT), film(View.LATERAL, Side.LEFT), angle=angle, **centres
    )
    points = random_points()
    for before, after in zip(left.views, left.mirrored().views, strict=True):
        row, column = before.project(points).T
        flipped = np.stack([row, before.shape[1] - 1 - column], axis=1)
        np.testing.assert_allclose(after.project(points @ MIRROR), flipped, atol=1e-8)


def assert_same_view(one: ViewGeometry, other: ViewGeometry) -> None:
    for name in ("source", "first_pixel", "row_step", "column_step"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=1e-9)
    assert one.shape == other.shape


@pytest.mark.parametrize("angle", [90.0, 75.0, 110.0])
def test_left_knee_mirrored_stands_as_a_right_knee(angle):
    stands = {
        side: geometry_of(film(View.AP, side), film(View.LATERAL, side), angle=angle)
        for side in Side
    }
    mirrored = stands[Side.LEFT].mirrored()
    for one, other in zip(mirrored.views, stands[Side.RIGHT].views, strict=True):
        assert_same_view(one, other)


@pytest.mark.parametrize("seed", range(3))
def test_mirroring_and_flipping_twice_changes_nothing(seed):
    geometry = random_view(seed)
    assert_same_view(geometry.mirrored().mirrored(), geometry)
    assert_same_view(geometry.flipped_columns().flipped_columns(), geometry)
    pair = BiplanarGeometry(geometry, random_view(seed + 10))
    for one, other in zip(pair.mirrored().mirrored().views, pair.views, strict=True):
        assert_same_view(one, other)


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("frontal", [View.AP, View.PA])
@pytest.mark.parametrize("angle", [30.0, 60.0, 85.5, 90.0, 97.5, 120.0, 150.0])
def test_angle_between_the_films_is_the_one_stated(side, frontal, angle):
    geometry = geometry_of(film(frontal, side), film(View.LATERAL, side), angle=angle)
    one, other = (view.normal for view in geometry.views)
    assert np.degrees(np.arccos(one @ other)) == pytest.approx(angle)
    assert geometry.angle == pytest.approx(angle)


@pytest.mark.parametrize("turn", [-30.0, 10.0, 90.0])
def test_view_turns_counter_clockwise_seen_from_above(turn):
    geometry = view_geometry(View.LATERAL, Side.RIGHT, **STAND, angle=turn)
    cosine, sine = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    np.testing.assert_allclose(geometry.normal, (cosine, sine, 0), atol=1e-12)
    np.testing.assert_allclose(geometry.row_step / STAND["spacing"][0], -UP, atol=1e-12)


def test_each_film_keeps_its_own_distances_and_pixels():
    frontal = film(View.AP, Side.RIGHT, sid=1100.0, sod=1000.0, spacing=(0.1, 0.1), shape=(30, 20))
    geometry = geometry_of(frontal, film(View.LATERAL, Side.RIGHT))
    assert [view.sid for view in geometry.views] == pytest.approx([1100, 1000])
    assert [view.sod for view in geometry.views] == pytest.approx([1000, 800])
    assert [view.shape for view in geometry.views] == [(30, 20), (101, 81)]
    assert geometry.frontal.spacing == pytest.approx((0.1, 0.1))


@pytest.mark.parametrize(("view", "side"), ALL_VIEWS)
@pytest.mark.parametrize(("spacing", "size"), [(1.0, 128), (0.7, 255), (2.0, 2)])
def test_resampled_detector_is_centred_and_scaled_at_the_isocentre(view, side, spacing, size):
    geometry = view_geometry(view, side, **STAND, centre=(10.0, 70.0), angle=12.0)
    seen = geometry.resampled(spacing, size)
    assert seen.shape == (size, size)
    np.testing.assert_allclose(seen.project(np.zeros(3)), ((size - 1) / 2,) * 2, atol=1e-9)
    one_pixel = seen.project(-spacing * UP) - seen.project(np.zeros(3))
    np.testing.assert_allclose(one_pixel, (1, 0), atol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_resampled_detector_lies_in_the_same_plane_and_runs_the_same_way(seed):
    geometry = random_view(seed)
    seen = geometry.resampled(1.3, 64)
    np.testing.assert_array_equal(seen.source, geometry.source)
    heights = (seen.pixel_positions() - geometry.first_pixel) @ geometry.normal
    np.testing.assert_allclose(heights, 0, atol=1e-9)
    for name in ("row_step", "column_step"):
        one, other = getattr(seen, name), getattr(geometry, name)
        assert one @ other == pytest.approx(np.linalg.norm(one) * np.linalg.norm(other))


@pytest.mark.parametrize("factor", [2, 4])
def test_binned_pixels_are_the_means_of_their_own(factor):
    geometry = random_view(1)
    rows, columns = (size // factor for size in geometry.shape)
    own = geometry.pixel_positions()[: rows * factor, : columns * factor]
    means = own.reshape(rows, factor, columns, factor, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(geometry.binned(factor).pixel_positions(), means, atol=1e-9)


def test_looking_makes_the_columns_square_to_the_ray():
    geometry = ViewGeometry.looking((0, -3.0, 0), (-1.0, -1.0, 0), **STAND)
    assert_same_view(geometry, view_geometry(View.AP, Side.RIGHT, **STAND))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"sod": 1000.0}, r"distance \(1000 mm\) must lie between 0 and .* \(1000 mm\)"),
        ({"sod": 1200.0}, r"distance \(1200 mm\)"),
        ({"sod": 0.0}, r"distance \(0 mm\)"),
        ({"sod": -5.0}, r"distance \(-5 mm\)"),
        ({"sid": float("nan")}, r"distance \(nan mm\)"),
        ({"spacing": (0.0, 0.2)}, r"spacing must be positive, not \(0.0, 0.2\)"),
        ({"spacing": (0.2, -0.2)}, r"spacing must be positive, not \(0.2, -0.2\)"),
        ({"spacing": (0.2, float("nan"))}, r"spacing must be positive"),
    ],
)
def test_impossible_machines_are_refused(changes, sentence):
    with pytest.raises(XRayTo3DError, match=sentence):
        view_geometry(View.AP, Side.RIGHT, **{**STAND, **changes})


@pytest.mark.parametrize("angle", [0.0, 29.9, 150.1, -90.0, float("nan")])
def test_angles_that_say_nothing_in_depth_are_refused(angle):
    with pytest.raises(XRayTo3DError, match=r"angle between the films is .*between 30° and 150°"):
        geometry_of(film(View.AP, Side.LEFT), film(View.LATERAL, Side.LEFT), angle=angle)
