"""Where a training run keeps its log and its checkpoint, and how it is taken up again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from XRayTo3DLib.errors import InputFileError, XRayTo3DError

CHECKPOINT = "checkpoint.pt"
LOG = "log.jsonl"


class RunFolder:
    """The folder of one training run, made when absent."""

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self._path = path

    @property
    def path(self) -> Path:
        """The folder."""
        return self._path

    @property
    def checkpoint(self) -> Path:
        """File of the last checkpoint."""
        return self._path / CHECKPOINT

    def log(self, entry: dict[str, Any]) -> None:
        """Add a line of JSON to the log."""
        with (self._path / LOG).open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def save(self, state: dict[str, Any]) -> None:
        """Replace the checkpoint; a stop in between leaves the old one.

        Args:
            state: tensors and plain values; ``settings`` and ``step`` among them.
        """
        unfinished = self.checkpoint.with_suffix(".pt.part")
        torch.save(state, unfinished)
        unfinished.replace(self.checkpoint)

    def unfinished(self, settings: dict[str, Any]) -> dict[str, Any] | None:
        """The state of the run that was stopped here, or None where there is none.

        Args:
            settings: of the run that is to go on, as :meth:`save` was given them.

        Raises:
            InputFileError: the checkpoint is damaged.
            XRayTo3DError: it is of a run with other settings.
        """
        if not self.checkpoint.is_file():
            return None
        state = load_checkpoint(self.checkpoint)
        if state.get("settings") != settings:
            raise XRayTo3DError(
                f"{self._path.name} holds a run with other settings; name another folder."
            )
        return state


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint (tensors and plain values only).

    Raises:
        InputFileError: it is not one.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InputFileError(path, "is not a checkpoint of a training run.") from error
    if not isinstance(state, dict):
        raise InputFileError(path, "is not a checkpoint of a training run.")
    return state


@torch.no_grad()
def move_average(average: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    """Let the average of the weights follow the network by a step.

    Args:
        average: of the weights, changed in place.
        network: as it is after the step.
        decay: of the average, per step.
        step: number of the step, from 0; early on a long memory would hold the random start.
    """
    decay = min(decay, (1 + step) / (10 + step))
    for mean, now in zip(average.parameters(), network.parameters(), strict=True):
        mean.lerp_(now, 1.0 - decay)
