"""``xrayto3d prepare`` on masks of both knees: what it writes, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from typer.testing import CliRunner

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.distance import inside_mask
from XRayTo3DLib.anatomy.knee import load_knees
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.cli import app
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.training.bank import list_cases
from XRayTo3DLib.training.cases import NETWORK_GRID, Case

GRID = VolumeGrid((135, 70, 160), 2.0)


@pytest.fixture(scope="module")
def scan(toy_knee: dict[Bone, Surface], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CT of two legs; the femora are named by side, the other bones lie in one mask each."""
    folder = tmp_path_factory.mktemp("scan")
    masks = folder / "masks"
    masks.mkdir()
    x, y, _ = GRID.axes()
    units = np.full(GRID.shape, -1000.0, np.float32)
    both = {bone: np.zeros(GRID.shape, bool) for bone in Bone}
    for side, middle in (("right", 80.0), ("left", -80.0)):
        units[:, np.hypot(x[None, :] - middle, y[:, None]) < 58] = 40.0
        shift = np.eye(4)
        shift[0, 3] = middle
        for bone, surface in toy_knee.items():
            own = surface if side == "right" else surface.mirrored()
            inside = inside_mask(own.transformed(shift), GRID)
            both[bone] |= inside
            if bone is Bone.FEMUR:
                sitk.WriteImage(
                    GRID.image(inside.astype(np.uint8)), str(masks / f"femur_{side}.nii.gz")
                )
    for bone, inside in both.items():
        units[inside] = 500.0
        if bone is not Bone.FEMUR:
            sitk.WriteImage(GRID.image(inside.astype(np.uint8)), str(masks / f"{bone.key}.nii.gz"))
    sitk.WriteImage(GRID.image(units), str(folder / "ct.nii.gz"))
    return folder


def test_two_knees_become_cases_and_bones(
    scan: Path, toy_knee: dict[Bone, Surface], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = [scan / "ct.nii.gz", scan / "masks", "-o", out, "--person", "anna", "--views", 2]
    result = CliRunner().invoke(app, ["prepare", *map(str, words)])
    assert result.exit_code == 0, result.output
    paths = list_cases(out)
    assert [path.name for path in paths] == [
        f"case_anna_{side}_{number:03d}.npz" for side in ("left", "right") for number in (0, 1)
    ]
    cases = [Case.load(path) for path in paths]
    for bone in Bone:
        counts = [int((case.labels == bone).sum()) for case in cases]
        # The left knee was mirrored: it holds what the right one holds.
        assert counts[0] == counts[1] > 0
        assert counts[0] == pytest.approx(counts[2], rel=0.02)
    for case in cases:
        fibula = np.argwhere(case.labels == Bone.FIBULA)
        assert fibula[:, 2].mean() > NETWORK_GRID.shape[2] / 2
    assert not np.allclose(cases[0].matrices, cases[1].matrices)
    knees = load_knees(out / "bones")
    assert {(knee.name, knee.side.value, knee.person) for knee in knees} == {
        (f"anna_{side}", side, "anna") for side in ("left", "right")
    }
    for knee in knees:
        for bone, surface in knee.surfaces.items():
            assert surface.volume == pytest.approx(toy_knee[bone].volume, rel=0.05)
    assert set(json.loads((out / "bones" / "index.json").read_text())) == {
        "anna_left",
        "anna_right",
    }
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]


@pytest.mark.parametrize(
    ("ct", "labels", "options", "said"),
    [
        ("masks", "masks", (), "masks: holds no DICOM series"),
        ("ct.nii.gz", "ct.nii.gz", ("--label", "tibia=1"), "femur=1, tibia=1"),
        ("ct.nii.gz", "masks/tibia.nii.gz", ("--label", "femur=5"), "tibia.nii.gz: .*found none"),
        ("ct.nii.gz", "masks/tibia.nii.gz", (), "tibia.nii.gz: .*found femur"),
        ("masks/tibia.nii.gz", "masks", (), "not in Hounsfield units"),
    ],
)
def test_bad_input_is_refused_and_nothing_is_written(
    scan: Path, tmp_path: Path, ct: str, labels: str, options: tuple[str, ...], said: str
) -> None:
    words = [scan / ct, scan / labels, "-o", tmp_path / "out", "--person", "anna", *options]
    result = CliRunner().invoke(app, ["prepare", *map(str, words)])
    with pytest.raises(XRayTo3DError, match=said):
        raise result.exception or AssertionError(result.output)
    assert not list(tmp_path.iterdir())
