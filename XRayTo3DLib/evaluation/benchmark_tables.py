"""What a benchmark found, as Markdown tables: accuracy, robustness, cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from XRayTo3DLib.evaluation.conditions import IDEAL
from XRayTo3DLib.evaluation.cost import Cost
from XRayTo3DLib.evaluation.registration_starts import STARTS_NOTE
from XRayTo3DLib.evaluation.score_book import BenchmarkRow
from XRayTo3DLib.evaluation.tables import FAILED_MM, KneeScores, Spread, has_failed, markdown

ACCURACY_NOTE = (
    "Mean ± SD over knees, each placed and filmed as often as *Knees* counts. *Missed*: bones not "
    f"found. *Failed*: knees whose bones are {FAILED_MM:g} mm off on average (ASSD), or of which "
    f"one was missed: a registration that never converged. {STARTS_NOTE}\n"
)

ROBUSTNESS_NOTE = (
    "Mean ± SD between knees of each knee's mean over its bones. *Lost* is the difference from the "
    "ideal films of the same knee. \\* Films and headers disagree on where the knee is: compared "
    "after one rigid motion of the whole knee, as are the ideal films for that difference.\n"
)


_MEASURES = "Dice, ASSD, HD95 mm"


@dataclass(frozen=True)
class _Mean:
    """Of the bones of one knee."""

    dice: float
    assd: float
    hd95: float


def accuracy_table(rows: Sequence[BenchmarkRow]) -> str:
    """Ideal films: scores of each bone, a line for each contestant and film, Markdown."""
    bones = list(dict.fromkeys(row.scores.bone for row in rows))
    head = ["Contestant", "Film", "Knees", *(f"{bone.title} {_MEASURES}" for bone in bones)]
    lines = [[*head, f"Mean {_MEASURES}", "Missed", "Failed"]]
    for name in dict.fromkeys(row.contestant for row in rows):
        ideal = _scores(rows, name, IDEAL.name, aligned=False)
        for film in dict.fromkeys(score.film for score in ideal):
            knees = _by_knee(score for score in ideal if score.film == film)
            scores = [score for knee in knees.values() for score in knee]
            cells = [_cell([s for s in scores if s.bone is bone]) for bone in bones]
            missed = sum(not np.isfinite(score.assd) for score in scores)
            failed = sum(map(has_failed, knees.values()))
            mean = _cell(list(_per_knee(scores).values()))
            lines.append([name, film, str(len(knees)), *cells, mean, str(missed), str(failed)])
    return markdown(lines, words=2) + "\n" + ACCURACY_NOTE


def robustness_table(rows: Sequence[BenchmarkRow]) -> str:
    """A line for each condition: Dice, Dice lost and ASSD of each contestant, Markdown.

    What is lost is the mean ± SD of the differences from the ideal films, knee by knee.

    Args:
        rows: of one simulator's films.
    """
    names = list(dict.fromkeys(row.contestant for row in rows))
    head = ["Condition"]
    for name in names:
        head += [f"{name}: Dice", f"{name}: Dice lost", f"{name}: ASSD mm"]
    lines = [head]
    for condition in dict.fromkeys(row.condition for row in rows):
        aligned = all(row.aligned for row in rows if row.condition == condition)
        line = [f"{condition} \\*" if aligned else condition]
        for name in names:
            measured = _per_knee(_scores(rows, name, condition, aligned))
            ideal = _per_knee(_scores(rows, name, IDEAL.name, aligned))
            line += [
                Spread.of(knee.dice for knee in measured.values()).text(3),
                "–" if condition == IDEAL.name else _lost(ideal, measured).text(3),
                Spread.of(knee.assd for knee in measured.values()).text(2),
            ]
        lines.append(line)
    return markdown(lines) + "\n" + ROBUSTNESS_NOTE


def cost_table(costs: Mapping[str, Cost]) -> str:
    """Parameters, operations, seconds and memory of each contestant, Markdown."""
    stages = list(dict.fromkeys(stage for cost in costs.values() for stage in cost.stages))
    head = ["Contestant", "Parameters, 10⁶", "Operations, 10⁹", "Start s"]
    head += [f"{stage} s" for stage in stages] + ["All s", "Memory MB"]
    lines = [head]
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
    return markdown(lines)


def _scores(
    rows: Iterable[BenchmarkRow], contestant: str, condition: str, aligned: bool
) -> list[KneeScores]:
    return [
        row.scores
        for row in rows
        if (row.contestant, row.condition, row.aligned) == (contestant, condition, aligned)
    ]


def _by_knee(scores: Iterable[KneeScores]) -> dict[str, list[KneeScores]]:
    by_knee: dict[str, list[KneeScores]] = {}
    for score in scores:
        by_knee.setdefault(score.knee, []).append(score)
    return by_knee


def _per_knee(scores: Iterable[KneeScores]) -> dict[str, _Mean]:
    """Means over the bones of each knee."""
    return {
        knee: _Mean(
            *(Spread.of(getattr(s, name) for s in bones).mean for name in ("dice", "assd", "hd95"))
        )
        for knee, bones in _by_knee(scores).items()
    }


def _lost(ideal: Mapping[str, _Mean], measured: Mapping[str, _Mean]) -> Spread:
    return Spread.of(ideal[knee].dice - measured[knee].dice for knee in measured if knee in ideal)


def _cell(scores: Sequence[KneeScores] | Sequence[_Mean]) -> str:
    dice, assd, hd95 = (
        Spread.of(getattr(s, name) for s in scores) for name in ("dice", "assd", "hd95")
    )
    return f"{dice.text(3)}, {assd.text(2)}, {hd95.text(2)}"
