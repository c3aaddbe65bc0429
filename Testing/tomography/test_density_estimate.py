"""Density from films of a toy leg: case, training, estimate and files, end to end."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
import typer
from PIL import Image
from typer.testing import CliRunner

from XRayTo3DLib.anatomy.knee import Knee
from XRayTo3DLib.commands.density import density
from XRayTo3DLib.errors import InputFileError, XRayTo3DError
from XRayTo3DLib.imaging.drr import drr
from XRayTo3DLib.imaging.film import simulate_film
from XRayTo3DLib.imaging.film_settings import FilmSettings
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.projector import line_integrals
from XRayTo3DLib.imaging.radiograph import Origin, Radiograph, Side, Sourced, View
from XRayTo3DLib.reconstruction.lifting import pixel_rays, rescaled
from XRayTo3DLib.reconstruction.networks import NetworkSettings, ReconstructionNetwork
from XRayTo3DLib.reconstruction.weights import save_weights
from XRayTo3DLib.run_folder import load_checkpoint
from XRayTo3DLib.tomography.density import DENSITY_GRID, REFERENCE_KEV
from XRayTo3DLib.tomography.density_network import DensityNetworkSettings
from XRayTo3DLib.tomography.density_outputs import density_targets, write_density_outputs
from XRayTo3DLib.tomography.density_result import DensityResult
from XRayTo3DLib.tomography.density_weights import load_density_model
from XRayTo3DLib.tomography.estimate import estimate_density
from XRayTo3DLib.tomography.fine_density import FINE_GRID
from XRayTo3DLib.training.cases import FILM_SIZE, FILM_SPACING
from XRayTo3DLib.training.density_cases import DensityCase, make_density_case
from XRayTo3DLib.training.density_settings import DensityTrainingSettings
from XRayTo3DLib.training.density_training import (
    DensityTrainer,
    export_density_weights,
    write_density_curves,
)

NETWORK = DensityNetworkSettings(size=16, base=2, levels=2, film_base=2, film_features=2)
TRAINING = DensityTrainingSettings(
    NETWORK, steps=4, warmup=1, validate_every=2, checkpoint_every=100, film_ramp=2
)
SOD, SID = 1000.0, 1100.0
COARSE = VolumeGrid((48, 48, 48), 204.8 / 48, DENSITY_GRID.centre)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def case(toy_knee) -> DensityCase:
    knee = Knee("toy_right", "toy", Side.RIGHT, toy_knee)
    return make_density_case(knee, 3)


@pytest.fixture(scope="module")
def bank(case: DensityCase, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    path = tmp_path_factory.mktemp("bank") / "case_000000.npz"
    case.save(path)
    return [path]


@pytest.fixture(scope="module")
def films_network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    settings = NetworkSettings(
        size=16, upscale=1, base=2, levels=2, film_base=2, film_features=2, silhouettes=True
    )
    path = tmp_path_factory.mktemp("films") / "films.safetensors"
    save_weights(ReconstructionNetwork(settings), path, {})
    return path


@pytest.fixture(scope="module")
def weights(
    bank: list[Path], films_network: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    trainer = DensityTrainer(TRAINING, bank, bank, folder, CPU, 0, films_network)
    path = folder / "toy.safetensors"
    export_density_weights(trainer.run(), path, {"knees": ["toy_right"], "held_out": ["x"]})
    write_density_curves(folder / "log.jsonl", folder / "curves.png")
    return path


def film(case: DensityCase, view: View, side: Side = Side.RIGHT) -> Radiograph:
    slot = 1 if view is View.LATERAL else 0
    paths = torch.from_numpy(case.paths[slot])
    pixels = simulate_film(paths, FILM_SPACING, FilmSettings.plain()).numpy()
    user, across = Origin.USER, "P" if view is View.LATERAL else "L"
    return Radiograph(
        pixels=pixels if side is Side.RIGHT else np.ascontiguousarray(pixels[:, ::-1]),
        spacing=Sourced((FILM_SPACING * SID / SOD,) * 2, user),
        sid=Sourced(SID, user),
        sod=Sourced(SOD, user),
        view=Sourced(view, user),
        side=Sourced(side, user),
        orientation=Sourced((across, "F"), user),
        inverted=Sourced(False, user),
    )


def test_case_projects_to_its_own_path_lengths(case: DensityCase):
    attenuation = torch.from_numpy(case.attenuation)[None]
    for matrix, paths in zip(case.matrices, case.paths, strict=True):
        rays = pixel_rays(rescaled(torch.from_numpy(matrix), 8), FILM_SIZE // 8, FILM_SIZE // 8)
        found = line_integrals(attenuation, DENSITY_GRID, *rays).reshape(FILM_SIZE // 8, -1)
        film = drr(torch.from_numpy(paths), REFERENCE_KEV)
        expected = torch.nn.functional.avg_pool2d(film[None], 8)[0]
        assert float((found - expected).abs().mean()) < 0.03 * float(expected.mean())


def test_case_knows_the_bones(case: DensityCase):
    x, y, z = DENSITY_GRID.axes()
    radius = np.sqrt(y[:, None] ** 2 + x**2)
    high = (z > 45) & (z < 85)
    femur = np.broadcast_to(radius < 24, (int(high.sum()), *radius.shape))
    beside = np.broadcast_to((radius > 26) & (radius < 32), femur.shape)
    assert case.bone[high][femur].all() and not case.bone[high][beside].any()
    assert case.attenuation[high][femur].mean() > case.attenuation[high][beside].mean()


def test_case_survives_its_file(case: DensityCase, bank: list[Path], tmp_path: Path):
    again = DensityCase.load(bank[0])
    np.testing.assert_array_equal(again.bone, case.bone)
    np.testing.assert_allclose(again.attenuation, np.clip(case.attenuation, 0, 0.06375), atol=2e-4)
    (tmp_path / "no.npz").write_bytes(b"nothing")
    with pytest.raises(InputFileError, match="no.npz"):
        DensityCase.load(tmp_path / "no.npz")


def test_training_leaves_what_it_promises(weights: Path):
    entries = [
        json.loads(line)
        for line in (weights.parent / "log.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert [entry["step"] for entry in entries] == [1, 2, 3, 4]
    assert {"frontal_bone", "lateral_bone", "both_bone"} <= entries[-1].keys()
    assert Image.open(weights.parent / "curves.png").size[0] > 500
    card = load_density_model(weights).card
    assert card["people"] == ["toy"] and card["held_out"] == ["x"] and card["steps"] == 4


def test_stopped_training_goes_on(bank: list[Path], films_network: Path, tmp_path: Path):
    def train(folder: Path, stop: int | None = None) -> None:
        def report(step) -> None:
            if step.step == stop:
                raise KeyboardInterrupt

        DensityTrainer(TRAINING, bank, [], folder, CPU, 0, films_network).run(report)

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "stopped", 2)
    assert load_checkpoint(tmp_path / "stopped/checkpoint.pt")["step"] == 2
    train(tmp_path / "stopped")
    train(tmp_path / "whole")
    stopped, whole = (
        load_checkpoint(tmp_path / name / "checkpoint.pt")["average"]
        for name in ("stopped", "whole")
    )
    for name, value in whole.items():
        torch.testing.assert_close(stopped[name], value)
    with pytest.raises(XRayTo3DError, match="other settings"):
        DensityTrainer(replace(TRAINING, seed=1), bank, [], tmp_path / "whole", CPU)


def test_another_films_network_is_refused(bank: list[Path], films_network: Path, tmp_path: Path):
    settings = replace(TRAINING, network=replace(NETWORK, film_base=3))
    with pytest.raises(XRayTo3DError, match="--films"):
        DensityTrainer(settings, bank, [], tmp_path, CPU, 0, films_network)


@pytest.mark.parametrize("view", [View.AP, View.LATERAL])
def test_fine_step_brings_the_film_closer(case: DensityCase, weights: Path, view: View):
    coarse, fine = (
        estimate_density([film(case, view)], rounds=rounds, grid=COARSE, weights=weights)
        .films[0]
        .agreement
        for rounds in (0, 2)
    )
    assert fine.psnr > coarse.psnr + 5 and fine.ssim > coarse.ssim + 0.1 and fine.ngcc > coarse.ngcc


def test_order_of_films_does_not_matter_and_left_is_mirrored(case: DensityCase, weights: Path):
    def estimate(side: Side, *views: View) -> DensityResult:
        films = [film(case, view, side) for view in views]
        return estimate_density(films, find_joint=False, grid=COARSE, weights=weights)

    right = estimate(Side.RIGHT, View.AP, View.LATERAL)
    swapped = estimate(Side.RIGHT, View.LATERAL, View.AP)
    np.testing.assert_array_equal(swapped.density.attenuation, right.density.attenuation)
    left = estimate(Side.LEFT, View.AP, View.LATERAL)
    mirrored = left.density.attenuation[..., ::-1]
    np.testing.assert_allclose(mirrored, right.density.attenuation, atol=1e-5)
    assert left.side is Side.LEFT


def test_what_is_no_pair_is_refused(case: DensityCase, weights: Path):
    with pytest.raises(XRayTo3DError, match="one frontal and one lateral"):
        estimate_density([film(case, View.AP), film(case, View.PA)], weights=weights)
    with pytest.raises(XRayTo3DError, match="not 0"):
        estimate_density([], weights=weights)


def test_weights_of_something_else_are_refused(films_network: Path, tmp_path: Path):
    with pytest.raises(InputFileError, match="films.safetensors"):
        load_density_model(films_network)
    with pytest.raises(InputFileError, match="does not exist"):
        load_density_model(tmp_path / "none.safetensors")


def test_command_writes_its_files(case: DensityCase, weights: Path, tmp_path: Path):
    picture = tmp_path / "knee.png"
    Image.fromarray((film(case, View.AP).pixels * 255).astype(np.uint8)).save(picture)
    app, output = typer.Typer(), tmp_path / "out"
    app.command()(density)
    said = f"--view AP --side right --spacing {FILM_SPACING * SID / SOD} --sid {SID} --sod {SOD}"
    arguments = [str(picture), "-o", str(output), "--weights", str(weights), "--rounds", "0"]
    arguments += ["--bright", *said.split()]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert {path.name for path in output.iterdir()} == set(density_targets(output))
    image = sitk.ReadImage(str(output / "density.nrrd"))
    assert image.GetSize() == FINE_GRID.shape[::-1]
    # The isocentre is a point within the volume in whatever frame.
    index = image.TransformPhysicalPointToContinuousIndex((0.0, 0.0, 0.0))
    np.testing.assert_allclose(index, FINE_GRID.to_index(np.zeros(3))[::-1], atol=1e-3)
    units = sitk.GetArrayFromImage(image)
    assert units.dtype == np.int16 and units.min() >= -1000
    assert sitk.GetArrayFromImage(sitk.ReadImage(str(output / "uncertainty.nrrd"))).min() >= 0
    report = json.loads((output / "report.json").read_text(encoding="utf-8"))
    assert report["films"][0]["file"] == "knee.png" and report["volume"]["unit"] == "HU"
    again = CliRunner().invoke(app, arguments)
    assert isinstance(again.exception, XRayTo3DError) and "--overwrite" in str(again.exception)


def test_uncertainty_is_written_in_hounsfield_units(
    case: DensityCase, weights: Path, tmp_path: Path
):
    result = estimate_density([film(case, View.AP)], rounds=0, grid=COARSE, weights=weights)
    write_density_outputs(result, tmp_path)
    found = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "uncertainty.nrrd")))
    # 1000 HU are the attenuation of water at 60 keV: 0.2059 cm²/g at 1 g/cm³ (NIST).
    expected = result.density.deviation / 0.02059 * 1000
    np.testing.assert_allclose(found, expected, atol=1.0, rtol=1e-3)
