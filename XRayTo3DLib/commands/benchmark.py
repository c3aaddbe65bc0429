"""``xrayto3d benchmark``: networks beside each other, and what faults in the filming cost."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

SHIPPED_NAME = "shipped"


def benchmark(
    bones: Annotated[
        Path, typer.Option(help="Folder of bone surfaces with its index.json (RAS, mm).")
    ],
    person: Annotated[
        list[str], typer.Option(help="Who is measured: a person held out; may be repeated.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for tables.")],
    network: Annotated[
        list[str] | None,
        typer.Option(help="name=weights.safetensors, or 'shipped'; repeatable (default: shipped)."),
    ] = None,
    refine: Annotated[
        bool, typer.Option(help="Measure each network that can be refined with refinement too.")
    ] = True,
    film: Annotated[str, typer.Option(help="Simulator of the films: own or gvxr.")] = "own",
    condition: Annotated[
        list[str] | None,
        typer.Option(help="A condition by its name, such as 'turned 5°'; repeatable (all)."),
    ] = None,
    placements: Annotated[
        int, typer.Option(min=1, help="How often each knee is placed and filmed anew.")
    ] = 2,
    seed: Annotated[int, typer.Option(min=0, help="Of placing, machine and films.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="Of the processor, for the costs.")] = 4,
) -> None:
    """Measure accuracy, robustness and cost of networks on the same films of people held out.

    Writes scores.csv, accuracy.md, robustness.md and cost.md.
    """
    from rich.console import Console
    from rich.progress import Progress

    from XRayTo3DLib.anatomy.knee import load_knees, split_by_person
    from XRayTo3DLib.errors import XRayTo3DError
    from XRayTo3DLib.evaluation.benchmark import (
        BenchmarkSettings,
        accuracy_table,
        benchmark_csv,
        cost_table,
        robustness_table,
    )
    from XRayTo3DLib.evaluation.benchmark import benchmark as measure
    from XRayTo3DLib.evaluation.conditions import conditions_named
    from XRayTo3DLib.evaluation.contestants import contestants_from
    from XRayTo3DLib.evaluation.cost import measure_cost
    from XRayTo3DLib.evaluation.filming import Simulator

    if film not in {simulator.value for simulator in Simulator}:
        raise XRayTo3DError(f"--film is own or gvxr, not {film!r}.")
    contestants = contestants_from(network or [SHIPPED_NAME], person, refine)
    _, knees = split_by_person(load_knees(bones), person)
    settings = BenchmarkSettings(
        contestants, Simulator(film), conditions_named(condition), placements, seed
    )
    with Progress(console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("Measuring", total=None)

        def advance(done: int, total: int) -> None:
            bars.update(task, completed=done, total=total)

        rows = measure(knees, settings, advance)
    costs = {
        entry.name: measure_cost(entry.weights, threads)
        for entry in contestants
        if not entry.refine
    }
    output.mkdir(parents=True, exist_ok=True)
    (output / "scores.csv").write_text(benchmark_csv(rows), encoding="utf-8")
    for name, table in (
        ("accuracy", accuracy_table(rows)),
        ("robustness", robustness_table(rows)),
        ("cost", cost_table(costs)),
    ):
        (output / f"{name}.md").write_text(table, encoding="utf-8")
        typer.echo(table)
    typer.echo(f"Tables in {output}")
