"""One picture of a reconstruction: outlines on both radiographs, and the bones in 3D."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.imaging.geometry import ViewGeometry
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.radiograph import Radiograph, Sourced
from XRayTo3DLib.reconstruction.outlines import Contours, Outlines, outlines_of
from XRayTo3DLib.reconstruction.rendering import render_bones
from XRayTo3DLib.reconstruction.report import NOT_FOR_CLINICAL_USE, all_warnings, cut_sides
from XRayTo3DLib.reconstruction.result import Reconstruction

_DPI = 120
_SIZE_INCHES = (12.0, 13.2)
_PANEL_INCHES = 5.7
_COLUMNS_INCHES = (0.2, 6.1)
_ROWS_INCHES = (6.75, 0.75)
_BACKGROUND = "#131518"
_TEXT = "#e9ebee"
_FAINT = "#9da3ab"
_CAUTION = "#f2b04a"
_SCALE_BAR = 50.0
_MARGIN = 1.04
_WINDOW_PERCENT = (1.0, 99.7)


def write_overview(
    reconstruction: Reconstruction, path: str | Path, *, outlines: Outlines | None = None
) -> None:
    """Write :func:`draw_overview` as PNG, 1440×1584 pixels, the same bytes every time.

    Args:
        reconstruction: what to show.
        path: ends in ``.png``.
        outlines: of :func:`outlines_of`, when the caller has them already.
    """
    figure = draw_overview(reconstruction, outlines=outlines)
    with open(path, "wb") as file:
        # matplotlib signs its files with its version otherwise.
        FigureCanvasAgg(figure).print_png(file, metadata={"Software": None})


def draw_overview(reconstruction: Reconstruction, *, outlines: Outlines | None = None) -> Figure:
    """The films with the bones' outlines above, the bones in 3D below. No display is needed.

    The left column is the frontal, the right the lateral view; the bones in 3D are seen as that
    film's beam sees them. All four panels show the field of view at one scale, that at the
    isocentre. The captions say where side and scale come from.

    Args:
        reconstruction: what to show.
        outlines: of :func:`outlines_of`, when the caller has them already.
    """
    outlines = outlines_of(reconstruction) if outlines is None else outlines
    figure = Figure(figsize=_SIZE_INCHES, dpi=_DPI, facecolor=_BACKGROUND)
    films = (reconstruction.frontal, reconstruction.lateral)
    for index, (film, view) in enumerate(zip(films, reconstruction.geometry.views, strict=True)):
        x = _COLUMNS_INCHES[index]
        frame = _Frame.of(reconstruction.grid, view)
        contours = {bone: pair[index] for bone, pair in outlines.items()}
        _draw_film(_panel(figure, x, _ROWS_INCHES[0]), film, view, frame, contours)
        _draw_bones(_panel(figure, x, _ROWS_INCHES[1]), view, frame, reconstruction)
    _draw_heading(figure, reconstruction)
    _draw_legend(figure, reconstruction)
    return figure


@dataclass(frozen=True)
class _Frame:
    """The square of a film that a panel shows.

    ``centre`` is a pixel (row, column), ``half`` half the side in pixels along (row, column),
    ``span`` the side in mm at the isocentre.
    """

    centre: np.ndarray
    half: np.ndarray
    span: float

    @classmethod
    def of(cls, grid: VolumeGrid, view: ViewGeometry) -> _Frame:
        """As wide as the field of view."""
        span = _MARGIN * max(grid.shape) * grid.spacing
        pixel = np.array(view.spacing) * view.sod / view.sid
        return cls(view.project(np.array(grid.centre)), 0.5 * span / pixel, span)

    def slices(self, shape: tuple[int, int]) -> tuple[slice, slice]:
        """The pixels of a film of ``shape`` that the panel shows."""
        first = np.floor(self.centre - self.half).astype(int)
        last = np.ceil(self.centre + self.half).astype(int) + 1
        rows, columns = (
            slice(min(max(int(a), 0), n - 1), max(min(int(b), n), 1))
            for a, b, n in zip(first, last, shape, strict=True)
        )
        return rows, columns


def _panel(figure: Figure, x: float, y: float) -> Axes:
    width, height = _SIZE_INCHES
    axes = figure.add_axes((x / width, y / height, _PANEL_INCHES / width, _PANEL_INCHES / height))
    axes.set_facecolor("black")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    return axes


def _draw_film(
    axes: Axes,
    film: Radiograph,
    view: ViewGeometry,
    frame: _Frame,
    outlines: dict[Bone, Contours],
) -> None:
    shown = film.pixels[frame.slices(view.shape)]
    low, high = np.percentile(shown, _WINDOW_PERCENT)
    axes.imshow(film.pixels, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), aspect="auto")
    for bone, contours in outlines.items():
        for contour in contours:
            axes.plot(contour[:, 1], contour[:, 0], color=bone.style.rgb, linewidth=1.4)
    axes.set_xlim(frame.centre[1] - frame.half[1], frame.centre[1] + frame.half[1])
    axes.set_ylim(frame.centre[0] + frame.half[0], frame.centre[0] - frame.half[0])
    _write_caption(axes, film)
    _mark_directions(axes, view)
    _mark_scale(axes, frame)


def _draw_bones(
    axes: Axes, view: ViewGeometry, frame: _Frame, reconstruction: Reconstruction
) -> None:
    picture = render_bones(
        reconstruction.surfaces,
        view,
        size=round(_PANEL_INCHES * _DPI),
        span=frame.span,
        centre=np.array(reconstruction.grid.centre),
    )
    axes.imshow(picture, extent=(0, 1, 0, 1), transform=axes.transAxes, aspect="auto")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    _mark_directions(axes, view)
    _mark_scale(axes, frame)


def _mark_directions(axes: Axes, view: ViewGeometry) -> None:
    """The patient's directions at the left and right edge, as on a film."""
    style = _lettering(12)
    towards = _letter(view.column_step)
    axes.text(0.02, 0.5, _letter(-view.column_step), ha="left", **style, transform=axes.transAxes)
    axes.text(0.98, 0.5, towards, ha="right", **style, transform=axes.transAxes)


def _letter(direction: np.ndarray) -> str:
    """R, L, A, P, S or I: where a RAS direction mostly points."""
    axis = int(np.argmax(np.abs(direction)))
    return ("RL", "AP", "SI")[axis][0 if direction[axis] > 0 else 1]


def _mark_scale(axes: Axes, frame: _Frame) -> None:
    length = _SCALE_BAR / frame.span
    axes.plot(
        [0.03, 0.03 + length], [0.03, 0.03], color=_TEXT, linewidth=2, transform=axes.transAxes
    )
    axes.text(
        0.03, 0.04, f"{_SCALE_BAR:g} mm", ha="left", **_lettering(8), transform=axes.transAxes
    )


def _lettering(size: float) -> dict[str, Any]:
    return {
        "color": _TEXT,
        "fontsize": size,
        "va": "bottom",
        "path_effects": [withStroke(linewidth=2, foreground="black", alpha=0.6)],
    }


def _write_caption(axes: Axes, film: Radiograph) -> None:
    """The view, and its scale with the origin of each number."""
    axes.set_title(_title(film.view.value.value), color=_TEXT, fontsize=12, loc="left", pad=6)
    row, column = film.spacing.value
    spacing = f"{row:.3g}" if np.isclose(row, column) else f"{row:.3g} × {column:.3g}"
    facts = (
        ("SID", f"{film.sid.value:.0f}", film.sid),
        ("SOD", f"{film.sod.value:.0f}", film.sod),
        ("spacing", spacing, film.spacing),
    )
    scale = ", ".join(f"{name} {value} mm ({_origin(fact)})" for name, value, fact in facts)
    axes.set_title(scale, color=_FAINT, fontsize=8.5, loc="right", pad=6)


def _origin(fact: Sourced[Any]) -> str:
    return fact.origin.value


def _title(text: str) -> str:
    return text[:1].upper() + text[1:]


def _draw_heading(figure: Figure, reconstruction: Reconstruction) -> None:
    side = reconstruction.frontal.side
    top = 1 - 0.30 / _SIZE_INCHES[1]
    left, right = _edges()
    figure.text(
        left,
        top,
        f"{_title(reconstruction.side.value)} knee",
        color=_TEXT,
        fontsize=18,
        fontweight="bold",
        va="center",
    )
    figure.text(
        left + 0.16,
        top - 0.002,
        f"side: {_origin(side)}   weights: {reconstruction.model.name}",
        color=_FAINT,
        fontsize=10,
        va="center",
    )
    figure.text(
        right,
        top,
        NOT_FOR_CLINICAL_USE,
        color=_CAUTION,
        fontsize=12,
        fontweight="bold",
        va="center",
        ha="right",
    )


def _draw_legend(figure: Figure, reconstruction: Reconstruction) -> None:
    """The bones with their volumes, and how many warnings the report holds."""
    left, right = _edges()
    y = 0.38 / _SIZE_INCHES[1]
    labels = reconstruction.labels
    for position, bone in enumerate(Bone):
        x = left + position * 0.198
        surface = reconstruction.surfaces.get(bone)
        amount = "not found" if surface is None else f"{surface.volume / 1000:.1f} cm³"
        if cut_sides(labels, bone):
            amount += " in view"
        figure.text(x, y, "●", color=bone.style.rgb, fontsize=15, va="center")
        figure.text(
            x + 0.02,
            y,
            f"{bone.title}  {amount}",
            color=_FAINT if surface is None else _TEXT,
            fontsize=10.5,
            va="center",
        )
    count = len(all_warnings(reconstruction))
    if count:
        text = f"{count} warning{'s' if count > 1 else ''}, see report"
        figure.text(right, y, text, color=_CAUTION, fontsize=10.5, va="center", ha="right")


def _edges() -> tuple[float, float]:
    """Left and right edge of the panels in figure coordinates."""
    width = _SIZE_INCHES[0]
    return _COLUMNS_INCHES[0] / width, (_COLUMNS_INCHES[1] + _PANEL_INCHES) / width
