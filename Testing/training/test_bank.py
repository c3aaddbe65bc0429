"""Banks of cases: they go on where they were stopped, and are of one kind only."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.generator import KneeVariation
from XRayTo3DLib.anatomy.shape_model import ShapeModel, learn
from XRayTo3DLib.anatomy.surface import Surface, write_surface
from XRayTo3DLib.errors import InputFileError, XRayTo3DError
from XRayTo3DLib.training.bank import BankSettings, describe_bank, generate_bank, list_cases
from XRayTo3DLib.training.cases import Case

SETTINGS = BankSettings(count=2, seed=8, held_out=("berta",))


@pytest.fixture(scope="module")
def bones(tmp_path_factory: pytest.TempPathFactory, toy_knee: dict[Bone, Surface]) -> Path:
    """Two people's right knees, as ``load_knees`` reads them."""
    folder = tmp_path_factory.mktemp("bones")
    entry = {"side": "right", "bones": [bone.key for bone in Bone], "licence": "none"}
    for name in ("anna_right", "berta_right"):
        (folder / name).mkdir()
        for bone, surface in toy_knee.items():
            write_surface(surface, folder / name / f"{bone.key}.ply", frame="RAS")
    (folder / "index.json").write_text(json.dumps({"anna_right": entry, "berta_right": entry}))
    return folder


@pytest.fixture(scope="module")
def bank(bones: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bank")
    generate_bank(bones, folder, SETTINGS, workers=1)
    return folder


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Bytes and time of writing of every file."""
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


def test_a_stopped_bank_is_completed_with_the_same_cases(bones: Path, bank: Path) -> None:
    first, second = list_cases(bank)
    assert [first.name, second.name] == ["case_000008.npz", "case_000009.npz"]
    before = contents(bank)
    second.unlink()
    # What a run that is killed in the middle of a case leaves.
    second.with_name(f".{second.name}").write_bytes(before[second.name][0][:1000])
    assert list_cases(bank) == [first]
    steps: list[tuple[int, int]] = []
    paths = generate_bank(bones, bank, SETTINGS, workers=1, progress=lambda *n: steps.append(n))
    assert paths == list_cases(bank) == [first, second]
    assert steps == [(2, 2)]
    after = contents(bank)
    assert after[first.name] == before[first.name], "a case that is there is not made again"
    assert after[second.name][0] == before[second.name][0]
    assert (Case.load(first).paths != Case.load(second).paths).any()


def test_a_complete_bank_is_left_alone(bones: Path, bank: Path) -> None:
    before = {name: content for name, (content, _) in contents(bank).items()}
    generate_bank(bones, bank, SETTINGS, workers=1)
    assert {name: content for name, (content, _) in contents(bank).items()} == before


@pytest.mark.parametrize(
    "other",
    [
        replace(SETTINGS, seed=9),
        replace(SETTINGS, held_out=("anna",)),
        replace(SETTINGS, held_out=()),
        replace(SETTINGS, knee=KneeVariation(flexion=36.0)),
    ],
)
def test_a_folder_with_other_settings_is_refused(
    bones: Path, bank: Path, other: BankSettings
) -> None:
    before = contents(bank)
    with pytest.raises(XRayTo3DError) as refused:
        generate_bank(bones, bank, other, workers=1)
    said = str(refused.value)
    assert said == f"{bank.name} holds cases made with other settings; name another folder."
    assert contents(bank) == before


def test_a_bank_is_described_by_all_but_its_size(bank: Path) -> None:
    described = describe_bank(bank)
    assert described["seed"] == 8
    assert described["held_out"] == ["berta"]
    assert described["knees"] == ["anna_right"]
    assert described["knee"]["flexion"] == KneeVariation().flexion
    assert described.keys() >= {"tissue", "geometry"}
    assert "count" not in described


def test_models_are_recorded_and_must_not_know_who_is_held_out(
    bones: Path, tmp_path: Path, toy_knee: dict[Bone, Surface]
) -> None:
    patella = toy_knee[Bone.PATELLA]
    shapes = [patella.vertices * size for size in (0.9, 1.0, 1.1)]
    clear = np.ones(len(patella.vertices), bool)

    def models(*people: str) -> dict[Bone, ShapeModel]:
        return {Bone.PATELLA: learn(Bone.PATELLA, shapes, people, patella.faces, clear)}

    one = replace(SETTINGS, count=1)
    generate_bank(bones, tmp_path / "good", one, workers=1, models=models("anna", "carl", "dora"))
    assert describe_bank(tmp_path / "good")["models"] == {"patella": ["anna", "carl", "dora"]}
    with pytest.raises(XRayTo3DError, match=r"shape model of the patella was learnt from berta"):
        generate_bank(
            bones, tmp_path / "bad", one, workers=1, models=models("anna", "berta", "dora")
        )
    assert not (tmp_path / "bad").exists()


def test_a_folder_without_a_record_has_no_description_and_no_cases(tmp_path: Path) -> None:
    assert describe_bank(tmp_path) == {}
    with pytest.raises(InputFileError, match=f"{tmp_path.name}: holds no training case"):
        list_cases(tmp_path)


def test_a_damaged_record_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "cases.json").write_text("{")
    with pytest.raises(InputFileError, match="cases.json: is damaged"):
        describe_bank(tmp_path)
