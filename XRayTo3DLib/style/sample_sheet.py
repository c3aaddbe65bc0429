"""Pictures by which one sees what a translation of style does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from XRayTo3DLib.training.curves import read_log

_SMOOTHING = 25


def write_sheet(rows: dict[str, Tensor], path: Path) -> None:
    """Films side by side, one row for each kind.

    Args:
        rows: ``(N, 1, rows, columns)`` in 0–1 for each name, all of one length.
        path: of the PNG.
    """
    columns = max(len(films) for films in rows.values())
    figure = Figure(figsize=(2.2 * columns, 2.2 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for line, (name, films) in zip(axes, rows.items(), strict=True):
        for place, film in zip(line, films, strict=False):
            place.imshow(film[0].cpu().numpy(), cmap="gray", vmin=0.0, vmax=1.0)
        for place in line:
            place.set(xticks=[], yticks=[])
        line[0].set_ylabel(name)
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=110, metadata={"Software": None})


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
