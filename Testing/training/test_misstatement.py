"""Geometry that is stated a little wrongly, against cameras that really stand so."""

from __future__ import annotations

import numpy as np
import pytest

from XRayTo3DLib.anatomy.knee import rotation
from XRayTo3DLib.imaging.geometry import ViewGeometry, view_geometry
from XRayTo3DLib.imaging.radiograph import Side, View
from XRayTo3DLib.training.cases import FILM_SIZE, FILM_SPACING
from XRayTo3DLib.training.misstatement import Misstatement, stated_matrices

NOTHING = Misstatement(turn=0.0, roll=0.0, height=0.0, magnification=0.0)
POINTS = np.random.default_rng(3).uniform(-60.0, 60.0, (40, 3))


def stand(view: View, **where: float) -> ViewGeometry:
    spacing = FILM_SPACING * 1200.0 / 1050.0
    return view_geometry(
        view,
        Side.RIGHT,
        sid=1200.0,
        sod=1050.0,
        spacing=(spacing, spacing),
        shape=(FILM_SIZE, FILM_SIZE),
        **where,
    )


@pytest.fixture
def true() -> np.ndarray:
    return np.stack([stand(View.AP).matrix(), stand(View.LATERAL).matrix()])


def projected(matrix: np.ndarray, points: np.ndarray = POINTS) -> np.ndarray:
    pixels = points @ matrix[:, :3].T + matrix[:, 3]
    return pixels[:, :2] / pixels[:, 2:]


def test_without_error_the_truth_is_stated(true: np.ndarray) -> None:
    stated = NOTHING.drawn(true, np.random.default_rng(0))
    np.testing.assert_allclose(stated, true)


def test_a_turned_lateral_is_a_camera_that_stands_elsewhere(true: np.ndarray) -> None:
    stated = Misstatement(5.0, 0.0, 0.0, 0.0).drawn(true, np.random.default_rng(1))
    angle = 5.0 * np.random.default_rng(1).normal(0.0, 1.0, 4)[0]
    said = stand(View.LATERAL, angle=-angle)
    np.testing.assert_allclose(projected(stated[1]), said.project(POINTS), atol=1e-6)
    np.testing.assert_allclose(stated[0], true[0])


def test_a_rolled_lateral_is_turned_in_its_plane(true: np.ndarray) -> None:
    stated = Misstatement(0.0, 5.0, 0.0, 0.0).drawn(true, np.random.default_rng(1))
    angle = 5.0 * np.random.default_rng(1).normal(0.0, 1.0, 4)[1]
    said = stand(View.LATERAL).moved(rotation("x", -angle)[:3, :3])
    np.testing.assert_allclose(projected(stated[1]), said.project(POINTS), atol=1e-6)


def test_films_disagree_about_the_height_by_halves(true: np.ndarray) -> None:
    stated = Misstatement(0.0, 0.0, 5.0, 0.0).drawn(true, np.random.default_rng(1))
    offsets = [projected(a) - projected(b) for a, b in zip(stated, true, strict=True)]
    expected = 5.0 * np.random.default_rng(1).normal(0.0, 1.0, 4)[2] / FILM_SPACING / 2
    for offset, sign in zip(offsets, (1.0, -1.0), strict=True):
        np.testing.assert_allclose(offset[:, 0], sign * expected, atol=1e-9)
        np.testing.assert_allclose(offset[:, 1], 0.0, atol=1e-9)


def test_magnification_spreads_the_lateral_about_its_middle(true: np.ndarray) -> None:
    stated = Misstatement(0.0, 0.0, 0.0, 0.05).drawn(true, np.random.default_rng(1))
    factor = 1.0 + 0.05 * np.random.default_rng(1).normal(0.0, 1.0, 4)[3]
    middle = (FILM_SIZE - 1) / 2
    np.testing.assert_allclose(
        projected(stated[1]) - middle, factor * (projected(true[1]) - middle), atol=1e-9
    )


def test_draws_spread_as_they_say(true: np.ndarray) -> None:
    middle = np.zeros((1, 3))
    apart = [
        np.diff(
            [projected(m, middle)[0] for m in Misstatement().drawn(true, np.random.default_rng(s))],
            axis=0,
        )[0, 0]
        for s in range(300)
    ]
    assert np.std(apart) * FILM_SPACING == pytest.approx(Misstatement().height, rel=0.15)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_share_of_the_draws_is_wrong(true: np.ndarray, share: float) -> None:
    stated = [stated_matrices(true, share, [7, index]) for index in range(200)]
    wrong = np.mean([not np.array_equal(matrices, true) for matrices in stated])
    assert wrong == pytest.approx(share, abs=0.08)
    np.testing.assert_array_equal(stated[5], stated_matrices(true, share, [7, 5]))


def test_the_type_stays(true: np.ndarray) -> None:
    stated = Misstatement().drawn(true.astype(np.float32), np.random.default_rng(0))
    assert stated.dtype == np.float32
    assert stated.shape == (2, 3, 4)
