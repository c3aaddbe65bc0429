"""The commands, from bones to weights to a reconstruction by them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from XRayTo3DLib import cli
from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.shape_model import learn
from XRayTo3DLib.anatomy.surface import Surface, write_surface
from XRayTo3DLib.reconstruction.weights import load_model
from XRayTo3DLib.training.bank import (
    BankSettings,
    describe_bank,
    generate_bank,
    list_cases,
)
from XRayTo3DLib.training.cases import Case

TINY = [
    *("--preset", "backproject"),
    *(word for pair in ("size=16", "base=4", "levels=2") for word in ("--set", f"network.{pair}")),
    *("--set", "steps=2", "--set", "warmup=1"),
]


@pytest.fixture(scope="module")
def bones(tmp_path_factory: pytest.TempPathFactory, toy_knee: dict[Bone, Surface]) -> Path:
    folder = tmp_path_factory.mktemp("bones")
    index = {}
    for name in ("anna_right", "berta_right"):
        (folder / name).mkdir()
        for bone, surface in toy_knee.items():
            write_surface(surface, folder / name / f"{bone.key}.ply", frame="RAS")
        index[name] = {"side": "right", "bones": [bone.key for bone in Bone], "licence": "none"}
    (folder / "index.json").write_text(json.dumps(index))
    return folder


def call(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["xrayto3d", *map(str, words)])
    try:
        cli.main()
    except SystemExit as stopped:
        return int(stopped.code or 0)
    return 0


def test_from_bones_to_weights(
    bones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    common = ("--bones", bones, "--workers", 1)
    cases, validation = tmp_path / "cases", tmp_path / "validation"
    words = ("generate", *common, "--hold-out", "berta", "--count", 2, "-o", cases)
    assert call(monkeypatch, *words) == 0
    assert (
        call(monkeypatch, "generate", *common, "--only", "berta", "--count", 1, "-o", validation)
        == 0
    )
    assert len(list_cases(cases)) == 2
    run = tmp_path / "run"
    words = ("train", "--cases", cases, "--validation", validation, "-o", run, "--device", "cpu")
    assert call(monkeypatch, *words, *TINY, "--threads", 1) == 0
    assert (run / "curves.png").is_file()
    card = load_model(run / "weights.safetensors").card
    assert card["people"] == ["anna"]
    assert card["held_out"] == ["berta"]


def test_cases_are_the_same_however_many_processes_make_them(bones: Path, tmp_path: Path) -> None:
    settings = BankSettings(count=2, seed=5)
    one = generate_bank(bones, tmp_path / "one", settings, workers=1)
    two = generate_bank(bones, tmp_path / "two", settings, workers=2)
    for first, second in zip(one, two, strict=True):
        assert first.name == second.name
        assert (Case.load(first).paths == Case.load(second).paths).all()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("generate", "--hold-out", "carla"), "carla"),
        (("generate", "--only", "carla"), "carla"),
        (("generate", "--hold-out", "anna", "--hold-out", "berta"), "all four bones"),
    ],
)
def test_bad_people(
    bones: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    said: str,
) -> None:
    folder = tmp_path / "none"
    assert call(monkeypatch, *words, "--bones", bones, "-o", folder) == 2
    assert said in capsys.readouterr().err
    assert not folder.exists()


def test_no_cases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "train", "--cases", tmp_path, "-o", tmp_path / "run") == 2
    assert "xrayto3d generate" in capsys.readouterr().err


def test_knees_are_drawn_from_a_population(
    bones: Path,
    toy_knee: dict[Bone, Surface],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    population = tmp_path / "population"
    population.mkdir()
    for bone, surface in toy_knee.items():
        shapes = [surface.vertices * size for size in (0.9, 1.0, 1.1)]
        people = ["carla", "dora", "eva"]
        model = learn(bone, shapes, people, surface.faces, np.ones(len(shapes[0]), bool))
        model.save(population / f"{bone.key}.npz")
    words = ("generate", "--bones", bones, "--workers", 1, "--count", 1, "--population", population)
    assert call(monkeypatch, *words, "-o", tmp_path / "cases") == 0
    assert set(describe_bank(tmp_path / "cases")["models"]) == {bone.key for bone in Bone}
    (population / "fibula.npz").unlink()
    capsys.readouterr()
    assert call(monkeypatch, *words, "-o", tmp_path / "more") == 2
    assert "fibula.npz" in capsys.readouterr().err
    assert not (tmp_path / "more").exists()
