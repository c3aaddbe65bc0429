"""The curves of a training run, from its log."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.errors import InputFileError

_SMOOTHING = 25

_VALIDATED = {"silhouette": ":", "dice": "o-"}
"""What is measured in validation, and how it is drawn."""

_PLAIN = FuncFormatter(lambda value, _: f"{value:g}")


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
    """Draw the loss (mean over some steps) and, where there was validation, Dice of each bone."""
    entries = read_log(log)
    measured = {f"{name}_{bone.key}" for name in _VALIDATED for bone in Bone}
    validated = any(measured & entry.keys() for entry in entries)
    figure = Figure(figsize=(9 if validated else 4.5, 3.6), layout="constrained")
    axes = figure.subplots(1, 2 if validated else 1, squeeze=False)[0]
    _draw_loss(axes[0], entries)
    if validated:
        _draw_dice(axes[1], entries)
    FigureCanvasAgg(figure)
    figure.savefig(figure_path, dpi=120, metadata={"Software": None})


def _draw_loss(axes: Axes, entries: list[dict]) -> None:
    for name, colour in (("silhouette_loss", "0.7"), ("cross_entropy", "0.2")):
        steps, loss = _series(entries, name)
        if len(loss):
            window = min(_SMOOTHING, len(loss))
            smooth = np.convolve(loss, np.full(window, 1.0 / window), mode="valid")
            label = name.replace("_", " ")
            axes.semilogy(steps[window - 1 :], smooth, color=colour, label=label)
    axes.set(xlabel="step", ylabel=f"loss, mean of {_SMOOTHING} steps")
    axes.yaxis.set_major_formatter(_PLAIN)
    axes.yaxis.set_minor_formatter(_PLAIN)
    axes.legend()


def _draw_dice(axes: Axes, entries: list[dict]) -> None:
    for name, style in _VALIDATED.items():
        for bone in Bone:
            steps, dice = _series(entries, f"{name}_{bone.key}")
            if len(dice):
                what = "" if name == "dice" else ", silhouette"
                label = f"{bone.title}{what}"
                axes.plot(steps, dice, style, ms=3, color=bone.style.rgb, label=label)
    axes.set(xlabel="step", ylabel="validation Dice", ylim=(0, 1))
    axes.legend(fontsize="small")


def _series(entries: list[dict], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps at which a value was logged, and the values."""
    points = [(entry["step"], entry[name]) for entry in entries if name in entry]
    steps, values = np.array(points, dtype=float).reshape(-1, 2).T
    return steps, values
