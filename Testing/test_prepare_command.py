"""``xrayto3d prepare`` on masks of both knees: what it writes, and what it refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from typer.testing import CliRunner

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.distance import inside_mask
from XRayTo3DLib.anatomy.knee import load_knees
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.cli import INTERRUPTED, app
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
    assert set(json.loads((out / "bones" / "index.json").read_text(encoding="utf-8"))) == {
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


def content(folder: Path) -> dict[str, bytes]:
    """Every file's bytes by path."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def command(scan: Path, output: Path, *options: object) -> list[str]:
    words = ["prepare", scan / "ct.nii.gz", scan / "masks", "-o", output, "--person", "anna"]
    return [*map(str, words), *map(str, options)]


def prepared(scan: Path, output: Path, *options: object) -> None:
    result = CliRunner().invoke(app, command(scan, output, *options))
    if result.exception:
        raise result.exception


def test_side_takes_one_knee_of_two_and_the_other_can_be_added(scan: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepared(scan, out, "--side", "left", "--views", 1)
    first = content(out)
    assert [path.name for path in list_cases(out)] == ["case_anna_left_000.npz"]
    assert [knee.name for knee in load_knees(out / "bones")] == ["anna_left"]
    prepared(scan, out, "--side", "right", "--views", 1)
    second = content(out)
    assert set(json.loads(second["bones/index.json"])) == {"anna_left", "anna_right"}
    assert {name: second[name] for name in first if name != "bones/index.json"} == {
        name: data for name, data in first.items() if name != "bones/index.json"
    }
    with pytest.raises(XRayTo3DError, match="out already holds anna_right"):
        prepared(scan, out, "--side", "right", "--views", 1)
    assert content(out) == second


def test_a_side_that_was_not_scanned_is_refused(scan: Path, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    for bone in Bone:
        image = sitk.ReadImage(str(scan / "masks" / _mask_name(bone)))
        array = sitk.GetArrayFromImage(image)
        # Columns grow to the patient's right: keep the left leg.
        array[:, :, array.shape[2] // 2 :] = 0
        kept = sitk.GetImageFromArray(array)
        kept.CopyInformation(image)
        sitk.WriteImage(kept, str(masks / f"{bone.key}_left.nii.gz"))
    words = [scan / "ct.nii.gz", masks, "-o", tmp_path / "out", "--person", "anna"]
    result = CliRunner().invoke(app, ["prepare", *map(str, words), "--side", "right"])
    with pytest.raises(XRayTo3DError, match="masks: .* a left knee only; leave out --side right"):
        raise result.exception or AssertionError(result.output)
    assert not (tmp_path / "out").exists()


def _mask_name(bone: Bone) -> str:
    return "femur_left.nii.gz" if bone is Bone.FEMUR else f"{bone.key}.nii.gz"


@pytest.mark.parametrize("below", ["", "deeper"])
def test_an_output_that_is_a_file_is_refused_and_kept(
    scan: Path, tmp_path: Path, below: str
) -> None:
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(XRayTo3DError, match="notes is not a folder; name another with --output"):
        prepared(scan, tmp_path / "notes" / below)
    assert content(tmp_path) == {"notes": b"mine"}


@pytest.mark.parametrize("text", ["{", "[1]"])
def test_an_index_that_is_none_is_refused_and_kept(scan: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "bones").mkdir()
    (tmp_path / "bones" / "index.json").write_text(text)
    with pytest.raises(XRayTo3DError, match=r"index\.json: is no index of bones"):
        prepared(scan, tmp_path)
    assert content(tmp_path) == {"bones/index.json": text.encode()}


def test_a_case_of_that_name_is_not_overwritten(scan: Path, tmp_path: Path) -> None:
    (tmp_path / "case_anna_left_007.npz").write_bytes(b"mine")
    with pytest.raises(XRayTo3DError, match="already holds anna_left;"):
        prepared(scan, tmp_path)
    assert content(tmp_path) == {"case_anna_left_007.npz": b"mine"}


def test_a_full_disk_is_said_and_leaves_the_folder_as_it_was(scan: Path, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="file sizes are limited on POSIX only")
    (tmp_path / "notes").write_text("mine")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(XRayTo3DError, match="cannot be written .*check --output"):
            prepared(scan, tmp_path, "--side", "left", "--views", 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert content(tmp_path) == {"notes": b"mine"}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for another process")
def test_ctrl_c_leaves_the_folder_as_it_was(scan: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes").write_text("mine")
    words = [sys.executable, "-m", "XRayTo3DLib.cli", *command(scan, out, "--views", 500)]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as run:
        while not list(out.glob(".*/case_*.npz")):
            assert run.poll() is None, run.communicate()[1]
            time.sleep(0.05)
        run.send_signal(signal.SIGINT)
        _, said = run.communicate(timeout=60)
    assert run.returncode == INTERRUPTED
    assert "Traceback" not in said
    assert {path.name for path in tmp_path.rglob("*")} == {"out", "notes"}
