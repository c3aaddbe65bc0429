"""How well people never seen are reconstructed, against their full-resolution surfaces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from XRayTo3DLib.anatomy.generator import KneeGenerator, KneeVariation
from XRayTo3DLib.anatomy.knee import Knee
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.evaluation.error_maps import error_map_figure, write_error_maps
from XRayTo3DLib.evaluation.filming import Simulator, film_knee, filming_geometry
from XRayTo3DLib.evaluation.tables import (
    KneeScores,
    csv_table,
    markdown_table,
    score_knee,
    summarise,
)
from XRayTo3DLib.reconstruction.reconstruct import reconstruct


@dataclass(frozen=True)
class EvaluationSettings:
    """What is measured.

    Attributes:
        simulators: whose films.
        placements: how often each knee is placed and filmed anew.
        seed: of placing, machine and films.
        strength: of the randomisation of our own film.
        weights: of the network; those shipped by default.
    """

    simulators: tuple[Simulator, ...] = tuple(Simulator)
    placements: int = 3
    seed: int = 0
    strength: float = 1.0
    weights: Path | None = None


def evaluate(
    knees: list[Knee],
    output: Path,
    settings: EvaluationSettings | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[KneeScores]:
    """Film, reconstruct and score; write ``scores.csv``, ``table.md`` and error maps to a folder.

    Args:
        knees: complete knees of people that the network was not trained on, aligned. Left knees
            are measured as right ones: mirroring is exact.
        output: folder; made when absent.
        settings: what is measured.
        progress: called with (done, all) after each reconstruction.

    Raises:
        XRayTo3DError: no knee is complete.
    """
    settings = settings or EvaluationSettings()
    complete = [knee for knee in knees if knee.is_complete]
    if not complete:
        raise XRayTo3DError("None of the people to be evaluated has a knee with all four bones.")
    output.mkdir(parents=True, exist_ok=True)
    rows: list[KneeScores] = []
    total = len(complete) * settings.placements * len(settings.simulators)
    for knee in complete:
        for placement in range(settings.placements):
            for simulator in settings.simulators:
                with_figure = placement == 0
                rows += _measure(knee, placement, simulator, settings, output, with_figure)
                if progress:
                    progress(len({(r.knee, r.film) for r in rows}), total)
    (output / "scores.csv").write_text(csv_table(rows), encoding="utf-8")
    (output / "table.md").write_text(markdown_table(summarise(rows)), encoding="utf-8")
    return rows


def _measure(
    knee: Knee,
    placement: int,
    simulator: Simulator,
    settings: EvaluationSettings,
    output: Path,
    with_figure: bool,
) -> list[KneeScores]:
    seed = settings.seed * 1000 + placement
    placed = KneeGenerator([knee], KneeVariation.placing_only())(seed)
    geometry = filming_geometry(np.random.default_rng([seed, 17]))
    films = film_knee(placed, geometry, simulator, seed, settings.strength)
    # The geometry is given exactly, and both films show one pose: there is nothing to look for.
    result = reconstruct(
        *films, check_films=False, find_joint=False, refine=False, weights=settings.weights
    )
    name = f"{knee.name.replace('/', '_')}_{placement}"
    if with_figure and result.surfaces:
        figure = error_map_figure(
            result.surfaces, placed.surfaces, result.grid, title=f"{name}, {simulator.value} film"
        )
        write_error_maps(figure, output / f"errors_{name}_{simulator.value}.png")
    return score_knee(
        result.surfaces,
        placed.surfaces,
        result.grid,
        knee=name,
        person=knee.person,
        film=simulator.value,
    )
