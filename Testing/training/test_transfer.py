"""Moving several files: all of them or none, wherever an error or Ctrl-C comes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from XRayTo3DLib.training import transfer as module
from XRayTo3DLib.training.transfer import Transfer, transfer

CALLS = 4
"""Moves in :func:`move_all`."""


def content(folder: Path) -> dict[str, bytes | None]:
    """Every file's bytes and every folder, by path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture
def stage(tmp_path: Path) -> Path:
    """New files: two cases, a folder of bones, an index."""
    folder = tmp_path / "stage"
    (folder / "bones" / "new").mkdir(parents=True)
    (folder / "bones" / "new" / "femur.ply").write_text("femur")
    for name in ("case_0", "case_1", "index"):
        (folder / name).write_text(f"new {name}")
    return folder


def move_all(moves: Transfer, stage: Path, output: Path) -> None:
    moves.make_folder(output / "bones")
    moves.move(stage / "bones" / "new", output / "bones" / "new")
    moves.move(stage / "case_0", output / "case_0")
    moves.move(stage / "case_1", output / "case_1")
    moves.replace(stage / "index", output / "bones" / "index")


def kept_folder(output: Path) -> None:
    """A folder that holds something of the user's."""
    (output / "bones" / "old").mkdir(parents=True)
    (output / "bones" / "index").write_text("old index")
    (output / "notes.txt").write_text("mine")


def no_folder(output: Path) -> None:
    """Nothing, not even the parent."""


@pytest.mark.parametrize("before", [no_folder, kept_folder])
def test_all_files_arrive(stage: Path, tmp_path: Path, before: Callable[[Path], None]) -> None:
    output = tmp_path / "deep" / "output"
    before(output)
    earlier = content(output)
    with transfer() as moves:
        move_all(moves, stage, output)
    expected = {
        "bones": None,
        "bones/index": b"new index",
        "bones/new": None,
        "bones/new/femur.ply": b"femur",
        "case_0": b"new case_0",
        "case_1": b"new case_1",
    }
    assert content(output) == {**earlier, **expected}


@pytest.mark.parametrize("before", [no_folder, kept_folder])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
@pytest.mark.parametrize("number", range(CALLS))
@pytest.mark.parametrize("done", [False, True])
def test_none_arrives_if_one_fails(
    stage: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    before: Callable[[Path], None],
    error: BaseException,
    number: int,
    done: bool,
) -> None:
    """The error comes before a move takes place, or after it, as a signal may."""
    output = tmp_path / "deep" / "output"
    before(output)
    earlier = content(tmp_path)
    counted = iter(range(1000))

    def replace(source: Path, target: Path) -> None:
        fails = next(counted) == number
        if done or not fails:
            os.rename(source, target)
        if fails:
            raise error

    monkeypatch.setattr(module.os, "replace", replace)
    with pytest.raises(type(error)), transfer() as moves:
        move_all(moves, stage, output)
    monkeypatch.undo()
    found = content(tmp_path)
    found.pop("stage/index.earlier", None)
    if done and number == CALLS - 1:
        # The staged index has gone; it was on its way to be thrown away with its folder.
        earlier.pop("stage/index")
        found.pop("stage/index", None)
    assert found == earlier


def test_none_arrives_if_something_else_fails(stage: Path, tmp_path: Path) -> None:
    output = tmp_path / "output"
    kept_folder(output)
    earlier = content(output)
    with pytest.raises(RuntimeError), transfer() as moves:
        move_all(moves, stage, output)
        raise RuntimeError
    assert content(output) == earlier


def test_what_is_there_is_not_overwritten(stage: Path, tmp_path: Path) -> None:
    output = tmp_path / "output"
    kept_folder(output)
    (output / "case_1").write_text("mine")
    earlier = content(output)
    with pytest.raises(FileExistsError, match="case_1"), transfer() as moves:
        move_all(moves, stage, output)
    assert content(output) == earlier
