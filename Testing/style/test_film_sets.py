"""Folders of films: made anew, from cases, of other formats; and the looks laid over them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from XRayTo3DLib.commands.style_films import style_films
from XRayTo3DLib.errors import InputFileError, XRayTo3DError
from XRayTo3DLib.imaging.geometry import view_geometry
from XRayTo3DLib.imaging.projector import projection_matrices
from XRayTo3DLib.imaging.radiograph import Side, View
from XRayTo3DLib.style.film_looks import random_look
from XRayTo3DLib.style.film_sets import describe_films, load_films, save_film
from XRayTo3DLib.training.cases import Case
from XRayTo3DLib.training.dataset import films_of


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two cases: a ball that stands for the femur, in muscle."""
    folder = tmp_path_factory.mktemp("cases")
    views = tuple(
        view_geometry(view, Side.RIGHT, sid=1100, sod=1000, spacing=(0.75, 0.75), shape=(256, 256))
        for view in (View.AP, View.LATERAL)
    )
    rows, columns = np.mgrid[:256, :256] - 127.5
    for number, radius in enumerate((30.0, 45.0)):
        ball = 2 * np.sqrt(np.clip(radius**2 - 0.68**2 * (rows**2 + columns**2), 0, None))
        leg = 2 * np.sqrt(np.clip(70**2 - (0.68 * columns) ** 2, 0, None))
        paths = np.stack([[0.1 * ball, 0.9 * ball, np.maximum(leg - ball, 0), 0 * ball]] * 2)
        Case(
            np.ones((8, 8, 8), np.uint8),
            np.zeros((8, 8, 8), np.float32),
            paths.astype(np.float32),
            projection_matrices(views),
            np.zeros((2, 4, 128, 128), np.float32),
        ).save(folder / f"case_{number:06d}.npz")
    (folder / "cases.json").write_text(json.dumps({"seed": 0, "held_out": ["x"], "knees": ["a"]}))
    return folder


def test_drrs_of_cases(cases: Path, tmp_path: Path) -> None:
    style_films(tmp_path, cases=cases, count=3)
    films = load_films(tmp_path)
    assert films.shape == (3, 1, 256, 256)
    expected = films_of(Case.load(cases / "case_000000.npz"), [0], 0.0)
    assert torch.allclose(films[:2, 0], expected, atol=1e-4)  # 16 bits
    described = describe_films(tmp_path)
    assert described["simulator"] == "own"
    assert described["held_out"] == ["x"]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_films_that_are_there_are_kept_and_missing_ones_made(cases: Path, tmp_path: Path) -> None:
    style_films(tmp_path, cases=cases, count=2)
    kept = tmp_path / "film_000000_ap.png"
    before = kept.stat().st_mtime_ns
    style_films(tmp_path, cases=cases, count=4)
    assert kept.stat().st_mtime_ns == before
    assert len(load_films(tmp_path)) == 4


def test_a_folder_of_other_films_is_left_alone(cases: Path, tmp_path: Path) -> None:
    (tmp_path / "films.json").write_text('{"simulator": "gvxr"}')
    with pytest.raises(XRayTo3DError, match="made with other settings"):
        style_films(tmp_path, cases=cases, count=2)
    assert (tmp_path / "films.json").read_text(encoding="utf-8") == '{"simulator": "gvxr"}'


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "either --bones or --cases"),
        ({"simulator": "best", "bones": Path("b")}, "own, gvxr, not best"),
        ({"cases": Path("c"), "simulator": "gvxr"}, "use --bones"),
        ({"cases": Path("c"), "hold_out": ["x"]}, "use --bones"),
    ],
)
def test_options_that_do_not_go_together(tmp_path: Path, options: dict, sentence: str) -> None:
    with pytest.raises(XRayTo3DError, match=sentence):
        style_films(tmp_path, **options)


def test_more_films_than_cases(cases: Path, tmp_path: Path) -> None:
    with pytest.raises(XRayTo3DError, match="enough for 4 films; lower --count from 5"):
        style_films(tmp_path, cases=cases, count=5)


def _folder(tmp_path: Path, content: dict[str, bytes]) -> Path:
    for name, data in content.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({}, "holds no film"),
        ({"films.json": b"{", "a.png": b""}, "is damaged"),
        ({"films.json": b'{"seed": 0}', "a.png": b"none"}, r"a\.png: is damaged"),
        ({"a.png": b"none"}, r"a\.png: "),
    ],
)
def test_bad_folders(tmp_path: Path, content: dict[str, bytes], sentence: str) -> None:
    with pytest.raises(InputFileError, match=sentence):
        load_films(_folder(tmp_path, content))


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="is not a folder"):
        load_films(tmp_path / "absent")


def test_a_strange_size_among_made_films(tmp_path: Path) -> None:
    (tmp_path / "films.json").write_text('{"seed": 0}')
    save_film(np.zeros((128, 256)), tmp_path / "a.png")
    with pytest.raises(InputFileError, match="256 × 256"):
        load_films(tmp_path)


def test_films_of_other_formats_are_put_on_the_standard_detector(tmp_path: Path) -> None:
    """A bright square of known size and place, in a file that states its pixels."""
    picture = np.random.default_rng(0).random((400, 500)).astype(np.float32)
    picture[150:250, 200:300] += 20.0
    image = sitk.GetImageFromArray(picture)
    image.SetSpacing((0.4, 0.4))
    sitk.WriteImage(image, str(tmp_path / "film.mha"))
    films = load_films(tmp_path)
    assert films.shape == (1, 1, 256, 256)
    assert 0 <= films.min() < films.max() <= 1
    bright = films[0, 0] > 0.5
    # 40 mm at the detector; how much less at the isocentre is for the default magnification.
    side = float(bright.sum()) ** 0.5 * 0.68
    assert 30 < side < 40
    rows, columns = (where.float().mean() for where in bright.nonzero().unbind(1))
    assert rows == pytest.approx(127.5, abs=0.6)
    assert columns == pytest.approx(127.5, abs=0.6)


def test_a_look_changes_greys_but_not_places() -> None:
    rows, columns = np.mgrid[:128, :128] - 63.5
    film = 0.2 + 0.6 / (1 + np.exp((np.hypot(rows, columns) - 30) / 1.5))
    looks = [random_look(film, 0.7, np.random.default_rng(seed)) for seed in range(12)]
    again = random_look(film, 0.7, np.random.default_rng(3))
    assert np.array_equal(again, looks[3])
    greys = [look[64, 64] for look in looks]
    assert np.std(greys) > 0.03
    for look in looks:
        assert look.dtype == np.float32
        assert 0 <= look.min() and look.max() <= 1
        profile = look[60:68].mean(axis=0)
        edge = np.abs(np.diff(profile))[64:].argmax() + 64.5 - 63.5
        assert edge == pytest.approx(30, abs=1.5)
