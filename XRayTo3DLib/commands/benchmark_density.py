"""``xrayto3d benchmark-density``: density from films of people held out, beside simpler methods."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def benchmark_density(
    bones: Annotated[
        Path, typer.Option(help="Folder of bone surfaces with its index.json (RAS, mm).")
    ],
    person: Annotated[
        list[str], typer.Option(help="Who is measured: a person held out; may be repeated.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the tables.")],
    weights: Annotated[
        Path | None, typer.Option(help="Weights of the network (default: those shipped).")
    ] = None,
    bank: Annotated[
        Path | None,
        typer.Option(help="Cases of 'generate-density' among which the nearest leg is looked up."),
    ] = None,
    film: Annotated[
        list[str] | None,
        typer.Option(help="Simulator of the films: own or gvxr; may be repeated (default: own)."),
    ] = None,
    placements: Annotated[
        int, typer.Option(min=1, help="How often each knee is placed and filmed anew.")
    ] = 2,
    seed: Annotated[int, typer.Option(min=0, help="Of placing, tissue, machine and films.")] = 0,
    strength: Annotated[
        float, typer.Option(min=0, max=1, help="Randomisation of our own film: 0 gives plain DRRs.")
    ] = 1.0,
) -> None:
    """Measure estimated densities against the truth of simulated films.

    Contestants: the network alone, with the films' detail, the films smeared back along their
    rays (with a tone curve that can be known, and with one that only the truth tells), the mean leg
    and the nearest leg of a bank. Writes scores.csv and table.md.
    """
    from rich.console import Console
    from rich.progress import Progress

    from XRayTo3DLib.anatomy.knee import load_knees, split_by_person
    from XRayTo3DLib.errors import XRayTo3DError
    from XRayTo3DLib.evaluation.density_benchmark import (
        DensityBenchmarkSettings,
        benchmark_density,
        density_table,
        write_benchmark,
    )
    from XRayTo3DLib.evaluation.filming import Simulator
    from XRayTo3DLib.evaluation.held_out import check_held_out
    from XRayTo3DLib.tomography.density_weights import load_density_model
    from XRayTo3DLib.training.bank import describe_bank, list_cases

    names = film or [Simulator.OWN.value]
    known = {simulator.value for simulator in Simulator}
    if unknown := set(names) - known:
        raise XRayTo3DError(
            f"--film is one of {', '.join(sorted(known))}, not {', '.join(sorted(unknown))}."
        )
    model = load_density_model(weights)
    check_held_out(person, [(model.identity.name, model.card)])
    if bank is not None and (missing := set(person) - set(describe_bank(bank).get("held_out", ()))):
        raise XRayTo3DError(
            f"{bank.name} does not hold out {', '.join(sorted(missing))}; name another --bank."
        )
    _, knees = split_by_person(load_knees(bones), person)
    settings = DensityBenchmarkSettings(
        placements,
        seed,
        strength,
        tuple(Simulator(name) for name in names),
        weights,
        () if bank is None else tuple(list_cases(bank)),
    )
    with Progress(console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("Measuring", total=None)

        def advance(done: int, total: int) -> None:
            bars.update(task, completed=done, total=total)

        rows = benchmark_density([k for k in knees if k.is_complete], settings, advance)
    write_benchmark(rows, output)
    for line in density_table(rows):
        typer.echo("  ".join(line))
    typer.echo(f"Tables in {output}")
