"""The folder of a training run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from XRayTo3DLib.errors import InputFileError, XRayTo3DError
from XRayTo3DLib.run_folder import LOG, RunFolder, load_checkpoint, move_average

STATE = {"settings": {"steps": 3, "rate": 0.1}, "step": 2, "weights": torch.arange(3)}


def test_a_new_folder_holds_no_run(tmp_path: Path) -> None:
    assert RunFolder(tmp_path / "new" / "run").unfinished({}) is None
    assert (tmp_path / "new" / "run").is_dir()


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.save({**STATE, "step": 1})
    folder.save(STATE)
    state = folder.unfinished(dict(STATE["settings"]))
    assert state["step"] == 2
    torch.testing.assert_close(state["weights"], STATE["weights"])
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_other_settings(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "runs")
    folder.save(STATE)
    with pytest.raises(XRayTo3DError, match="runs holds a run with other settings"):
        folder.unfinished({"steps": 4, "rate": 0.1})


def test_a_save_that_fails_leaves_the_last_one(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.save(STATE)
    with pytest.raises(Exception, match="pickle"):
        folder.save({**STATE, "step": lambda: None})
    assert load_checkpoint(folder.checkpoint)["step"] == 2


@pytest.mark.parametrize("content", [b"", b"no checkpoint"])
def test_damaged(tmp_path: Path, content: bytes) -> None:
    folder = RunFolder(tmp_path)
    folder.checkpoint.write_bytes(content)
    with pytest.raises(InputFileError, match="checkpoint.pt: is not a checkpoint"):
        folder.unfinished({})


def test_a_checkpoint_is_a_record(tmp_path: Path) -> None:
    torch.save(torch.zeros(2), tmp_path / "other.pt")
    with pytest.raises(InputFileError, match="other.pt: is not a checkpoint"):
        load_checkpoint(tmp_path / "other.pt")


def test_the_log_grows_by_lines(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    entries = [{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.25}]
    for entry in entries:
        folder.log(entry)
    lines = (tmp_path / LOG).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == entries


def test_the_average_begins_short_and_grows_long() -> None:
    average, network = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    for step, share in ((0, 0.1), (10, 11 / 20), (10_000, 0.9)):
        nn.init.ones_(average.weight)
        nn.init.zeros_(network.weight)
        move_average(average, network, 0.9, step)
        assert float(average.weight.detach()) == pytest.approx(share)
