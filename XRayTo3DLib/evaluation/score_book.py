"""The scores of a long measurement, on disk as they come: a run that was stopped can go on."""

from __future__ import annotations

import csv
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from io import StringIO
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.errors import InputFileError
from XRayTo3DLib.evaluation.tables import KneeScores


class _Row(Protocol):
    @property
    def run(self) -> str:
        """What was measured, exactly."""


Row = TypeVar("Row", bound=_Row)


class RunBook(ABC, Generic[Row]):
    """Rows by run, and the CSV file (RFC 4180) to which each run is added when it is done.

    Rows that a stopped program left half-written are dropped, and so are runs that lack rows. Rows
    of other settings stay in the file.

    Args:
        path: of the CSV; None keeps the rows in memory alone.

    Raises:
        InputFileError: the file is something else.
    """

    headings: tuple[str, ...]

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._runs: dict[str, list[Row]] = {}
        if path is not None and path.exists():
            for row in self._read(path):
                self._runs.setdefault(row.run, []).append(row)
            self._runs = {run: rows for run, rows in self._runs.items() if self.is_whole(rows)}
            self._write(path, [row for rows in self._runs.values() for row in rows])

    @abstractmethod
    def cells(self, row: Row) -> list[object]:
        """A line of the file, in the order of the headings."""

    @abstractmethod
    def row(self, line: Mapping[str, str]) -> Row:
        """What :meth:`cells` wrote.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: the line was not finished.
        """

    @abstractmethod
    def is_whole(self, rows: Sequence[Row]) -> bool:
        """Whether these are all rows of their run."""

    def rows(self, run: str) -> list[Row]:
        """Of a run; none if it has not been done."""
        return self._runs.get(run, [])

    def add(self, rows: Sequence[Row]) -> None:
        """Add the rows of one whole run, which are then on disk."""
        self._runs[rows[0].run] = list(rows)
        if self._path is None:
            return
        if not self._path.exists():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._write(self._path, [])
        with self._path.open("a", encoding="utf-8", newline="") as file:
            file.write(self._csv_lines(rows))

    def _write(self, path: Path, rows: Iterable[Row]) -> None:
        unfinished = path.with_name(path.name + ".part")
        with unfinished.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerow(self.headings)
            file.write(self._csv_lines(rows))
        unfinished.replace(path)

    def _csv_lines(self, rows: Iterable[Row]) -> str:
        text = StringIO(newline="")
        csv.writer(text).writerows(self.cells(row) for row in rows)
        return text.getvalue()

    def _read(self, path: Path) -> list[Row]:
        try:
            with path.open(encoding="utf-8", newline="") as file:
                text = file.read()
            # A last line without an end was not finished, however much of it looks like a number.
            reader = csv.DictReader(StringIO(text[: text.rfind("\n") + 1], newline=""))
            if tuple(reader.fieldnames or ()) != self.headings:
                raise InputFileError(
                    path,
                    "is not a table of scores that can be gone on with; use --restart to replace "
                    "it, or another folder for --output.",
                )
            return [row for line in reader if (row := self._finished(line)) is not None]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise InputFileError(
                path, f"cannot be read ({error}); use another folder for --output."
            ) from error

    def _finished(self, line: Mapping[str, str]) -> Row | None:
        try:
            return self.row(line)
        except (KeyError, TypeError, ValueError, AttributeError):
            return None


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
_YES, _NO = "yes", "no"


class ScoreBook(RunBook[BenchmarkRow]):
    """Of a benchmark; a run has a row for each of the four bones."""

    headings = ("run", "contestant", "condition", "aligned", *_SCORE_NAMES)

    def cells(self, row: BenchmarkRow) -> list[object]:
        """A line of the file, in the order of the headings."""
        scores = [getattr(row.scores, name) for name in _SCORE_NAMES]
        scores[_SCORE_NAMES.index("bone")] = row.scores.bone.key
        return [row.run, row.contestant, row.condition, _YES if row.aligned else _NO, *scores]

    def row(self, line: Mapping[str, str]) -> BenchmarkRow:
        """What :meth:`cells` wrote."""
        scores = KneeScores(
            line["knee"],
            line["person"],
            line["film"],
            Bone[line["bone"].upper()],
            *(float(line[name]) for name in ("dice", "assd", "hd95")),
        )
        return BenchmarkRow(
            line["run"], line["contestant"], line["condition"], line["aligned"] == _YES, scores
        )

    def is_whole(self, rows: Sequence[BenchmarkRow]) -> bool:
        """Whether every bone has a row."""
        return len(rows) == len(Bone)
