from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import vtk

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.surface import read_surface
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.progress import Cancelled
from XRayTo3DLib.reconstruction.destination import OUTPUT_NAMES, check_destination
from XRayTo3DLib.reconstruction.outputs import write_outputs
from XRayTo3DLib.reconstruction.result import Reconstruction, StyledFilms

_GREY = np.full((2, 8, 8), 0.5, np.float32)


@pytest.fixture(scope="module")
def knee(knee: Reconstruction) -> Reconstruction:
    """One of which every file is written."""
    return replace(knee, styled=StyledFilms("style", "0" * 64, _GREY, _GREY, np.zeros((2, 2, 3))))


def content(folder: Path) -> dict[str, bytes]:
    """Name and bytes of every file in a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def written(knee: Reconstruction, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("outputs") / "new" / "deeper"
    paths = write_outputs(knee, folder)
    assert sorted(paths) == sorted(folder / name for name in OUTPUT_NAMES)
    return folder


def test_exactly_the_named_files_are_written(written: Path) -> None:
    assert set(content(written)) == set(OUTPUT_NAMES)
    assert all(content(written).values())
    assert [path.name for path in written.parent.iterdir()] == ["deeper"]


@pytest.mark.parametrize("bone", Bone)
def test_surfaces_are_closed_and_lps(knee: Reconstruction, written: Path, bone: Bone) -> None:
    path = written / f"{bone.key}.stl"
    assert path.read_bytes().startswith(b"SPACE=LPS;UNIT=mm")
    surface = read_surface(path)
    edges = vtk.vtkFeatureEdges()
    edges.SetInputData(surface.to_vtk())
    edges.ManifoldEdgesOff()
    edges.FeatureEdgesOff()
    edges.Update()
    assert edges.GetOutput().GetNumberOfCells() == 0
    middle = knee.surfaces[bone].vertices.mean(axis=0) * (-1, -1, 1)
    assert surface.vertices.mean(axis=0) == pytest.approx(middle, abs=0.01)


def test_ras_is_said_in_file_and_report(knee: Reconstruction, tmp_path: Path) -> None:
    write_outputs(knee, tmp_path, frame="RAS")
    path = tmp_path / "patella.stl"
    assert path.read_bytes().startswith(b"SPACE=RAS;UNIT=mm")
    assert read_surface(path).vertices[:, 1].mean() == pytest.approx(42, abs=0.1)
    report = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert report["surfaces"]["frame"] == "RAS"


def test_same_bytes_again(knee: Reconstruction, written: Path, tmp_path: Path) -> None:
    write_outputs(knee, tmp_path)
    assert content(tmp_path) == content(written)


@pytest.mark.parametrize("name", OUTPUT_NAMES)
def test_an_existing_file_is_never_replaced_unasked(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("precious")
    with pytest.raises(XRayTo3DError, match=rf"{name} exists; use --overwrite"):
        check_destination(tmp_path)
    check_destination(tmp_path, overwrite=True)


def test_overwriting_touches_no_other_file(
    knee: Reconstruction, written: Path, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("precious")
    for name in OUTPUT_NAMES:
        (tmp_path / name).write_text("old")
    write_outputs(knee, tmp_path, overwrite=True)
    assert content(tmp_path) == {**content(written), "notes.txt": b"precious"}


def test_a_bone_that_was_not_found_leaves_no_old_surface(
    knee: Reconstruction, tmp_path: Path
) -> None:
    (tmp_path / "fibula.stl").write_text("of another knee")
    without = {bone: surface for bone, surface in knee.surfaces.items() if bone is not Bone.FIBULA}
    paths = write_outputs(replace(knee, surfaces=without), tmp_path, overwrite=True)
    assert set(content(tmp_path)) == set(OUTPUT_NAMES) - {"fibula.stl"}
    assert tmp_path / "fibula.stl" not in paths


@pytest.mark.parametrize(
    ("error", "share"),
    [(KeyboardInterrupt, 0.1), (Cancelled, 0.2), (RuntimeError, 0.4), (KeyboardInterrupt, 1.0)],
)
def test_stopping_leaves_nothing(
    knee: Reconstruction, tmp_path: Path, error: type[BaseException], share: float
) -> None:
    def stop(stage: str, fraction: float) -> None:
        if fraction >= share:
            raise error

    with pytest.raises(error):
        write_outputs(knee, tmp_path / "new" / "deeper", progress=stop)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("moves", range(1, 2 * len(OUTPUT_NAMES)))
def test_stopping_between_two_moves_restores_the_old_files(
    knee: Reconstruction,
    written: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    moves: int,
) -> None:
    """Ctrl-C after any number of the moves, old files out and new files in."""
    from XRayTo3DLib.reconstruction import outputs

    old = {name: f"old {name}".encode() for name in OUTPUT_NAMES}
    for name, data in old.items():
        (tmp_path / name).write_bytes(data)
    done = 0

    def move(source: Path, target: Path) -> None:
        nonlocal done
        done += 1
        if done == moves:
            raise KeyboardInterrupt
        os.rename(source, target)

    # Writing is tested above; here ready files are moved.
    def ready(
        reconstruction: Reconstruction, folder: Path, frame: str, progress: object
    ) -> list[str]:
        for name, data in content(written).items():
            (folder / name).write_bytes(data)
        return list(OUTPUT_NAMES)

    monkeypatch.setattr(outputs, "_write_all", ready)
    monkeypatch.setattr(outputs.os, "replace", move)
    with pytest.raises(KeyboardInterrupt):
        write_outputs(knee, tmp_path, overwrite=True)
    assert content(tmp_path) == old


@pytest.mark.parametrize("place", ["file", "file/below", "file/further/below"])
def test_a_file_in_the_place_of_the_folder(
    knee: Reconstruction, tmp_path: Path, place: str
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(XRayTo3DError, match="file is not a folder; name another"):
        write_outputs(knee, tmp_path / place)
    assert content(tmp_path) == {"file": b"in the way"}


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="/proc takes no folders, from anybody")
def test_a_folder_that_cannot_be_written(knee: Reconstruction) -> None:
    with pytest.raises(XRayTo3DError, match="cannot be written .*check --output"):
        write_outputs(knee, "/proc/knee")


def test_a_folder_in_the_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "femur.stl").mkdir()
    with pytest.raises(XRayTo3DError, match="femur.stl is a folder"):
        check_destination(tmp_path, overwrite=True)


def test_labels_and_report_tell_of_the_same_knee(knee: Reconstruction, written: Path) -> None:
    report = json.loads((written / "report.json").read_text("utf-8"))
    voxels = (knee.labels == Bone.PATELLA).sum() * knee.grid.spacing**3
    assert report["bones"]["patella"]["volume_mm3"] == pytest.approx(float(voxels), rel=0.05)
    assert np.isclose(report["seconds"]["total"], 1.75)
