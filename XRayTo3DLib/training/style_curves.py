"""The course of a training of style."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from XRayTo3DLib.training.curves import read_log

_SMOOTHING = 25


def write_style_curves(log: Path, path: Path) -> None:
    """Draw each loss of a training of style, the mean over some steps, from its log.

    Raises:
        InputFileError: there is no log, or it is not one.
    """
    entries = read_log(log)
    steps = np.array([entry["step"] for entry in entries])
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    axes = figure.subplots()
    window = min(_SMOOTHING, len(steps))
    for name in ("adversary", "judges", "cycle", "identity", "anatomy"):
        values = np.array([entry[name] for entry in entries])
        smooth = np.convolve(values, np.full(window, 1.0 / window), mode="valid")
        axes.semilogy(steps[window - 1 :], np.maximum(smooth, 1e-6), label=name)
    axes.set(xlabel="step", ylabel=f"loss, mean of {window} steps")
    axes.legend(fontsize="small")
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=120, metadata={"Software": None})
