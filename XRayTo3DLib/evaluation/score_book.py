"""The scores of a benchmark, on disk as they come, so that a run that was stopped can go on."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from io import StringIO
from pathlib import Path

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.errors import InputFileError
from XRayTo3DLib.evaluation.tables import KneeScores


@dataclass(frozen=True)
class BenchmarkRow:
    """One bone of one knee, reconstructed by one contestant under one condition.

    Attributes:
        run: what was measured, exactly: of contestant, condition, knee and seeds.
        contestant: its name.
        condition: its name.
        aligned: whether the knee was first brought onto the true one by one rigid motion.
        scores: of the bone.
    """

    run: str
    contestant: str
    condition: str
    aligned: bool
    scores: KneeScores


_SCORE_NAMES = [field.name for field in fields(KneeScores)]
_HEADINGS = ["run", "contestant", "condition", "aligned", *_SCORE_NAMES]
_YES, _NO = "yes", "no"


class ScoreBook:
    """Rows by run, and the CSV file (RFC 4180) to which each run is added when it is done.

    A run has a row for each of the four bones. Rows that a stopped program left half-written are
    dropped. Rows of other settings stay in the file.

    Args:
        path: of the CSV; None keeps the rows in memory alone.

    Raises:
        InputFileError: the file is something else.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._runs: dict[str, list[BenchmarkRow]] = {}
        if path is not None and path.exists():
            rows = _read(path)
            for row in rows:
                self._runs.setdefault(row.run, []).append(row)
            self._runs = {run: kept for run, kept in self._runs.items() if len(kept) == len(Bone)}
            _write(path, [row for kept in self._runs.values() for row in kept])

    def rows(self, run: str) -> list[BenchmarkRow]:
        """Of a run; none if it has not been done."""
        return self._runs.get(run, [])

    def add(self, rows: Sequence[BenchmarkRow]) -> None:
        """Add the rows of one whole run, which are then on disk."""
        self._runs[rows[0].run] = list(rows)
        if self._path is None:
            return
        if not self._path.exists():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            _write(self._path, [])
        with self._path.open("a", encoding="utf-8", newline="") as file:
            file.write(_csv_lines(rows))


def _write(path: Path, rows: Iterable[BenchmarkRow]) -> None:
    unfinished = path.with_name(path.name + ".part")
    with unfinished.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerow(_HEADINGS)
        file.write(_csv_lines(rows))
    unfinished.replace(path)


def _csv_lines(rows: Iterable[BenchmarkRow]) -> str:
    text = StringIO(newline="")
    writer = csv.writer(text)
    for row in rows:
        scores = [getattr(row.scores, name) for name in _SCORE_NAMES]
        scores[_SCORE_NAMES.index("bone")] = row.scores.bone.key
        aligned = _YES if row.aligned else _NO
        writer.writerow([row.run, row.contestant, row.condition, aligned, *scores])
    return text.getvalue()


def _read(path: Path) -> list[BenchmarkRow]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            text = file.read()
        # A last line without an end was not finished, however much of it looks like a number.
        reader = csv.DictReader(StringIO(text[: text.rfind("\n") + 1], newline=""))
        if reader.fieldnames != _HEADINGS:
            raise InputFileError(
                path,
                "is not a table of scores that this benchmark can go on with; use --restart to "
                "replace it, or another folder for --output.",
            )
        return [row for line in reader if (row := _row(line)) is not None]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputFileError(
            path, f"cannot be read ({error}); use another folder for --output."
        ) from error


def _row(line: dict[str, str]) -> BenchmarkRow | None:
    """A line of the file; None of one that was not finished."""
    try:
        scores = KneeScores(
            line["knee"],
            line["person"],
            line["film"],
            Bone[line["bone"].upper()],
            *(float(line[name]) for name in ("dice", "assd", "hd95")),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return BenchmarkRow(
        line["run"], line["contestant"], line["condition"], line["aligned"] == _YES, scores
    )
