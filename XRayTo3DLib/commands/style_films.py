"""``xrayto3d style-films``: simulated films from which a translation of style is learnt."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def style_films(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the films.")],
    bones: Annotated[
        Path | None, typer.Option(help="Folder of bone surfaces with its index.json (RAS, mm).")
    ] = None,
    cases: Annotated[
        Path | None,
        typer.Option(help="Folder of training cases, instead of --bones; for DRRs, much faster."),
    ] = None,
    simulator: Annotated[
        str,
        typer.Option(help="own makes plain DRRs; gvxr makes radiographs with gVirtualXRay."),
    ] = "own",
    count: Annotated[
        int, typer.Option(min=1, help="Number of films; a knee gives a frontal and a lateral one.")
    ] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Of the first knee; with --bones.")] = 0,
    hold_out: Annotated[
        list[str] | None,
        typer.Option(help="A person whose bones are not used; may be repeated; with --bones."),
    ] = None,
) -> None:
    """Make films of generated knees, as the networks see films: 256 × 256 pixels of 0.68 mm.

    The same settings give the same films; a run that was stopped goes on where it was.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    from XRayTo3DLib.errors import XRayTo3DError
    from XRayTo3DLib.evaluation.filming import Simulator
    from XRayTo3DLib.training.style_films import FilmSetSettings, drrs_of_cases, make_films

    known = [each.value for each in Simulator]
    if simulator not in known:
        raise XRayTo3DError(f"--simulator is one of {', '.join(known)}, not {simulator}.")
    if (bones is None) == (cases is None):
        raise XRayTo3DError("Say either --bones or --cases, from which the films are made.")
    if cases is not None and (simulator != Simulator.OWN.value or hold_out or seed):
        raise XRayTo3DError(
            "Cases have their own people and seeds, and only plain DRRs can be made of them; use "
            "--bones with --simulator gvxr, --hold-out or --seed."
        )
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        task = bars.add_task("Filming", total=count)

        def advance(done: int, total: int) -> None:
            bars.update(task, completed=done, total=total)

        if cases is not None:
            drrs_of_cases(cases, output, count, advance)
        elif bones is not None:
            settings = FilmSetSettings(Simulator(simulator), seed, tuple(sorted(hold_out or ())))
            make_films(bones, output, count, settings, advance)
    typer.echo(f"{count} films in {output}")
