"""Scores of estimated densities, on values worked out by hand; and the simpler methods."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from XRayTo3DLib.evaluation.density_baselines import NearestLeg, smeared
from XRayTo3DLib.evaluation.density_benchmark import DensityRow, density_table, write_benchmark
from XRayTo3DLib.evaluation.density_scores import DensityScores, Truth, view_errors, volume_errors
from XRayTo3DLib.imaging.geometry import view_geometry
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.projector import project
from XRayTo3DLib.imaging.radiograph import Side, View
from XRayTo3DLib.tomography.consistency import MeasuredView
from XRayTo3DLib.tomography.density import DENSITY_GRID
from XRayTo3DLib.training.density_cases import DensityCase

GRID = VolumeGrid.cube(32, 128.0)
WATER = 0.02059  # 1/mm at 60 keV (NIST)
AP = view_geometry(View.AP, Side.RIGHT, sid=1100, sod=1000, spacing=(4.4, 4.4), shape=(32, 32))


def leg() -> Truth:
    """A slab of bone in a block of muscle in air."""
    attenuation = torch.zeros(GRID.shape)
    attenuation[:, 8:24, 8:24] = WATER
    bone = torch.zeros(GRID.shape, dtype=torch.bool)
    bone[:, 14:18, 14:18] = True
    attenuation[bone] = 2.0 * WATER
    return Truth(attenuation, bone, torch.ones(GRID.shape, dtype=torch.bool), GRID)


def test_errors_are_in_hounsfield_units_and_of_their_region():
    truth = leg()
    estimate = truth.attenuation + 0.1 * WATER * truth.bone
    found = volume_errors(estimate, truth)
    assert found["bone"] == pytest.approx(100.0, rel=1e-3)
    assert found["soft"] == pytest.approx(0.0, abs=1e-3)
    assert found["air"] == pytest.approx(0.0, abs=1e-3)
    share = float(truth.bone.float().mean())
    assert found["psnr"] == pytest.approx(10 * np.log10(4.0 / (0.01 * share)), abs=0.01)


def test_voxels_beside_the_films_are_not_judged():
    truth = leg()
    truth.seen[:16] = False
    estimate = truth.attenuation.clone()
    estimate[:16] = 9.0
    assert volume_errors(estimate, truth)["soft"] == pytest.approx(0.0, abs=1e-4)


def test_an_error_along_the_rays_is_seen_from_the_side():
    truth = leg()
    moved = truth.attenuation.roll(4, dims=1)  # 16 mm to the front, along the AP's rays
    found = view_errors(moved, truth, AP)
    assert found["view_0"] > found["view_30"] > found["view_90"]
    assert found["view_0"] > found["view_90"] + 10.0


def test_smearing_reproduces_the_film_and_knows_no_depth():
    truth = leg()
    integrals = project(truth.attenuation, GRID, AP)
    known = torch.ones(AP.shape, dtype=torch.bool)
    found = smeared([MeasuredView(AP, integrals, known)], GRID)
    again = project(found, GRID, AP)
    assert float((again - integrals).abs().mean()) < 0.02 * float(integrals.mean())
    # Evenly from front to back.
    core = found[16, 4:28, 16]
    assert float(core.std()) < 0.1 * float(core.mean())


def test_the_nearest_leg_is_the_one_filmed(tmp_path: Path):
    paths = []
    rng = np.random.default_rng(0)
    for number in range(3):
        lengths = np.zeros((2, 4, 256, 256), dtype=np.float32)
        row, column = rng.integers(60, 160, 2)
        lengths[:, 2, 20:236, 40:216] = 80.0
        lengths[:, 0, row : row + 60, column : column + 40] = 20.0
        case = DensityCase(
            attenuation=np.full(DENSITY_GRID.shape, 0.01 * (number + 1), dtype=np.float32),
            bone=np.zeros(DENSITY_GRID.shape, dtype=bool),
            paths=lengths,
            matrices=np.zeros((2, 3, 4), dtype=np.float32),
        )
        paths.append(tmp_path / f"case_{number:06d}.npz")
        case.save(paths[-1])
    nearest = NearestLeg.of(paths)
    for number in range(3):
        film = 1.0 - 0.8 * nearest.films[number] ** 2  # another tone; then bone bright again
        found = nearest(1.0 - film, (0, 1))
        assert float(found.mean()) == pytest.approx(0.01 * (number + 1), abs=2e-4)


def test_tables_hold_mean_and_spread(tmp_path: Path):
    rows = [
        DensityRow(
            f"knee{n}", "p", "own", "ours", "AP", DensityScores(*([float(n)] * 10), film_ngcc=0.5)
        )
        for n in (1, 3)
    ]
    head, line = density_table(rows)
    assert line[:3] == ["own", "ours", "AP"] and line[head.index("PSNR dB")] == "2.0 ± 1.4"
    write_benchmark(rows, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"scores.csv", "table.md"}
    lines = (tmp_path / "scores.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("knee,person,film,contestant,input,bone") and len(lines) == 3
    assert "| own | ours | AP | 2 ± 1 |" in (tmp_path / "table.md").read_text(encoding="utf-8")
