"""Facts corrected afterwards give what they would have given on reading."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.radiograph import Origin, Radiograph, Side, View
from XRayTo3DLib.imaging.reading import read_radiograph
from XRayTo3DLib.imaging.restating import restated, taken_as
from XRayTo3DLib.resources import resource_path


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("films") / "film.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 70), dtype=np.uint8)).save(path)
    return path


@pytest.fixture(params=["header", "none"])
def lateral(request: pytest.FixtureRequest, picture: Path) -> Path:
    """A film whose header says how it is turned, and one that says nothing."""
    return resource_path("SampleData", "knee_lateral.dcm") if request.param == "header" else picture


@pytest.mark.parametrize(
    "said",
    [
        {"side": Side.LEFT},
        {"side": Side.RIGHT},
        {"spacing": (0.3, 0.3)},
        {"sid": 1200.0, "sod": 1000.0},
        {"inverted": True},
    ],
)
def test_said_afterwards_is_said_at_once(lateral: Path, said: dict) -> None:
    at_once = read_radiograph(lateral, fallback_view=View.LATERAL, **said)
    afterwards = restated(read_radiograph(lateral, fallback_view=View.LATERAL), **said)
    np.testing.assert_allclose(afterwards.pixels, at_once.pixels, atol=1e-6)
    for name in ("view", "side", "spacing", "sid", "sod", "orientation", "inverted"):
        assert getattr(afterwards, name).value == getattr(at_once, name).value, name


def test_mirrored_is_read_with_flip(lateral: Path) -> None:
    at_once = read_radiograph(lateral, fallback_view=View.LATERAL, flip=True)
    afterwards = restated(read_radiograph(lateral, fallback_view=View.LATERAL), mirror=True)
    np.testing.assert_array_equal(afterwards.pixels, at_once.pixels)
    assert afterwards.orientation.value == at_once.orientation.value
    assert afterwards.orientation.origin is Origin.USER


def test_what_is_said_is_not_asked_for_again(picture: Path) -> None:
    film = read_radiograph(picture, fallback_view=View.AP)
    assert any("--side" in warning for warning in film.warnings)
    told = restated(film, side=Side.LEFT)
    assert not any("--side" in warning for warning in told.warnings)
    assert told.side.origin is Origin.USER
    assert any("--flip" in warning for warning in told.warnings)


@pytest.fixture
def film(picture: Path) -> Radiograph:
    return read_radiograph(picture, fallback_view=View.AP)


def test_an_ap_film_becomes_pa(film: Radiograph) -> None:
    assert restated(film, view=View.PA).view.value is View.PA
    np.testing.assert_array_equal(restated(film, view=View.PA).pixels, film.pixels)


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"spacing": (0.0, 0.3)}, "spacing must be more than 0"),
        ({"sid": float("nan")}, "SID must be more than 0"),
        ({"sid": 500.0, "sod": 600.0}, "SOD \\(600 mm\\) must be less than the SID"),
        ({"view": View.LATERAL}, "cannot become lateral"),
    ],
)
def test_what_cannot_be_is_refused(film: Radiograph, said: dict, sentence: str) -> None:
    before = replace(film)
    with pytest.raises(XRayTo3DError, match=sentence):
        restated(film, **said)
    assert film == before


def test_films_given_the_wrong_way_round_are_exchanged(picture: Path) -> None:
    wrong = read_radiograph(picture, fallback_view=View.AP, side=Side.LEFT)
    right = read_radiograph(picture, fallback_view=View.LATERAL, side=Side.LEFT)
    taken = taken_as(wrong, View.LATERAL)
    assert taken.view.value is View.LATERAL
    assert taken.orientation.value == right.orientation.value
    np.testing.assert_array_equal(taken.pixels, right.pixels)
    assert taken_as(taken, View.AP).orientation.value == wrong.orientation.value


def test_a_header_says_which_film_it_is() -> None:
    film = read_radiograph(resource_path("SampleData", "knee_lateral.dcm"))
    with pytest.raises(XRayTo3DError, match="cannot be the AP film"):
        taken_as(film, View.AP)
