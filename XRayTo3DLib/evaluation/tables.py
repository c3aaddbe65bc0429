"""Scores of many knees, and their mean ± SD as a table for a terminal, Markdown or CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from io import StringIO

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.evaluation.metrics import compare_bone
from XRayTo3DLib.imaging.grid import VolumeGrid

_HEADINGS = ("Film", "Bone", "Knees", "People", "Dice", "ASSD mm", "HD95 mm", "Missed")
_FILM_WIDTH = 7

FAILED_MM = 10.0
"""Mean ASSD of a knee's bones from which on its reconstruction counts as failed."""


@dataclass(frozen=True)
class KneeScores:
    """One bone of one knee on one kind of film: a row of the long table.

    Attributes:
        knee: name of the knee.
        person: whose knee it is; left and right knee share it.
        film: kind of film, such as the simulator's name.
        bone: which bone.
        dice: 0 to 1.
        assd: mm; infinite when the bone was not found, or is not there but was found.
        hd95: mm; likewise.
    """

    knee: str
    person: str
    film: str
    bone: Bone
    dice: float
    assd: float
    hd95: float


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation (NaN of a single value)."""

    mean: float
    sd: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Of the finite values."""
        kept = np.array([value for value in values if np.isfinite(value)], dtype=float)
        return cls(
            float(kept.mean()) if len(kept) else float("nan"),
            float(kept.std(ddof=1)) if len(kept) > 1 else float("nan"),
        )

    def text(self, digits: int) -> str:
        """Such as ``0.943 ± 0.012``."""
        if np.isnan(self.mean):
            return "–"
        return f"{self.mean:.{digits}f}" + ("" if np.isnan(self.sd) else f" ± {self.sd:.{digits}f}")


@dataclass(frozen=True)
class SummaryRow:
    """Mean ± SD of one bone, or of all (``bone`` None), on one kind of film.

    A bone that was missed counts with Dice 0; it has no distance, so the distances are those of
    the bones found and ``missed`` says how many are not among them.
    """

    film: str
    bone: Bone | None
    knees: int
    people: int
    dice: Spread
    assd: Spread
    hd95: Spread
    missed: int

    def cells(self) -> list[str]:
        """What a table shows, in the order of its headings."""
        return [
            self.film,
            "Mean" if self.bone is None else self.bone.title,
            str(self.knees),
            str(self.people),
            self.dice.text(3),
            self.assd.text(2),
            self.hd95.text(2),
            str(self.missed),
        ]


def has_failed(scores: Iterable[KneeScores]) -> bool:
    """Whether the bones of one knee are on average far from where they are, or one was missed."""
    return not float(np.mean([score.assd for score in scores])) < FAILED_MM


def score_knee(
    predicted: Mapping[Bone, Surface],
    truth: Mapping[Bone, Surface],
    region: VolumeGrid | None = None,
    *,
    knee: str,
    person: str,
    film: str,
) -> list[KneeScores]:
    """A row for each bone that is in the truth or was predicted.

    Args:
        predicted: surfaces, RAS mm, in the frame of the truth.
        truth: surfaces at full resolution, RAS mm.
        region: the field of view.
        knee: its name.
        person: whose it is.
        film: kind of film.
    """
    rows = []
    for bone in Bone:
        if bone not in truth and bone not in predicted:
            continue
        metrics = compare_bone(predicted.get(bone), truth.get(bone), region)
        distances = metrics.distances
        rows.append(
            KneeScores(knee, person, film, bone, metrics.dice, distances.assd, distances.hd95)
        )
    return rows


def summarise(rows: Sequence[KneeScores]) -> list[SummaryRow]:
    """Mean ± SD of each bone and of all bones, for each kind of film in order of appearance.

    The spread of a bone is that between knees. The row of all bones is the mean of each knee's
    mean over its bones, and its spread that between knees.
    """
    summary = []
    for film in dict.fromkeys(row.film for row in rows):
        of_film = [row for row in rows if row.film == film]
        for bone in Bone:
            of_bone = [row for row in of_film if row.bone is bone]
            if of_bone:
                summary.append(_summary_row(film, bone, of_bone))
        summary.append(_summary_row(film, None, of_film))
    return summary


def _summary_row(film: str, bone: Bone | None, rows: Sequence[KneeScores]) -> SummaryRow:
    knees = dict.fromkeys(row.knee for row in rows)
    per_knee = [[row for row in rows if row.knee == knee] for knee in knees]
    dice, assd, hd95 = (
        Spread.of(Spread.of(getattr(row, name) for row in knee).mean for knee in per_knee)
        for name in ("dice", "assd", "hd95")
    )
    return SummaryRow(
        film=film,
        bone=bone,
        knees=len(knees),
        people=len({row.person for row in rows}),
        dice=dice,
        assd=assd,
        hd95=hd95,
        missed=sum(not np.isfinite(row.assd) for row in rows),
    )


def terminal_table(summary: Sequence[SummaryRow], title: str | None = None) -> Table:
    """The summary for ``rich.print``, one block for each kind of film."""
    # Narrow enough for eighty columns, where only the kind of film may wrap.
    table = Table(
        title=title, box=SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True
    )
    for heading in _HEADINGS:
        film = heading == "Film"
        table.add_column(
            heading,
            justify="left" if heading in ("Film", "Bone") else "right",
            no_wrap=not film,
            overflow="fold",
            min_width=_FILM_WIDTH if film else None,
        )
    for row in summary:
        table.add_row(*row.cells(), end_section=row.bone is None)
    return table


def markdown_table(summary: Sequence[SummaryRow]) -> str:
    """The summary as a GitHub-flavoured Markdown table."""
    return markdown([_HEADINGS, *(row.cells() for row in summary)], words=2)


def markdown(lines: Sequence[Sequence[str]], words: int = 1) -> str:
    """Lines of cells as a GitHub-flavoured Markdown table.

    Args:
        lines: the headings first.
        words: columns, from the left, that hold words; the others are set as numbers.
    """
    rule = [*["---"] * words, *["---:"] * (len(lines[0]) - words)]
    return "".join(f"| {' | '.join(line)} |\n" for line in (lines[0], rule, *lines[1:]))


def csv_table(rows: Sequence[KneeScores]) -> str:
    """The rows themselves as CSV (RFC 4180) with a heading; ``inf`` where a bone is missing."""
    text = StringIO(newline="")
    writer = csv.DictWriter(text, [field.name for field in fields(KneeScores)])
    writer.writeheader()
    for row in rows:
        writer.writerow({**asdict(row), "bone": row.bone.key})
    return text.getvalue()
