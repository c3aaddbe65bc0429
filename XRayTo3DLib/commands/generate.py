"""``xrayto3d generate``: training cases from bone surfaces."""

from __future__ import annotations

from XRayTo3DLib.commands.generating import (
    Bones,
    Count,
    HoldOut,
    Only,
    Output,
    Population,
    Seed,
    Workers,
    generate_cases,
)


def generate(
    bones: Bones,
    output: Output,
    count: Count = 1000,
    seed: Seed = 0,
    hold_out: HoldOut = None,
    only: Only = None,
    population: Population = None,
    workers: Workers = None,
) -> None:
    """Generate knees of nobody from the bones of people, wrap them in tissue and project them.

    The same settings give the same cases; a run that was stopped goes on where it was.
    """
    from XRayTo3DLib.training.cases import make_case

    generate_cases(
        bones, output, count, seed, hold_out, only, workers, make_case, population=population
    )
