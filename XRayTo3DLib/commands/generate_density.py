"""``xrayto3d generate-density``: training cases of densities from bone surfaces."""

from __future__ import annotations

from XRayTo3DLib.commands.generating import (
    Bones,
    Count,
    HoldOut,
    Only,
    Output,
    Seed,
    Workers,
    generate_cases,
)


def generate_density(
    bones: Bones,
    output: Output,
    count: Count = 500,
    seed: Seed = 0,
    hold_out: HoldOut = None,
    only: Only = None,
    workers: Workers = None,
) -> None:
    """Generate legs of nobody with the attenuation of every voxel, and project them.

    The same settings give the same cases; a run that was stopped goes on where it was.
    """
    from XRayTo3DLib.training.density_cases import DENSITY_KIND, make_density_case

    generate_cases(
        bones, output, count, seed, hold_out, only, workers, make_density_case, DENSITY_KIND
    )
