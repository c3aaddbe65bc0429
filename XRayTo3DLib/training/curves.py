"""The curves of a training run, from its log."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.errors import InputFileError

_SMOOTHING = 25


def read_log(path: Path) -> list[dict]:
    """Entries of a log, one per step; where a run was resumed, the later entry of a step.

    Raises:
        InputFileError: there is no log, or it is not one.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        entries = {entry["step"]: entry for entry in map(json.loads, lines)}
    except (OSError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise InputFileError(path, "is not the log of a training run.") from error
    if not entries:
        raise InputFileError(path, "holds no step yet; let the training run longer.")
    return [entries[step] for step in sorted(entries)]


def write_curves(log: Path, figure_path: Path) -> None:
    """Draw the loss (mean over some steps) and the validation Dice of each bone."""
    entries = read_log(log)
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    loss_axes, dice_axes = figure.subplots(1, 2)
    for name, colour in (("silhouette_loss", "0.7"), ("cross_entropy", "0.2")):
        steps, loss = _series(entries, name)
        if len(loss):
            window = min(_SMOOTHING, len(loss))
            smooth = np.convolve(loss, np.full(window, 1.0 / window), mode="valid")
            label = name.replace("_", " ")
            loss_axes.semilogy(steps[window - 1 :], smooth, color=colour, label=label)
    loss_axes.set(xlabel="step", ylabel=f"loss, mean of {_SMOOTHING} steps")
    loss_axes.legend()
    for name, style in (("silhouette", ":"), ("dice", "o-")):
        for bone in Bone:
            steps, dice = _series(entries, f"{name}_{bone.key}")
            if len(dice):
                what = "" if name == "dice" else ", silhouette"
                label = f"{bone.title}{what}"
                dice_axes.plot(steps, dice, style, ms=3, color=bone.style.rgb, label=label)
    dice_axes.set(xlabel="step", ylabel="validation Dice", ylim=(0, 1))
    if dice_axes.lines:
        dice_axes.legend(fontsize="small")
    FigureCanvasAgg(figure)
    figure.savefig(figure_path, dpi=120, metadata={"Software": None})


def _series(entries: list[dict], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps at which a value was logged, and the values."""
    points = [(entry["step"], entry[name]) for entry in entries if name in entry]
    steps, values = np.array(points, dtype=float).reshape(-1, 2).T
    return steps, values
