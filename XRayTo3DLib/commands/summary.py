"""What ``xrayto3d reconstruct`` prints when it is done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.imaging.radiograph import Origin
from XRayTo3DLib.reconstruction.destination import surface_name

_FILMS = {"frontal": "ap", "lateral": "lateral"}
_CHANGES = {
    "view": ("view", "the order of the films"),
    "side": ("side", "--side"),
    "spacing_mm": ("pixel spacing, mm", "--{film}-spacing"),
    "sid_mm": ("SID, mm", "--{film}-sid"),
    "sod_mm": ("SOD, mm", "--{film}-sod"),
    "orientation_in_file": ("orientation", "--flip-{film}"),
    "bone_dark_in_file": ("bone is dark in the file", "--{film}-dark, --{film}-bright"),
}


def print_summary(report: dict[str, Any], folder: Path, console: Console | None = None) -> None:
    """Print the bones, what nobody stated and how to change it, and the warnings.

    Where a picture contradicts what is said of it, that is a warning.

    Args:
        report: of :func:`XRayTo3DLib.reconstruction.report.build_report`.
        folder: where the files are.
        console: standard output by default.
    """
    console = console or Console(highlight=False)
    console.print(_bones(report))
    assumed = _assumptions(report)
    if assumed.row_count:
        console.print(assumed)
    for sentence in report["warnings"]:
        console.print(f"[yellow]Warning:[/] {escape(sentence)}")
    console.print(f"{report['seconds']['total']:.1f} s. Results in {escape(str(folder))}")
    console.print(f"[bold]{report['notice']}.[/]")


def _bones(report: dict[str, Any]) -> Table:
    table = Table(title=f"{report['side'].capitalize()} knee", title_justify="left")
    table.add_column("Bone")
    table.add_column("Volume, cm³", justify="right")
    table.add_column("Agreement AP", justify="right")
    table.add_column("lateral", justify="right")
    table.add_column("File")
    for bone in Bone:
        facts = report["bones"][bone.key]
        if not facts["found"]:
            table.add_row(bone.title, "not found", "–", "–", "–")
            continue
        fit = facts["outline_agreement"]
        table.add_row(
            bone.title,
            f"{facts['volume_cm3']:.1f}" + (" in view" if facts["cut_by_field_of_view"] else ""),
            _number(fit["frontal"]),
            _number(fit["lateral"]),
            surface_name(bone),
        )
    return table


def _assumptions(report: dict[str, Any]) -> Table:
    table = Table(title="Assumed or found, for want of better knowledge", title_justify="left")
    for heading in ("Film", "What", "Value", "Why", "Change with"):
        table.add_column(heading)
    for name, film in _FILMS.items():
        view = report["views"][name]
        for key, (what, option) in _CHANGES.items():
            fact = view[key]
            if fact["origin"] in (Origin.ASSUMED.value, Origin.FOUND.value):
                why = f"{fact['origin']}: {fact['note']}"
                row = (_text(fact["value"]), why, option.format(film=film))
                table.add_row(view["view"]["value"], what, *(escape(cell) for cell in row))
    return table


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(dict.fromkeys(_text(item) for item in value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
