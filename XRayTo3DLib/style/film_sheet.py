"""Films side by side."""

from __future__ import annotations

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor


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
