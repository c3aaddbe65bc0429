"""``xrayto3d generate-density``: training cases of densities from bone surfaces."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def generate_density(
    bones: Annotated[
        Path, typer.Option(help="Folder of bone surfaces with its index.json (RAS, mm).")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the cases.")],
    count: Annotated[int, typer.Option(min=1, help="Number of cases.")] = 500,
    seed: Annotated[
        int, typer.Option(min=0, help="Of the first case; the others count on from it.")
    ] = 0,
    hold_out: Annotated[
        list[str] | None, typer.Option(help="A person whose bones are not used; may be repeated.")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Use nobody but this person; may be repeated (for validation)."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes (default: one per core).")
    ] = None,
) -> None:
    """Generate legs of nobody with the attenuation of every voxel, and project them.

    The same settings give the same cases; a run that was stopped goes on where it was.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    from XRayTo3DLib.anatomy.knee import load_knees, split_by_person
    from XRayTo3DLib.training.bank import BankSettings, generate_bank
    from XRayTo3DLib.training.density_cases import DENSITY_KIND, make_density_case

    held_out = set(hold_out or ())
    if only:
        knees = load_knees(bones)
        split_by_person(knees, only)  # says which name nobody carries
        held_out |= {knee.person for knee in knees} - set(only)
    settings = BankSettings(count=count, seed=seed, held_out=tuple(sorted(held_out)))
    bars = Progress(
        BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=Console(stderr=True)
    )
    with bars:
        task = bars.add_task("Generating", total=count)

        def advance(done: int, total: int) -> None:
            bars.update(task, completed=done, total=total)

        generate_bank(
            bones, output, settings, workers, advance, make=make_density_case, kind=DENSITY_KIND
        )
    typer.echo(f"{count} cases in {output}")
