"""Intensity learnt from tissues drawn in toy bones: its values, its modes, its file."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.intensity_model import KneeModel, learn_intensity
from XRayTo3DLib.anatomy.shape_model import ShapeModel
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.commands.register import intensity
from XRayTo3DLib.errors import InputFileError, XRayTo3DError

# NIST's tables and ICRU's densities at 60 keV, 1/mm: cortex and fat, above muscle.
CORTEX = 0.1 * (1.92 * 0.3148 - 1.05 * 0.2048)
MARROW = 0.1 * (0.95 * 0.1974 - 1.05 * 0.2048)

COARSE = 4.0


@pytest.fixture(scope="module")
def shapes(toy_knee: dict[Bone, Surface]) -> dict[Bone, ShapeModel]:
    return {
        bone: ShapeModel(
            bone=bone,
            mean=surface.vertices,
            faces=surface.faces,
            modes=0.05 * (surface.vertices - surface.vertices.mean(axis=0))[None],
            shares=np.ones(1),
            smooth=((35.0, 0.5),),
            clear=np.ones(len(surface.vertices), dtype=bool),
            people=("anna", "berta"),
        )
        for bone, surface in toy_knee.items()
    }


@pytest.fixture(scope="module")
def learnt(shapes: dict[Bone, ShapeModel]) -> KneeModel:
    return learn_intensity(shapes, draws=4, modes=3, spacing=COARSE)


def test_attenuation_lies_between_marrow_and_cortex(learnt: KneeModel):
    for model in learnt.bones.values():
        assert MARROW * 1.001 < model.mean.min() <= 0.0
        assert 0.1 * CORTEX < model.mean.max() < CORTEX * 1.001


def test_bone_ends_where_the_capsule_ends(learnt: KneeModel):
    """The femur: everything within 25 mm of the line from z = 30 to 100 mm."""
    model = learnt.bones[Bone.FEMUR]
    index = np.stack(np.meshgrid(*map(np.arange, model.grid.shape), indexing="ij"), axis=-1)
    points = model.grid.to_ras(index)
    points[..., 2] -= np.clip(points[..., 2], 30.0, 100.0)
    depth = 25.0 - np.linalg.norm(points, axis=-1)
    assert not model.mean[depth < -1.1].any()
    near_joint = model.grid.to_ras(index)[..., 2] < 40.0
    assert (model.mean[(depth > 1.5) & near_joint] > 0).all()
    # The shell is denser than what it encloses.
    shell = model.mean[(depth > 0.0) & (depth < 2.0)].mean()
    assert shell > 1.5 * model.mean[depth > 12.0].mean()


def test_modes_explain_all_that_was_drawn(shapes: dict[Bone, ShapeModel], learnt: KneeModel):
    """Four draws differ in three ways: fewer modes are the first of them, and leave something."""
    fewer = learn_intensity(shapes, draws=4, modes=1, spacing=COARSE)
    for bone, model in learnt.bones.items():
        assert model.shares.sum() == pytest.approx(1.0, abs=1e-5)
        assert (np.diff(model.shares) <= 0).all()
        np.testing.assert_allclose(fewer.bones[bone].modes, model.modes[:1], atol=1e-7)
        flat = model.modes.reshape(3, -1).astype(float)
        gram = flat @ flat.T
        assert np.abs(gram - np.diag(np.diag(gram))).max() < 1e-4 * gram.max()
        assert (model.modes.sum(axis=(1, 2, 3)) >= 0).all()


def test_same_seed_same_model_another_seed_another(shapes: dict[Bone, ShapeModel]):
    one, same, other = (
        learn_intensity(shapes, draws=2, modes=1, spacing=COARSE, seed=seed).bones[Bone.TIBIA].mean
        for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 1e-4


def test_file_keeps_the_model(learnt: KneeModel, tmp_path: Path):
    path = tmp_path / "knee.npz"
    learnt.save(path)
    read = KneeModel.load(path)
    assert read.name == "knee"
    assert read.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert read.people == {"anna", "berta"}
    assert [p.name for p in tmp_path.iterdir()] == ["knee.npz"]
    for bone, model in learnt.bones.items():
        other = read.bones[bone]
        assert other.grid == model.grid and other.bone is bone
        np.testing.assert_allclose(other.mean, model.mean, rtol=1e-3, atol=1e-8)
        np.testing.assert_allclose(other.modes, model.modes, rtol=1e-3, atol=1e-8)
        np.testing.assert_allclose(other.shape.mean, model.shape.mean, atol=1e-4)
        np.testing.assert_allclose(other.shape.modes, model.shape.modes, rtol=1e-3, atol=1e-5)
        np.testing.assert_array_equal(other.shape.faces, model.shape.faces)
        assert other.shape.smooth == model.shape.smooth


@pytest.mark.parametrize("content", [b"", b"no archive", "other"])
def test_bad_file_is_said(tmp_path: Path, content: bytes | str):
    path = tmp_path / "model.npz"
    if isinstance(content, str):
        np.savez(path, format=np.array(content))
    else:
        path.write_bytes(content)
    with pytest.raises(InputFileError, match=r"^model\.npz: is not a shape and intensity model"):
        KneeModel.load(path)


def test_missing_file_is_said(tmp_path: Path):
    with pytest.raises(InputFileError, match=r"^model\.npz: does not exist"):
        KneeModel.load(tmp_path / "model.npz")


def test_the_model_that_comes_with_the_program_has_a_name():
    model = KneeModel.load("knee-ssim")
    assert model.name == "knee-ssim" and set(model.bones) == set(Bone)
    assert not model.people & {"lhdl", "vhf"}
    assert "CC BY-NC-SA 4.0" in model.licence


def test_missing_bone_and_too_few_draws_are_said(shapes: dict[Bone, ShapeModel]):
    with pytest.raises(XRayTo3DError, match="no shape model of the fibula"):
        learn_intensity({b: s for b, s in shapes.items() if b is not Bone.FIBULA})
    with pytest.raises(XRayTo3DError, match="3 modes need more than 3 draws"):
        learn_intensity(shapes, draws=3, modes=3)


def test_command_fills_a_population_and_overwrites_nothing(
    shapes: dict[Bone, ShapeModel], tmp_path: Path
):
    for bone, shape in shapes.items():
        shape.save(tmp_path / f"{bone.key}.npz")
    app = typer.Typer()
    app.command()(intensity)
    words = ["--population", str(tmp_path), "-o", str(tmp_path / "model.npz"), "--draws", "4"]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0 and "2 people" in result.output
    assert len(KneeModel.load(tmp_path / "model.npz").bones) == 4
    with pytest.raises(InputFileError, match="exists; use --overwrite"):
        CliRunner().invoke(app, words, catch_exceptions=False)
