"""What becomes of films that are not what they are taken for: the sample films, flipped, turned
over, exchanged and made nameless, a real film, and pictures of anything but a knee.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from other_bodies import STEP, chest, filmed, hand
from skimage import data
from skimage.transform import resize

from XRayTo3DLib.errors import InputFileError
from XRayTo3DLib.imaging.lead_marker import Marker, marker_mask
from XRayTo3DLib.imaging.pair import read_pair
from XRayTo3DLib.imaging.radiograph import Origin, Radiograph, Side, Sourced, View
from XRayTo3DLib.imaging.reading import read_radiograph
from XRayTo3DLib.reconstruction.checked_film import CheckedFilm
from XRayTo3DLib.reconstruction.checking import CheckedPair, check_films
from XRayTo3DLib.reconstruction.networks import NetworkSettings, ReconstructionNetwork
from XRayTo3DLib.reconstruction.result import ModelIdentity
from XRayTo3DLib.reconstruction.weights import Model, load_model
from XRayTo3DLib.resources import resource_path

torch = pytest.importorskip("torch")

FACTS = ("view", "side", "orientation", "inverted")


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model()


@pytest.fixture(scope="module")
def stated() -> tuple[Radiograph, Radiograph]:
    """The sample films, of which the header says everything."""
    folder = resource_path("SampleData")
    frontal, lateral, _ = read_pair(folder / "knee_ap.dcm", folder / "knee_lateral.dcm")
    return frontal, lateral


@pytest.fixture(scope="module")
def nameless(stated: tuple[Radiograph, Radiograph]) -> tuple[Radiograph, Radiograph]:
    """The same, of which nothing but the scale is known."""
    frontal, lateral = (assumed(film, *FACTS) for film in stated)
    return frontal, lateral


def assumed(film: Radiograph, *facts: str) -> Radiograph:
    return replace(
        film, **{name: replace(getattr(film, name), origin=Origin.ASSUMED) for name in facts}
    )


def flipped(film: Radiograph, rows: bool = False, columns: bool = False) -> Radiograph:
    pixels = film.pixels[::-1] if rows else film.pixels
    pixels = pixels[:, ::-1] if columns else pixels
    return replace(film, pixels=np.ascontiguousarray(pixels))


def negative(film: Radiograph) -> Radiograph:
    return replace(film, pixels=1.0 - film.pixels)


def sentences(pair: CheckedPair) -> list[str]:
    return [line for film in pair.films for line in film.warnings]


def test_films_that_are_what_they_are_stated_to_be_stay_as_they_are(model, stated) -> None:
    pair = check_films(*stated, model)
    assert not pair.exchanged
    assert sentences(pair) == []
    for film, before in zip(pair.films, stated, strict=True):
        assert film.pixels is before.pixels
        assert film.recognition is not None
        assert film.recognition.is_knee
        assert film.recognition.view is before.view.value
        assert film.metal == 0
        assert {getattr(film, name).origin for name in FACTS} == {Origin.HEADER}


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (negative, ("(header", "it looks dark there", "-dark")),
        (lambda film: flipped(film, rows=True, columns=True), ("half a turn",)),
        (lambda film: flipped(film, columns=True), ("(header", "right knee", "--flip-")),
    ],
)
def test_what_a_header_says_is_contradicted_and_never_changed(
    model, stated, number: int, spoil, words: tuple[str, ...]
) -> None:
    films = list(stated)
    films[number] = spoil(films[number])
    pair = check_films(*films, model)
    assert pair.films[number].pixels is films[number].pixels
    (line,) = pair.films[number].warnings
    assert pair.films[1 - number].warnings == ()
    assert line.startswith(("knee_ap.dcm", "knee_lateral.dcm")[number])
    for word in words:
        assert word in line
    option = ("ap", "lateral")[number]
    assert ("--flip" in line) is (f"--flip-{option}" in line)


@pytest.mark.parametrize("number", [0, 1])
def test_an_assumed_polarity_is_put_right(model, nameless, number: int) -> None:
    films = list(nameless)
    films[number] = negative(films[number])
    pair = check_films(*films, model)
    film = pair.films[number]
    np.testing.assert_allclose(film.pixels, nameless[number].pixels, atol=1e-6)
    assert film.inverted.value is not nameless[number].inverted.value
    assert film.inverted.origin is Origin.FOUND
    line = film.warnings[-1]
    assert f"--{('ap', 'lateral')[number]}-bright" in line


@pytest.mark.parametrize(("rows", "columns"), [(True, True), (True, False), (False, True)])
def test_an_assumed_orientation_is_put_right(model, nameless, rows: bool, columns: bool) -> None:
    """The lateral film is turned; which knee it is, the frontal film shows."""
    frontal, lateral = nameless
    pair = check_films(frontal, flipped(lateral, rows, columns), model)
    np.testing.assert_array_equal(pair.lateral.pixels, lateral.pixels)
    assert pair.lateral.orientation.value == ("A" if columns else "P", "H" if rows else "F")
    assert pair.lateral.orientation.origin is Origin.FOUND
    (line,) = pair.lateral.warnings
    assert "does not say how it is turned" in line
    assert "--no-check-films" in line
    assert len(sentences(pair)) == 2  # the other is on the side


def test_a_centre_goes_with_a_film_that_is_turned(model, nameless) -> None:
    frontal, lateral = nameless
    pair = check_films(frontal, flipped(lateral, True, True), model)
    rows, columns = lateral.pixels.shape
    here, there = pair.pixels_now((10.0, 20.0), (30.0, 45.5))
    assert here == (10, 20)
    assert there == (rows - 31, columns - 46.5)
    assert pair.pixels_now(None, None) == (None, None)
    assert replace(pair, exchanged=True).pixels_now((30.0, 45.5), (10.0, 20.0)) == (here, there)


def test_the_side_is_found_on_both_films(model, nameless) -> None:
    pair = check_films(*(flipped(film, columns=True) for film in nameless), model)
    (line,) = sentences(pair)
    assert "knee_ap.dcm looks like a left one" in line
    assert "--side" in line
    for film in pair.films:
        assert film.side == Sourced(Side.LEFT, Origin.FOUND, film.side.note)
        assert film.pixels.flags.c_contiguous
    assert pair.lateral.orientation.value == ("A", "F")
    np.testing.assert_array_equal(pair.frontal.pixels, nameless[0].pixels[:, ::-1])


def test_the_side_that_one_header_states_is_believed(model, stated, nameless) -> None:
    """As a pair is read, the header of one film speaks for both; nothing says how they run."""
    films = [
        replace(flipped(film, columns=True), side=header.side)
        for film, header in zip(nameless, stated, strict=True)
    ]
    pair = check_films(*films, model)
    for film, before in zip(pair.films, nameless, strict=True):
        assert film.side.value is Side.RIGHT
        np.testing.assert_array_equal(film.pixels, before.pixels)


@pytest.mark.parametrize("origin", [Origin.ASSUMED, Origin.USER])
def test_films_in_the_wrong_order_are_exchanged(model, nameless, origin: Origin) -> None:
    frontal, lateral = nameless
    films = [
        replace(film, view=Sourced(view, origin), orientation=replace(film.orientation, value=to))
        for film, view, to in (
            (lateral, View.AP, ("L", "F")),
            (frontal, View.LATERAL, ("P", "F")),
        )
    ]
    pair = check_films(*films, model)
    assert pair.exchanged
    assert ["exchanged" in line for line in sentences(pair)] == [True, False]
    for film, before in zip(pair.films, nameless, strict=True):
        assert film.view.value is before.view.value
        assert film.view.origin is Origin.FOUND
        assert film.orientation.value == before.orientation.value
        np.testing.assert_array_equal(film.pixels, before.pixels)


def test_films_that_headers_order_wrongly_are_warned_of(model, stated) -> None:
    frontal, lateral = stated
    wrong = replace(lateral, view=frontal.view), replace(frontal, view=lateral.view)
    pair = check_films(*wrong, model)
    assert not pair.exchanged
    assert all(film.pixels is before.pixels for film, before in zip(pair.films, wrong, strict=True))
    assert all("check the order of the films" in line for line in sentences(pair))
    assert len(sentences(pair)) == 2


# What is no knee.


def picture(of: np.ndarray, film: Radiograph) -> Radiograph:
    """A picture as a film of the same size and scale."""
    grey = of.astype(float).mean(axis=-1) if of.ndim == 3 else of.astype(float)
    pixels = resize((grey - grey.min()) / np.ptp(grey), film.pixels.shape)
    return replace(film, pixels=pixels.astype(np.float32), path=Path("folder of someone/cat.png"))


def test_what_is_no_knee_is_refused_unless_it_is_insisted_on(model, stated) -> None:
    frontal, lateral = stated
    cat = picture(data.cat(), lateral)
    with pytest.raises(InputFileError) as refused:
        check_films(frontal, cat, model)
    sentence = str(refused.value)
    assert sentence.startswith("cat.png: does not look like a film of a knee")
    assert "--accept-any-film" in sentence
    pair = check_films(frontal, cat, model, accept_any=True)
    assert pair.lateral.pixels is cat.pixels
    (line,) = sentences(pair)
    assert "does not look like one" in line


@pytest.mark.parametrize("seed", [1, 3])
@pytest.mark.parametrize("body", [hand, chest])
@pytest.mark.parametrize("slot", [0, 1])
def test_a_hand_and_a_chest_are_refused(model, stated, body, seed: int, slot: int) -> None:
    film, pair = stated[slot], list(stated)
    side = STEP * film.magnification
    spacing = replace(film.spacing, value=(side, side))
    pair[slot] = replace(film, pixels=filmed(body(), seed), spacing=spacing)
    with pytest.raises(InputFileError, match="does not look like a film of a knee"):
        check_films(*pair, model)


@pytest.mark.parametrize(("quarter_turns", "inverted"), [(0, False), (1, True)])
def test_an_ankle_is_refused(
    model, stated, shared_radiographs: Path, quarter_turns: int, inverted: bool
) -> None:
    ankle = read_radiograph(
        shared_radiographs / "real_ankle_not_a_knee.dcm", fallback_view=View.LATERAL
    )
    ankle = replace(ankle, pixels=np.ascontiguousarray(np.rot90(ankle.pixels, quarter_turns)))
    with pytest.raises(InputFileError, match="does not look like a film of a knee"):
        check_films(stated[0], negative(ankle) if inverted else ankle, model)


def test_a_real_lateral_film_is_that_of_a_right_knee(model, shared_radiographs: Path) -> None:
    """It alone says which knee it is; a picture of nothing is given in place of the other."""
    real = read_radiograph(
        shared_radiographs / "real_lateral_right_flexed.png", fallback_view=View.LATERAL
    )
    blank = replace(real, pixels=np.eye(64, dtype=np.float32), view=Sourced(View.AP, Origin.USER))
    film = check_films(blank, real, model, accept_any=True).lateral
    assert film.recognition is not None
    assert film.recognition.is_knee
    assert film.recognition.view is View.LATERAL
    assert film.side == Sourced(Side.RIGHT, Origin.FOUND, film.side.note)
    assert film.pixels is real.pixels
    assert film.metal == 0


# What must not fool it.


@pytest.mark.parametrize("text", ["L", "R"])
def test_letters_on_the_film_are_not_read(model, nameless, text: str) -> None:
    """The letter of either side, in a corner, face up or down: the bones tell."""
    marked = []
    for film in nameless:
        marker = Marker(text, (0.12, 0.85), height=0.07, mirrored=text == "L")
        mask = marker_mask(torch.from_numpy(film.pixels), marker).numpy()
        assert mask.sum() > 100
        marked.append(replace(film, pixels=np.maximum(film.pixels, mask)))
    pair = check_films(*marked, model)
    (line,) = sentences(pair)
    assert "knee_ap.dcm looks like a right one" in line
    assert {film.side.value for film in pair.films} == {Side.RIGHT}
    assert [film.metal for film in pair.films] == [0, 0]


def test_without_silhouettes_films_are_given_back(stated) -> None:
    settings = NetworkSettings(size=16, base=2, levels=2, film_base=2, film_features=2)
    bare = Model(ReconstructionNetwork(settings), ModelIdentity("bare", "", ""), {})
    pair = check_films(*stated, bare)
    for film, before in zip(pair.films, stated, strict=True):
        assert isinstance(film, CheckedFilm)
        assert film.recognition is None
        assert film.pixels is before.pixels
