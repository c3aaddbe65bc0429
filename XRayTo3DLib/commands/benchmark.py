"""``xrayto3d benchmark``: rivals beside each other, and what faults of the films cost."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from XRayTo3DLib.commands.rivals import (
    NetworkWords,
    RefineToo,
    RegistrationModel,
    RegistrationStarts,
    chosen_contestants,
)


class ConditionsOption(str, Enum):
    """The values of ``--conditions``."""

    GEOMETRY = "geometry"
    PICTURE = "picture"
    ANATOMY = "anatomy"
    ALL = "all"


def benchmark(
    bones: Annotated[
        Path, typer.Option(help="Folder of bone surfaces with its index.json (RAS, mm).")
    ],
    person: Annotated[
        list[str], typer.Option(help="Who is measured: a person held out; may be repeated.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for tables.")],
    network: NetworkWords = None,
    refine: RefineToo = True,
    registration: RegistrationModel = None,
    start: RegistrationStarts = None,
    film: Annotated[
        list[str] | None,
        typer.Option(help="Simulator of the films: own or gvxr; repeatable (default: own)."),
    ] = None,
    condition: Annotated[
        list[str] | None,
        typer.Option(help="A condition by its name, such as 'turned 5°'; repeatable."),
    ] = None,
    conditions: Annotated[
        ConditionsOption, typer.Option(help="Faults of which kind, unless --condition names some.")
    ] = ConditionsOption.ALL,
    placements: Annotated[
        int, typer.Option(min=1, help="How often each knee is placed and filmed anew.")
    ] = 2,
    seed: Annotated[int, typer.Option(min=0, help="Of placing, machine and films.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="Of the processor, for the costs.")] = 4,
    cost: Annotated[bool, typer.Option(help="Measure seconds and memory too.")] = True,
    restart: Annotated[
        bool, typer.Option("--restart", help="Measure all anew and replace scores.csv.")
    ] = False,
) -> None:
    """Measure accuracy, robustness and cost of rivals on the same films of people held out.

    Networks, and a shape and intensity model that is registered. Ideal films are always among the
    conditions. Writes scores.csv as it goes, then accuracy.md, robustness.md and cost.md; the same
    command again goes on where a stopped run was.
    """
    from XRayTo3DLib.anatomy.knee import load_knees, split_by_person
    from XRayTo3DLib.commands.counting import counted
    from XRayTo3DLib.errors import XRayTo3DError
    from XRayTo3DLib.evaluation.benchmark import BenchmarkSettings
    from XRayTo3DLib.evaluation.benchmark import benchmark as measure
    from XRayTo3DLib.evaluation.benchmark_tables import (
        accuracy_table,
        cost_table,
        robustness_table,
    )
    from XRayTo3DLib.evaluation.conditions import Group, conditions_named
    from XRayTo3DLib.evaluation.contestants import NetworkContestant
    from XRayTo3DLib.evaluation.cost import measure_cost
    from XRayTo3DLib.evaluation.filming import Simulator
    from XRayTo3DLib.evaluation.score_book import ScoreBook

    names = film or [Simulator.OWN.value]
    if unknown := set(names) - {simulator.value for simulator in Simulator}:
        raise XRayTo3DError(f"--film is own or gvxr, not {', '.join(sorted(unknown))}.")
    group = None if conditions is ConditionsOption.ALL else Group(conditions.value)
    chosen = conditions_named(condition, group)
    contestants = chosen_contestants(network, refine, registration, start, person)
    _, knees = split_by_person(load_knees(bones), person)
    scores = output / "scores.csv"
    if restart:
        scores.unlink(missing_ok=True)
    book = ScoreBook(scores)
    rows = []
    for name in dict.fromkeys(names):
        settings = BenchmarkSettings(contestants, Simulator(name), chosen, placements, seed)
        with counted() as advance:
            rows += measure(knees, settings, book, advance)

    def write(name: str, table: str) -> None:
        (output / f"{name}.md").write_text(table, encoding="utf-8")
        typer.echo(table)

    write("accuracy", accuracy_table(rows))
    if len(chosen) > 1:
        tables = [
            f"Films: {name}\n\n"
            + robustness_table([row for row in rows if row.scores.film == name])
            for name in dict.fromkeys(names)
        ]
        write("robustness", "\n".join(tables))
    if cost:
        networks = [one for one in contestants if isinstance(one, NetworkContestant)]
        costs = {one.name: measure_cost(one.weights, threads) for one in networks if not one.refine}
        write("cost", cost_table(costs))
    typer.echo(f"Tables in {output}")
