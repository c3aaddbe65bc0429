"""``xrayto3d evaluate-style``: does a translation of style help, and does it move the bones?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def evaluate_style(
    bones: Annotated[
        Path, typer.Option(help="Folder of bone surfaces with its index.json (RAS, mm).")
    ],
    person: Annotated[
        list[str], typer.Option(help="Who is measured: a person held out; may be repeated.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for tables and films.")],
    style: Annotated[
        list[Path] | None,
        typer.Option(help="Weights of a translation, from 'xrayto3d train-style'; repeatable."),
    ] = None,
    weights: Annotated[
        list[Path] | None,
        typer.Option(
            help="Weights of a network that reconstructs, beside those shipped; repeatable. One "
            "trained on plain DRRs shows what a translation is for."
        ),
    ] = None,
    placements: Annotated[
        int, typer.Option(min=1, help="How often each knee is placed and filmed anew.")
    ] = 3,
    seed: Annotated[int, typer.Option(min=0, help="Of placing, machine and films.")] = 0,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Processor threads (default: all cores but one).")
    ] = None,
) -> None:
    """Reconstruct from gVirtualXRay's films as they are, with matched histograms and translated.

    Writes scores.csv, table.md (Dice, ASSD, HD95), shifts.csv, shifts.md (by how many mm the bones'
    outlines were moved on the films) and films.png.
    """
    import os

    import torch
    from rich.console import Console
    from rich.progress import Progress

    from XRayTo3DLib.anatomy.knee import load_knees, split_by_person
    from XRayTo3DLib.evaluation.held_out import check_held_out
    from XRayTo3DLib.evaluation.style_evaluation import evaluate_style, shift_table
    from XRayTo3DLib.evaluation.tables import summarise, terminal_table
    from XRayTo3DLib.reconstruction.weights import load_model
    from XRayTo3DLib.style.style_weights import load_style

    torch.set_num_threads(threads or max(1, (os.cpu_count() or 2) - 1))
    networks = [load_model(), *(load_model(path) for path in weights or ())]
    styles = [load_style(path) for path in style or ()]
    check_held_out(
        person,
        [
            *((network.identity.name, network.card) for network in networks),
            *((f"{style.name} ({style.method})", style.card) for style in styles),
        ],
    )
    _, knees = split_by_person(load_knees(bones), person)
    with Progress(console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("Evaluating", total=None)

        def advance(done: int, total: int) -> None:
            bars.update(task, completed=done, total=total)

        found = evaluate_style(knees, networks, styles, output, placements, seed, advance)
    console = Console()
    console.print(terminal_table(summarise(found.scores)))
    console.print(shift_table(found.pooled), markup=False)
    console.print(f"Tables and films in {output}")
