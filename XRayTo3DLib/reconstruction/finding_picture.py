"""What was found on a film, for the eye and for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.imaging.radiograph import Sourced
from XRayTo3DLib.reconstruction.calibration_ball import Ball
from XRayTo3DLib.reconstruction.finding import FoundKnee
from XRayTo3DLib.reconstruction.long_axis import Line
from XRayTo3DLib.reconstruction.report import NOT_FOR_CLINICAL_USE

_HEIGHT_INCHES = 7.5
_DPI = 85
_SHAFT = 70.0
"""mm either way that an axis is drawn."""

_LINE = "#f5f7fa"
_JOINT = "#ff6ad5"
_BALL = "#4fe3e3"


def found_report(found: FoundKnee, ball: Ball | None = None) -> dict[str, Any]:
    """What was found, as plain values; pixels are (row, column) of the upright film."""
    film, scale = found.film, found.scale
    report: dict[str, Any] = {
        "notice": NOT_FOR_CLINICAL_USE,
        "file": film.path.name if film.path else None,
        "view": _fact(film.view),
        "side": _fact(film.side),
        "confidence": round(found.confidence, 4),
        "centre_pixel": _rounded(found.centre),
        "roll_degrees": round(found.roll, 2),
        "femur_axis_degrees": _angle(found.femur),
        "tibia_axis_degrees": _angle(found.tibia),
        "joint_line_pixels": _rounded(found.joint_line),
        "flexion_degrees": None,
        "box_pixels": _rounded(found.box),
        "scale": {
            "mm_per_pixel_at_isocentre": [round(float(step), 5) for step in scale.step],
            "uncertainty_mm": round(scale.uncertainty, 5),
            "uncertainty_mm_in_100": round(100.0 * scale.relative, 2),
            "spacing_at_detector_mm": [round(float(step), 5) for step in film.spacing.value],
            "origin": scale.origin.value,
            "note": scale.note,
        },
        "condyles_mm": None if found.width is None else round(found.width, 1),
        "warnings": list(film.warnings),
    }
    if found.flexion is not None:
        report["flexion_degrees"] = {
            "value": round(found.flexion.value, 1),
            "uncertainty": round(found.flexion.uncertainty, 1),
        }
    if ball is not None:
        report["ball"] = {"centre_pixel": _rounded(ball.centre), "radius_pixels": ball.radius}
    return report


def _fact(fact: Sourced[Any]) -> dict[str, str]:
    return {"value": fact.value.value, "origin": fact.origin.value, "note": fact.note}


def _rounded(values: Any) -> Any:
    return np.round(np.asarray(values, dtype=float), 2).tolist()


def _angle(line: Line | None) -> float | None:
    return None if line is None else round(line.angle, 2)


def write_picture(found: FoundKnee, path: str | Path, ball: Ball | None = None) -> None:
    """Write the film with everything that was found on it as PNG."""
    with open(path, "wb") as file:
        # matplotlib signs its files with its version otherwise.
        FigureCanvasAgg(draw_found(found, ball)).print_png(file, metadata={"Software": None})


def draw_found(found: FoundKnee, ball: Ball | None = None) -> Figure:
    """The film with box, joint line, shaft axes, the network's silhouettes, and the numbers."""
    rows, columns = found.film.pixels.shape
    width = _HEIGHT_INCHES * columns / rows
    figure = Figure(figsize=(width + 2.9, _HEIGHT_INCHES), dpi=_DPI, facecolor="#131518")
    share = width / (width + 2.9)
    axes = figure.add_axes((0.0, 0.0, share, 1.0))
    axes.axis("off")
    low, high = np.percentile(found.film.pixels, (1.0, 99.7))
    axes.imshow(found.film.pixels, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), aspect="auto")
    _draw_silhouettes(axes, found)
    _draw_lines(axes, found)
    if ball is not None:
        turn = np.linspace(0.0, 2 * np.pi, 90)
        row, column = ball.centre
        axes.plot(column + ball.radius * np.cos(turn), row + ball.radius * np.sin(turn), c=_BALL)
    axes.set_xlim(-0.5, columns - 0.5)
    axes.set_ylim(rows - 0.5, -0.5)
    figure.text(share + 0.015, 0.97, _text(found), color=_LINE, fontsize=9, va="top", wrap=True)
    return figure


def _draw_silhouettes(axes: Axes, found: FoundKnee) -> None:
    place = found.window.positions()
    shape = np.array(found.film.pixels.shape)
    on_film = ((place >= 0) & (place <= shape - 1)).all(axis=-1)
    for bone in Bone:
        mask = np.where(on_film, found.silhouettes[bone - 1].numpy(), np.nan)
        if np.nanmax(mask, initial=0.0) > 0.5:
            axes.contour(
                place[..., 1], place[..., 0], mask, [0.5], colors=[bone.style.rgb], linewidths=1.4
            )


def _draw_lines(axes: Axes, found: FoundKnee) -> None:
    box = np.concatenate([found.box, found.box[:1]])
    axes.plot(box[:, 1], box[:, 0], "--", color=_LINE, linewidth=0.9)
    axes.plot(found.joint_line[:, 1], found.joint_line[:, 0], color=_JOINT, linewidth=1.6)
    axes.plot(found.centre[1], found.centre[0], "+", color=_JOINT, markersize=14)
    for line in (found.femur, found.tibia):
        if line is not None:
            reach = _SHAFT * line.up / np.array(found.scale.step)
            ends = np.stack([line.point - reach, line.point + reach])
            axes.plot(ends[:, 1], ends[:, 0], color=_LINE, linewidth=1.1)


def _text(found: FoundKnee) -> str:
    film, scale = found.film, found.scale
    lines = [
        f"{film.side.value.value} knee, {film.view.value.value}",
        f"  side: {film.side.origin.value}, view: {film.view.origin.value}",
        f"confidence {found.confidence:.2f}",
        "",
        f"joint at {found.centre[0]:.0f}, {found.centre[1]:.0f} (row, column)",
        f"leg leans {found.roll:+.1f}°",
        f"femur's shaft {_degrees(found.femur)}",
        f"tibia's shaft {_degrees(found.tibia)}",
        "",
        f"{scale.step[0]:.4f} ± {scale.uncertainty:.4f} mm per pixel",
        f"  at the knee ({scale.origin.value})",
        *_wrapped(scale.note),
        f"±{100 * scale.relative:.1f} mm in 100 mm",
        "",
        "flexion "
        + (
            "unknown on this film"
            if found.flexion is None
            else f"{found.flexion.value:.0f} ± {found.flexion.uncertainty:.0f}°"
        ),
        "",
        *_wrapped("Coloured: the silhouettes that the network sees; not measured truth."),
        "",
        *_wrapped(NOT_FOR_CLINICAL_USE + "."),
    ]
    return "\n".join(lines)


def _degrees(line: Line | None) -> str:
    return "not seen" if line is None else f"{line.angle:+.1f}°"


def _wrapped(text: str) -> list[str]:
    import textwrap

    return textwrap.wrap(text, 34, initial_indent="  ", subsequent_indent="  ")
