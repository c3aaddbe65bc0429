"""Indices of drawn films, as CSV and JSON, and the sentences about those that are wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.errors import InputFileError
from XRayTo3DLib.evaluation.film_index import read_index
from XRayTo3DLib.imaging.radiograph import Side

SHAPE = (80, 70)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two films that are bright where the femur is drawn, a label image and a folder of masks."""
    rng = np.random.default_rng(2)
    (tmp_path / "lateral").mkdir()
    for name, place in (("ap", np.s_[10:50, 15:35]), ("lateral", np.s_[12:45, 20:50])):
        drawn = np.zeros(SHAPE, np.uint8)
        drawn[place] = 1
        grey = (drawn * 150 + rng.integers(0, 50, SHAPE)).astype(np.uint8)
        Image.fromarray(grey).save(tmp_path / f"{name}.png")
        Image.fromarray(drawn).save(tmp_path / f"{name}_labels.png")
    Image.fromarray(drawn * 255).save(tmp_path / "lateral" / "femur.png")
    return tmp_path


LINE = {
    "name": "first",
    "ap": "ap.png",
    "lateral": "lateral.png",
    "ap_masks": "ap_labels.png",
    "lateral_masks": "lateral",
    "side": "left",
    "spacing": "0.4",
    "sid": "1100",
    "sod": "1000",
}


def write_csv(path: Path, *lines: dict, separator: str = ",") -> Path:
    names = list(lines[0])
    text = [separator.join(names), *(separator.join(str(x) for x in li.values()) for li in lines)]
    path.write_text("\n".join(text) + "\n", encoding="utf-8")
    return path


def write_json(path: Path, *lines: dict) -> Path:
    path.write_text(json.dumps(lines), encoding="utf-8")
    return path


@pytest.mark.parametrize("kind", ["csv", "semicolon", "json", "json with bones"])
def test_films_and_masks_are_read_alike_from_every_index(folder: Path, kind: str) -> None:
    if kind.startswith("json"):
        line = {**LINE, "spacing": 0.4}
        if kind == "json with bones":
            line["lateral_masks"] = {"femur": "lateral/femur.png"}
        index = write_json(folder / "index.json", line)
    else:
        separator = ";" if kind == "semicolon" else ","
        index = write_csv(folder / "index.csv", LINE, separator=separator)
    (pair,) = read_index(index)
    knee = pair.read()
    assert (knee.name, knee.person, knee.find_joint) == ("first", "first", True)
    for film, drawn in zip(knee.films, knee.drawn, strict=True):
        assert film.side.value is Side.LEFT
        assert film.spacing.value == (0.4, 0.4)
        assert film.magnification == pytest.approx(1.1)
        assert set(drawn) == {Bone.FEMUR}
        assert np.array_equal(drawn[Bone.FEMUR].mask, film.pixels > 0.6)


def test_what_is_said_of_one_film_holds_for_its_masks_too(folder: Path) -> None:
    line = {**LINE, "ap_flip": "yes", "ap_dark": "no", "lateral_spacing": "0.5", "lateral_dark": 1}
    knee = read_index(write_csv(folder / "index.csv", line))[0].read()
    frontal, lateral = knee.films
    assert np.array_equal(knee.drawn[0][Bone.FEMUR].mask, frontal.pixels > 0.6)
    plain = read_index(write_csv(folder / "plain.csv", LINE))[0].read()
    assert np.array_equal(frontal.pixels, plain.films[0].pixels[:, ::-1])
    assert lateral.spacing.value == (0.5, 0.5)
    assert lateral.pixels == pytest.approx(1 - plain.films[1].pixels, abs=1e-6)
    assert np.array_equal(knee.drawn[1][Bone.FEMUR].mask, plain.drawn[1][Bone.FEMUR].mask)


def test_a_clicked_centre_is_known_and_told_apart(folder: Path) -> None:
    line = {**LINE, "lateral_centre": "40 30.5"}
    knee = read_index(write_csv(folder / "index.csv", line))[0].read()
    plain = read_index(write_csv(folder / "plain.csv", LINE))[0].read()
    assert knee.known.centres == (None, (40.0, 30.5))
    assert plain.known.centres == (None, None)
    assert knee.fingerprint != plain.fingerprint
    again = read_index(folder / "index.csv")[0].read()
    assert again.fingerprint == knee.fingerprint


def test_one_drawn_film_is_enough(folder: Path) -> None:
    line = {**LINE, "lateral_masks": ""}
    knee = read_index(write_csv(folder / "index.csv", line))[0].read()
    assert set(knee.drawn[0]) == {Bone.FEMUR}
    assert knee.drawn[1] == {}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"ap": ""}, "names no ap film of first"),
        ({"ap": "gone.png"}, r"names gone\.png of first, which is not there"),
        ({"ap_masks": "gone.png"}, r"names gone\.png of first"),
        ({"ap_masks": "", "lateral_masks": ""}, "says no masks of first"),
        ({"spacing": "0,4 mm"}, "says spacing '0,4 mm' of first; it must be a number"),
        ({"ap_centre": "40,30"}, "says ap_centre '40,30' of first; it must be ROW COL"),
        ({"side": "port"}, "says side 'port' of first; it must be left or right"),
        ({"ap_flip": "maybe"}, "says ap_flip 'maybe' of first; it must be yes or no"),
        ({"ap_mask": "x"}, "has a column 'ap_mask' that means nothing; use name, person, ap"),
        ({"ap_masks": {"rib": "x"}}, "names a bone 'rib' of first; the bones are femur, tibia"),
    ],
)
def test_a_wrong_line_is_said(folder: Path, change: dict, sentence: str) -> None:
    index = write_json(folder / "index.json", {**LINE, **change})
    with pytest.raises(InputFileError, match=rf"^index\.json: {sentence}"):
        read_index(index)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("index.json", "[1, 2]", "is not a JSON list of objects"),
        ("index.json", "{", "is not a CSV or JSON file"),
        ("index.json", "[]", "lists no films"),
        ("index.csv", "ap,lateral,ap_masks\n", "lists no films"),
        ("index.csv", "ap,lateral\na,b,c,d\n", "has a column None"),
    ],
)
def test_a_wrong_index_is_said(tmp_path: Path, name: str, content: str, sentence: str) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputFileError, match=sentence):
        read_index(path)
    with pytest.raises(InputFileError, match="cannot be opened"):
        read_index(tmp_path / "absent.csv")


def test_two_pairs_of_one_name_are_refused(folder: Path) -> None:
    with pytest.raises(InputFileError, match="two pairs called 'first'"):
        read_index(write_csv(folder / "index.csv", LINE, LINE))
