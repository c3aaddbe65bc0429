"""Shape models of a small population of toy knees: who is learnt from, and what is written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.correspondence import remeshed
from XRayTo3DLib.anatomy.knee import Knee, rotation
from XRayTo3DLib.anatomy.population import (
    VERTEX_COUNTS,
    Population,
    Spread,
    learn_population,
    population_table,
)
from XRayTo3DLib.anatomy.shape_model import MODEL_LICENCE, ShapeModel
from XRayTo3DLib.anatomy.surface import Surface, write_surface
from XRayTo3DLib.commands import population as command
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.radiograph import Side

FEW = dict.fromkeys(Bone, 250)
SIZES = {"anna": (1.0, 1.0, 1.0), "berta": (1.08, 1.0, 1.04), "carla": (0.95, 1.05, 0.98)}


@pytest.fixture(scope="module")
def people(toy_knee: dict[Bone, Surface]) -> list[Knee]:
    """Three women with right knees of different proportions; licences differ."""
    surfaces = {bone: remeshed(surface, 600) for bone, surface in toy_knee.items()}
    knees = []
    for number, (person, scale) in enumerate(SIZES.items()):
        knee = Knee(f"{person}_right", person, Side.RIGHT, surfaces, f"licence {number}")
        knees.append(knee.transformed(np.diag([*scale, 1.0])))
    return knees


@pytest.fixture(scope="module")
def learnt(people: list[Knee]) -> Population:
    return learn_population(people, ["carla"], FEW)


def test_all_bones_of_those_learnt_from(learnt: Population):
    assert set(learnt.bones) == set(Bone)
    for bone, part in learnt.bones.items():
        assert part.model.bone is bone
        assert part.model.people == ("anna", "berta")
        assert part.knees == ("anna_right", "berta_right")
        assert len(part.model.modes) == 1
        assert max(each.mean for each in part.correspondences) < 0.3
    assert learnt.held_out == ("carla",)
    assert learnt.template in ("anna_right", "berta_right")


def test_person_held_out_leaves_no_trace_in_the_models(people: list[Knee], learnt: Population):
    """Whatever the bones of a person held out are, the models are the same to the last bit."""
    swollen = people[2].transformed(np.diag([1.2, 1.1, 1.05, 1.0]))
    again = learn_population([*people[:2], swollen], ["carla"], FEW)
    for bone, part in learnt.bones.items():
        np.testing.assert_array_equal(again.bones[bone].model.mean, part.model.mean)
        np.testing.assert_array_equal(again.bones[bone].model.modes, part.model.modes)
        assert again.bones[bone].model.smooth == part.model.smooth
        assert again.bones[bone].generality != part.generality


def test_generality_grows_with_what_a_model_may_do(learnt: Population):
    for part in learnt.bones.values():
        general = part.generality
        assert general.smooth.count == 1
        assert general.smooth.mean < general.mean_shape.mean
        assert general.modes.mean < general.mean_shape.mean + 0.05


def test_left_knees_count_as_the_right_ones_they_mirror(people: list[Knee], learnt: Population):
    """And progress is told of every bone meanwhile."""
    left = [replace(knee.mirrored(), name=knee.name) for knee in people]
    told = []
    mirrored = learn_population(
        left, ["carla"], FEW, lambda stage, share: told.append((stage, share))
    )
    for bone, part in learnt.bones.items():
        np.testing.assert_allclose(mirrored.bones[bone].model.mean, part.model.mean, atol=1e-6)
    assert {stage.split(":")[0] for stage, _ in told} == {bone.title for bone in Bone}
    assert all(0.0 <= share <= 1.0 for _, share in told)


def test_nobody_of_that_name(people: list[Knee]):
    with pytest.raises(XRayTo3DError, match="Nobody is called clara"):
        learn_population(people, ["clara"], FEW)


def test_no_complete_knee_is_said(people: list[Knee]):
    femora = [replace(knee, surfaces={Bone.FEMUR: knee.surfaces[Bone.FEMUR]}) for knee in people]
    with pytest.raises(XRayTo3DError, match="has all four bones"):
        learn_population(femora, [], FEW)


def test_one_person_left_is_said(people: list[Knee]):
    with pytest.raises(XRayTo3DError, match="femur of 1 person tells nothing"):
        learn_population(people, ["berta", "carla"], FEW)


def test_spread_is_that_of_numpy():
    values = [0.3, 0.5, 1.0]
    spread = Spread.of(values)
    assert (spread.mean, spread.deviation) == pytest.approx(
        (np.mean(values), np.std(values, ddof=1))
    )
    assert str(spread) == "0.60 ± 0.36"
    assert str(Spread.of([0.25])) == "0.25 ± 0.00"
    assert str(Spread.of([])) == "–"


def test_table_says_quality_people_and_licences(learnt: Population, people: list[Knee]):
    table = population_table(learnt, people)
    rows = {line.split(" | ")[0].lstrip("| "): line for line in table.splitlines() if "|" in line}
    assert rows["femur"].count("|") >= 2
    assert "| licence 0 | anna_right |" in table
    assert "carla_right" not in table
    assert MODEL_LICENCE in table
    assert "nan" not in table


def test_bones_in_another_frame_are_named_and_do_no_harm(people: list[Knee], learnt: Population):
    """A flattened femur of another woman, turned half round; a capsule would look the same."""
    flat = np.diag([1.0, 0.7, 1.0, 1.0])
    flat[1, 2] = 0.3  # the shaft leans forward, so that front and back differ
    flat[1, 3] = -9.0
    leaning = [knee.transformed(flat, (Bone.FEMUR,)) for knee in people[:2]]
    lone = {Bone.FEMUR: leaning[0].surfaces[Bone.FEMUR].transformed(rotation("z", 180.0))}
    turned = Knee("dora_right", "dora", Side.RIGHT, lone, "licence 0")
    part = learn_population([*leaning, turned], [], FEW).bones[Bone.FEMUR]
    assert part.turned == ("dora_right",)
    assert "In another frame" not in population_table(learnt, people)


def test_table_without_people_held_out_has_dashes(people: list[Knee]):
    table = population_table(learn_population(people, [], FEW), people)
    first = next(line for line in table.splitlines() if line.startswith("| femur"))
    assert first.count("–") == 3
    assert "nan" not in table


@pytest.fixture(scope="module")
def folder(people: list[Knee], tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("bones")
    index = {}
    for knee in people:
        (root / knee.name).mkdir()
        for bone, surface in knee.surfaces.items():
            write_surface(surface, root / knee.name / f"{bone.key}.ply", frame="RAS")
        bones = [bone.key for bone in knee.surfaces]
        index[knee.name] = {"side": "right", "bones": bones, "licence": knee.licence, "source": ""}
    (root / "index.json").write_text(json.dumps(index), encoding="utf-8")
    return root


def test_command_writes_models_table_and_figure(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for bone, count in FEW.items():
        monkeypatch.setitem(VERTEX_COUNTS, bone, count)
    app = typer.Typer()
    app.command()(command.population)
    output = tmp_path / "models"
    arguments = ["--bones", str(folder), "--output", str(output), "--hold-out", "carla"]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    for bone in Bone:
        model = ShapeModel.load(output / f"{bone.key}.npz")
        assert model.bone is bone
        assert model.people == ("anna", "berta")
    table = (output / command.TABLE_NAME).read_text(encoding="utf-8")
    assert table in result.stdout
    with Image.open(output / command.FIGURE_NAME) as picture:
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    assert len(np.unique(pixels, axis=0)) > 1000


def test_command_refuses_unknown_people(folder: Path, tmp_path: Path):
    with pytest.raises(XRayTo3DError, match="Nobody is called clara"):
        command.population(folder, tmp_path, ["clara"])
