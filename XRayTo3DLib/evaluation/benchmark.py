"""Networks beside each other, on the same films, with one fault at a time."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path

import numpy as np

from XRayTo3DLib.anatomy.generator import KneeGenerator, KneeVariation
from XRayTo3DLib.anatomy.knee import Knee
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.evaluation.alignment import aligned
from XRayTo3DLib.evaluation.conditions import CONDITIONS, IDEAL, Condition
from XRayTo3DLib.evaluation.cost import Cost
from XRayTo3DLib.evaluation.filming import Simulator, film_knee, filming_geometry
from XRayTo3DLib.evaluation.tables import KneeScores, Spread, score_knee
from XRayTo3DLib.imaging.radiograph import Radiograph
from XRayTo3DLib.reconstruction.reconstruct import reconstruct


@dataclass(frozen=True)
class Contestant:
    """A way to reconstruct.

    Attributes:
        name: for tables.
        weights: of its network; those shipped by default.
        refine: whether the result is fitted to the films.
    """

    name: str
    weights: Path | None = None
    refine: bool = False


@dataclass(frozen=True)
class BenchmarkSettings:
    """What is measured.

    Attributes:
        contestants: each on every film.
        simulator: whose films.
        conditions: faults between knee and film.
        placements: how often each knee is placed and filmed anew.
        seed: of placing, machine and films.
    """

    contestants: tuple[Contestant, ...]
    simulator: Simulator = Simulator.OWN
    conditions: tuple[Condition, ...] = CONDITIONS
    placements: int = 2
    seed: int = 0


@dataclass(frozen=True)
class BenchmarkRow:
    """One bone of one knee, reconstructed by one contestant under one condition.

    Attributes:
        contestant: its name.
        condition: its name.
        scores: of the bone; after one rigid motion of the whole knee unless the condition is
            ideal.
    """

    contestant: str
    condition: str
    scores: KneeScores


def benchmark(
    knees: list[Knee],
    settings: BenchmarkSettings,
    progress: Callable[[int, int], None] | None = None,
) -> list[BenchmarkRow]:
    """Film each knee under each condition, and have every contestant reconstruct it.

    Args:
        knees: complete knees of people that no contestant was trained on, aligned.
        settings: what is measured.
        progress: called with (done, all) after each pair of films.

    Raises:
        XRayTo3DError: no knee is complete.
    """
    complete = [knee for knee in knees if knee.is_complete]
    if not complete:
        raise XRayTo3DError("None of the people to be measured has a knee with all four bones.")
    tasks = [
        (knee, placement, condition)
        for knee in complete
        for placement in range(settings.placements)
        for condition in settings.conditions
    ]
    rows: list[BenchmarkRow] = []
    for done, (knee, placement, condition) in enumerate(tasks, start=1):
        rows += _measure(knee, placement, condition, settings)
        if progress:
            progress(done, len(tasks))
    return rows


def _measure(
    knee: Knee, placement: int, condition: Condition, settings: BenchmarkSettings
) -> Iterator[BenchmarkRow]:
    seed = settings.seed * 1000 + placement
    placed = KneeGenerator([knee], KneeVariation.placing_only())(seed)
    films = _films(placed, condition, settings.simulator, seed)
    for contestant in settings.contestants:
        result = reconstruct(
            *films,
            # A lateral film at another height is told from a stated geometry only by looking.
            find_joint=condition.height != 0,
            refine=contestant.refine,
            weights=contestant.weights,
        )
        surfaces = result.surfaces
        if condition != IDEAL and surfaces:
            surfaces, _ = aligned(surfaces, placed.surfaces)
        name = f"{knee.name.replace('/', '_')}_{placement}"
        for scores in score_knee(
            surfaces,
            placed.surfaces,
            result.grid,
            knee=name,
            person=knee.person,
            film=settings.simulator.value,
        ):
            yield BenchmarkRow(contestant.name, condition.name, scores)


def _films(knee: Knee, condition: Condition, simulator: Simulator, seed: int) -> list[Radiograph]:
    stated = filming_geometry(np.random.default_rng([seed, 17]))
    true = condition.true_geometry(stated)
    frontal, lateral = film_knee(knee, true, simulator, seed, stated=stated)
    if condition.flexion:
        _, lateral = film_knee(condition.on_lateral(knee), true, simulator, seed, stated=stated)
    rng = np.random.default_rng([seed, 19])
    return [condition.degraded(film, rng) for film in (frontal, lateral)]


def accuracy_table(rows: Sequence[BenchmarkRow]) -> str:
    """Ideal films: Dice and ASSD of each bone, a line for each contestant, Markdown."""
    bones = list(dict.fromkeys(row.scores.bone for row in rows))
    head = ["Contestant", *(f"{bone.title} Dice, ASSD mm" for bone in bones), "Mean Dice, ASSD mm"]
    lines = [head, ["---"] * len(head)]
    for name in dict.fromkeys(row.contestant for row in rows):
        ideal = [r.scores for r in rows if r.contestant == name and r.condition == IDEAL.name]
        if not ideal:
            continue
        cells = [_cell([s for s in ideal if s.bone is bone]) for bone in bones]
        lines.append([name, *cells, _cell(_per_knee(ideal))])
    return _markdown(lines)


def robustness_table(rows: Sequence[BenchmarkRow]) -> str:
    """A line for each condition: mean Dice, and ASSD, of each contestant, Markdown."""
    names = list(dict.fromkeys(row.contestant for row in rows))
    lines = [["Condition", *(f"{name}: Dice, ASSD mm" for name in names)]]
    lines.append(["---"] * len(lines[0]))
    for condition in dict.fromkeys(row.condition for row in rows):
        cells = [
            _cell(
                _per_knee(
                    r.scores for r in rows if r.contestant == name and r.condition == condition
                )
            )
            for name in names
        ]
        lines.append([condition, *cells])
    return _markdown(lines)


def cost_table(costs: dict[str, Cost]) -> str:
    """Parameters, operations, seconds and memory of each contestant, Markdown."""
    stages = list(next(iter(costs.values())).stages)
    head = ["Contestant", "Parameters, 10⁶", "Operations, 10⁹", "Start s"]
    head += [f"{stage} s" for stage in stages] + ["All s", "Memory MB"]
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    for name, cost in costs.items():
        lines.append(
            [
                name,
                f"{cost.parameters / 1e6:.2f}",
                f"{cost.operations / 1e9:.1f}",
                f"{cost.ready:.2f}",
                *(f"{cost.stages[stage]:.2f}" for stage in stages),
                f"{cost.seconds:.2f}",
                f"{cost.peak_mb:.0f}",
            ]
        )
    return _markdown(lines)


def benchmark_csv(rows: Sequence[BenchmarkRow]) -> str:
    """Every row as CSV."""
    text = StringIO(newline="")
    names = ["contestant", "condition", *KneeScores.__dataclass_fields__]
    writer = csv.DictWriter(text, names)
    writer.writeheader()
    for row in rows:
        scores = {**asdict(row.scores), "bone": row.scores.bone.key}
        writer.writerow({"contestant": row.contestant, "condition": row.condition, **scores})
    return text.getvalue()


@dataclass(frozen=True)
class _Mean:
    dice: float
    assd: float


def _per_knee(scores: Iterator[KneeScores] | Sequence[KneeScores]) -> list[_Mean]:
    """Means over the bones of each knee; their spread is that between knees."""
    by_knee: dict[str, list[KneeScores]] = {}
    for score in scores:
        by_knee.setdefault(score.knee, []).append(score)
    return [
        _Mean(Spread.of(s.dice for s in bones).mean, Spread.of(s.assd for s in bones).mean)
        for bones in by_knee.values()
    ]


def _cell(scores: Sequence[KneeScores] | Sequence[_Mean]) -> str:
    dice, assd = (Spread.of(getattr(s, name) for s in scores) for name in ("dice", "assd"))
    return f"{dice.text(3)}, {assd.text(2)}"


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
