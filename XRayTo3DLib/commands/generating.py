"""What the commands that generate training cases share: their options, and the run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from XRayTo3DLib.training.bank import MakeCase

Bones = Annotated[Path, typer.Option(help="Folder of bone surfaces with its index.json (RAS, mm).")]
Output = Annotated[Path, typer.Option("--output", "-o", help="Folder for the cases.")]
Count = Annotated[int, typer.Option(min=1, help="Number of cases.")]
Seed = Annotated[int, typer.Option(min=0, help="Of the first case; the others count on from it.")]
HoldOut = Annotated[
    list[str] | None, typer.Option(help="A person whose bones are not used; may be repeated.")
]
Only = Annotated[
    list[str] | None,
    typer.Option(help="Use nobody but this person; may be repeated (for validation)."),
]
Population = Annotated[
    Path | None,
    typer.Option(
        help="Folder of shape models (xrayto3d population), for shapes between and a little "
        "beyond those of the bones."
    ),
]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes (default: one per core).")]


def generate_cases(
    bones: Path,
    output: Path,
    count: int,
    seed: int,
    hold_out: list[str] | None,
    only: list[str] | None,
    workers: int | None,
    make: MakeCase,
    kind: str | None = None,
    population: Path | None = None,
) -> None:
    """Fill a bank with cases and show how far it is.

    Args:
        bones: see the options above, as for the next six.
        output: folder of the bank.
        count: of the cases.
        seed: of the first.
        hold_out: people left out.
        only: the only people used.
        workers: processes.
        make: a case from a knee and a seed.
        kind: what the bank says its cases are, where they are not the usual ones.
        population: folder of shape models.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    from XRayTo3DLib.anatomy.knee import load_knees, split_by_person
    from XRayTo3DLib.anatomy.population import load_models
    from XRayTo3DLib.training.bank import BankSettings, generate_bank

    held_out = set(hold_out or ())
    if only:
        knees = load_knees(bones)
        split_by_person(knees, only)  # says which name nobody carries
        held_out |= {knee.person for knee in knees} - set(only)
    settings = BankSettings(count=count, seed=seed, held_out=tuple(sorted(held_out)))
    models = load_models(population) if population else None
    bars = Progress(
        BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=Console(stderr=True)
    )
    with bars:
        task = bars.add_task("Generating", total=count)

        def advance(done: int, total: int) -> None:
            bars.update(task, completed=done, total=total)

        generate_bank(
            bones, output, settings, workers, advance, make=make, kind=kind, models=models
        )
    typer.echo(f"{count} cases in {output}")
