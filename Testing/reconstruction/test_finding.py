"""Finding the knee: on drawn shapes, and on the sample film enlarged, turned and shifted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage.draw import disk, polygon

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.geometry import film_geometry
from XRayTo3DLib.imaging.radiograph import Origin, Radiograph, Side, View
from XRayTo3DLib.imaging.reading import read_radiograph
from XRayTo3DLib.reconstruction.calibration_ball import find_ball, scale_by_ball, scale_by_ruler
from XRayTo3DLib.reconstruction.finding import find_knee
from XRayTo3DLib.reconstruction.finding_geometry import (
    rolled,
    upright_detector,
    upright_geometry,
)
from XRayTo3DLib.reconstruction.finding_window import Window
from XRayTo3DLib.reconstruction.long_axis import Line, condylar_width, shaft_axis
from XRayTo3DLib.reconstruction.standard_film import (
    FilmSampler,
    film_on_detector,
    standard_film,
)
from XRayTo3DLib.reconstruction.weights import load_model
from XRayTo3DLib.resources import resource_path

STEP = 1.36


@pytest.fixture(scope="module")
def frontal() -> Radiograph:
    return read_radiograph(resource_path("SampleData", "knee_ap.dcm"))


def bar(angle: float, size: int = 128, width: float = 24.0) -> np.ndarray:
    """A straight shaft above the middle, leaning to the right."""
    axis = Line((64.0, 64.0), angle)
    across, reach = width / 2 / STEP * axis.right, 300.0 * axis.up
    corners = np.array([-across, across, across + reach, -across + reach]) + 64.0
    mask = np.zeros((size, size))
    mask[polygon(corners[:, 0], corners[:, 1], mask.shape)] = 1.0
    return mask


@pytest.mark.parametrize("angle", [-25.0, -10.0, 0.0, 7.0, 30.0])
def test_the_axis_of_a_straight_shaft(angle: float) -> None:
    mask = bar(angle)
    seen = np.ones(mask.shape, dtype=bool)
    axis = shaft_axis(mask, seen, (64.0, 64.0), STEP, Bone.FEMUR)
    assert axis is not None
    assert axis.angle == pytest.approx(angle, abs=0.6)
    empty = np.zeros_like(mask)
    width = condylar_width(mask, empty, seen, axis, STEP, lateral=False)
    assert width == pytest.approx(24.0, abs=1.5)


def test_no_axis_without_a_shaft() -> None:
    mask = np.zeros((128, 128))
    assert shaft_axis(mask, mask == 0, (64.0, 64.0), STEP, Bone.TIBIA) is None


def test_a_window_lies_on_its_film_as_it_says() -> None:
    window = Window((300.0, 410.0), 12.0, (0.3, 0.2), 1.36, 128)
    sides = np.diff(np.concatenate([window.corners(), window.corners()[:1]]), axis=0) * (0.3, 0.2)
    assert np.hypot(*sides.T) == pytest.approx(128 * 1.36)
    assert window.corners().mean(axis=0) == pytest.approx((300.0, 410.0))
    # What is above the middle of the window leans to the right on the film by the roll.
    down, right = (window.on_film(np.array([0.0, 63.5])) - (300.0, 410.0)) * (0.3, 0.2)
    assert np.degrees(np.arctan2(right, -down)) == pytest.approx(12.0)


def test_a_level_window_shows_what_the_networks_are_shown(frontal: Radiograph) -> None:
    view = film_geometry(frontal)
    wanted = standard_film(frontal.pixels, view, 0.68, 256)
    step = np.array(frontal.spacing.value) / frontal.magnification
    middle = (np.array(frontal.pixels.shape) - 1) / 2
    window = Window((middle[0], middle[1]), 0.0, (step[0], step[1]), 0.68, 256)
    shown = FilmSampler(frontal.pixels).at(window.affine(), (256, 256))
    assert torch.equal(shown, wanted)


@pytest.mark.parametrize("view", [View.AP, View.PA, View.LATERAL])
@pytest.mark.parametrize("side", list(Side))
def test_what_leans_on_the_film_is_upright_in_the_world(
    frontal: Radiograph, view: View, side: Side
) -> None:
    film = replace(
        frontal, view=replace(frontal.view, value=view), side=replace(frontal.side, value=side)
    )
    centre, roll = (400.0, 300.0), 11.0
    geometry = upright_geometry(film, centre, roll)
    assert geometry.project(np.zeros(3)) == pytest.approx(centre)
    above = geometry.project(np.array([0.0, 0.0, 20.0])) - centre
    assert np.degrees(np.arctan2(above[1], -above[0])) == pytest.approx(roll)
    detector = upright_detector(geometry, 0.68, 64)
    line = detector.project(np.array([[0.0, 0.0, 20.0], [0.0, 0.0, -20.0]]))
    assert line[:, 1] == pytest.approx([31.5, 31.5])
    assert line[0, 0] < line[1, 0]


def test_an_upright_film_is_seen_as_ever(frontal: Radiograph) -> None:
    view = film_geometry(frontal)
    assert rolled(view, 0.0).project(np.ones(3)) == pytest.approx(view.project(np.ones(3)))
    shown = film_on_detector(frontal.pixels, view, upright_detector(view, 0.68, 256))
    wanted = standard_film(frontal.pixels, view, 0.68, 256)
    assert np.abs(shown.numpy() - wanted.numpy()).max() < 1e-3


def test_the_knee_is_found_on_a_larger_film_turned_and_shifted(frontal: Radiograph) -> None:
    turn, shift = 10.0, (120, -60)
    rows, columns = frontal.pixels.shape
    large = np.pad(frontal.pixels, ((300, 300), (150, 150)), mode="minimum")
    # SciPy turns counter-clockwise as the picture is seen; the leg then leans to the left.
    turned = ndimage.rotate(large, turn, reshape=False, order=1, mode="nearest")
    turned = ndimage.shift(turned, shift, order=1, mode="nearest")
    film = replace(frontal, pixels=turned)
    model = load_model()
    plain, found = find_knee(frontal, model), find_knee(film, model)
    middle = (np.array([rows, columns]) - 1) / 2
    offset = np.array(plain.centre) - middle
    cosine, sine = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    expected = (
        (np.array(turned.shape) - 1) / 2
        + shift
        + (cosine * offset[0] - sine * offset[1], sine * offset[0] + cosine * offset[1])
    )
    step = np.array(frontal.spacing.value) / frontal.magnification
    assert np.hypot(*((np.array(found.centre) - expected) * step)) < 6.0
    assert found.roll - plain.roll == pytest.approx(-turn, abs=4.0)
    assert found.confidence > 0.5
    assert found.flexion is None  # a frontal film does not tell


def test_an_assumed_scale_is_replaced_and_says_so(frontal: Radiograph) -> None:
    spacing = replace(frontal.spacing, value=(0.1, 0.1), origin=Origin.ASSUMED)
    found = find_knee(replace(frontal, spacing=spacing), load_model())
    truth = np.array(frontal.spacing.value) / frontal.magnification
    assert found.scale.origin is Origin.ASSUMED
    assert abs(found.scale.step[0] / truth[0] - 1.0) < 3 * found.scale.relative


@pytest.mark.parametrize("radius", [15.0, 40.0])
def test_a_ball_is_found(radius: float) -> None:
    picture = np.random.default_rng(2).normal(0.3, 0.02, (500, 400))
    picture[disk((180.0, 260.0), radius, shape=picture.shape)] = 1.0
    ball = find_ball(picture, (8.0, 80.0))
    assert ball is not None
    assert ball.centre == pytest.approx((180.0, 260.0), abs=0.5)
    assert ball.radius == pytest.approx(radius, abs=0.6)


def test_a_square_is_no_ball() -> None:
    picture = np.full((400, 400), 0.2)
    picture[150:220, 100:170] = 1.0
    assert find_ball(picture, (8.0, 80.0)) is None


def test_scales_of_ball_and_ruler(frontal: Radiograph) -> None:
    pixels = np.full((600, 500), 0.2, dtype=np.float32)
    pixels[disk((300.0, 200.0), 50.0, shape=pixels.shape)] = 1.0
    film = replace(frontal, pixels=pixels)
    by_ball, _ = scale_by_ball(film, 25.4)
    assert by_ball.step[0] == pytest.approx(0.254, rel=0.01)
    by_ruler = scale_by_ruler(film, (100.0, 100.0), (100.0, 300.0), 50.0)
    assert by_ruler.step == pytest.approx((0.25, 0.25))
    # 20 mm nearer to the tube or further away, of the source-object distance, is most of the doubt.
    assert by_ruler.relative == pytest.approx(20.0 / film.sod.value, rel=0.3)


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda film: scale_by_ball(film, 0.0), "--ball"),
        (lambda film: scale_by_ruler(film, (0, 0), (0, 5), 50.0), "--ruler"),
        (lambda film: scale_by_ruler(film, (0, 0), (0, 500), -1.0), "--ruler"),
        (lambda film: scale_by_ball(replace(film, pixels=film.pixels * 0), 25.4), "--ruler"),
    ],
)
def test_bad_scales_are_refused(frontal: Radiograph, call, word: str) -> None:
    with pytest.raises(XRayTo3DError, match=word):
        call(frontal)
