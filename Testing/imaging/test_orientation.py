from __future__ import annotations

import itertools

import numpy as np
import pytest

from XRayTo3DLib.imaging.orientation import (
    OPPOSITE,
    mirrored,
    parse_orientation,
    shows_lateral,
    turn_upright,
    upright,
)
from XRayTo3DLib.imaging.radiograph import Side, View

ROWS, COLUMNS = 5, 7
FILMS = [
    (View.AP, Side.RIGHT, "L"),
    (View.PA, Side.LEFT, "L"),
    (View.LATERAL, Side.RIGHT, "P"),
    (View.LATERAL, Side.LEFT, "A"),
]


def patient(film: np.ndarray, letters: tuple[str, str]) -> dict[str, np.ndarray]:
    """How far each pixel lies towards both letters, from the definition of the attribute."""
    row, column = np.indices(film.shape)
    along = {letters[0]: column, OPPOSITE[letters[0]]: film.shape[1] - 1 - column}
    down = {letters[1]: row, OPPOSITE[letters[1]]: film.shape[0] - 1 - row}
    return {**along, **down}


@pytest.mark.parametrize(("view", "side", "across"), FILMS)
@pytest.mark.parametrize(("flip", "tilt", "swap"), list(itertools.product((False, True), repeat=3)))
def test_every_way_to_store_a_film_comes_out_the_same(view, side, across, flip, tilt, swap):
    first = OPPOSITE[across] if flip else across
    second = "H" if tilt else "F"
    letters = (second, first) if swap else (first, second)
    place = patient(np.zeros((ROWS, COLUMNS)), letters)
    stored = 100 * place["F"] + place[across]

    turn = turn_upright(letters, view, side)
    shown = turn.pixels(stored)

    rows, columns = np.indices((COLUMNS, ROWS) if swap else (ROWS, COLUMNS))
    np.testing.assert_array_equal(shown, 100 * rows + columns)
    assert turn.spacing((0.1, 0.2)) == ((0.2, 0.1) if swap else (0.1, 0.2))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["L", "F"], ("L", "F")),
        (["LF", "FR"], ("L", "F")),
        (["PHR", "f "], ("P", "F")),
        (["L", "R"], None),
        (["L"], None),
        ([], None),
        (["X", "F"], None),
        (["", ""], None),
    ],
)
def test_parse(values, expected):
    assert parse_orientation(values) == expected


@pytest.mark.parametrize(
    ("letters", "lateral"),
    [(("L", "F"), False), (("A", "F"), True), (("F", "P"), True), (("L", "P"), None)],
)
def test_which_view_the_directions_are_of(letters, lateral):
    assert shows_lateral(letters) is lateral


@pytest.mark.parametrize(
    ("letters", "view"), [(("L", "F"), View.LATERAL), (("P", "F"), View.AP), (("L", "P"), View.AP)]
)
def test_directions_of_another_view_are_not_applied(letters, view):
    assert turn_upright(letters, view, Side.RIGHT) is None


def test_mirrored_names_the_direction_across():
    assert mirrored(("P", "F")) == ("A", "F")
    assert mirrored(("F", "L")) == ("F", "R")


def test_a_left_lateral_has_the_kneecap_at_the_right():
    assert upright(View.LATERAL, Side.LEFT) == ("A", "F")
    assert upright(View.LATERAL, Side.RIGHT) == ("P", "F")
