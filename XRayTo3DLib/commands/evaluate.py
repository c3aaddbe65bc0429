"""``xrayto3d evaluate``: how good are the weights on people that they have never seen?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    bones: Annotated[
        Path, typer.Option(help="Folder of bone surfaces with its index.json (RAS, mm).")
    ],
    person: Annotated[
        list[str], typer.Option(help="Who is measured: a person held out; may be repeated.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for tables and figures.")],
    weights: Annotated[
        Path | None,
        typer.Option(
            help="Weights of the network: a file, or the name of others that come with the program "
            "(default: knee-encode64)."
        ),
    ] = None,
    film: Annotated[
        list[str] | None,
        typer.Option(help="Simulator of the films: own or gvxr; may be repeated (default: both)."),
    ] = None,
    placements: Annotated[
        int, typer.Option(min=1, help="How often each knee is placed and filmed anew.")
    ] = 3,
    seed: Annotated[int, typer.Option(min=0, help="Of placing, machine and films.")] = 0,
    strength: Annotated[
        float, typer.Option(min=0, max=1, help="Randomisation of our own film: 0 gives plain DRRs.")
    ] = 1.0,
) -> None:
    """Measure Dice, ASSD and HD95 per bone on simulated films of real knees.

    Writes scores.csv, table.md and a figure of the errors on the surfaces for each knee and film.
    """
    from rich.console import Console
    from rich.progress import Progress

    from XRayTo3DLib.anatomy.knee import load_knees, split_by_person
    from XRayTo3DLib.errors import XRayTo3DError
    from XRayTo3DLib.evaluation.evaluate import EvaluationSettings, evaluate
    from XRayTo3DLib.evaluation.filming import Simulator
    from XRayTo3DLib.evaluation.held_out import check_held_out
    from XRayTo3DLib.evaluation.tables import summarise, terminal_table
    from XRayTo3DLib.reconstruction.weights import load_model

    names = film or [simulator.value for simulator in Simulator]
    known = {simulator.value for simulator in Simulator}
    if unknown := set(names) - known:
        raise XRayTo3DError(
            f"--film is one of {', '.join(sorted(known))}, not {', '.join(sorted(unknown))}."
        )
    model = load_model(weights)
    check_held_out(person, [(model.identity.name, model.card)])
    _, knees = split_by_person(load_knees(bones), person)
    settings = EvaluationSettings(
        tuple(Simulator(name) for name in names), placements, seed, strength, weights
    )
    with Progress(console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("Evaluating", total=None)

        def advance(done: int, total: int) -> None:
            bars.update(task, completed=done, total=total)

        rows = evaluate(knees, output, settings, advance)
    console = Console()
    console.print(terminal_table(summarise(rows)))
    console.print(f"Tables and figures in {output}")
