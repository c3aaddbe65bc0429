"""Scores of bones on films, and the file that keeps them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.evaluation.score_book import RunBook


@dataclass(frozen=True)
class FilmScores:
    """One bone on one film.

    Attributes:
        contestant: who reconstructed it.
        knee: name of the pair of films.
        person: whose knee it is.
        view: frontal or lateral.
        bone: which bone.
        dice: 0 to 1, of the silhouettes.
        distance: mm at the isocentre, mean symmetric distance of the outlines; infinite when the
            bone was not found.
    """

    contestant: str
    knee: str
    person: str
    view: str
    bone: Bone
    dice: float
    distance: float


@dataclass(frozen=True)
class FilmRow:
    """A row of the book.

    Attributes:
        run: what was measured, exactly: of contestant, films and masks.
        of: rows of that run.
        scores: of one bone on one film.
    """

    run: str
    of: int
    scores: FilmScores


_NAMES = [field.name for field in fields(FilmScores)]


class FilmBook(RunBook[FilmRow]):
    """Of films; a run has a row for each bone that was drawn on either film."""

    headings = ("run", "of", *_NAMES)

    def cells(self, row: FilmRow) -> list[object]:
        """A line of the file, in the order of the headings."""
        values = {name: getattr(row.scores, name) for name in _NAMES}
        return [row.run, row.of, *(values | {"bone": row.scores.bone.key}).values()]

    def row(self, line: Mapping[str, str]) -> FilmRow:
        """What :meth:`cells` wrote."""
        scores = FilmScores(
            contestant=line["contestant"],
            knee=line["knee"],
            person=line["person"],
            view=line["view"],
            bone=Bone[line["bone"].upper()],
            dice=float(line["dice"]),
            distance=float(line["distance"]),
        )
        return FilmRow(line["run"], int(line["of"]), scores)

    def is_whole(self, rows: Sequence[FilmRow]) -> bool:
        """Whether there are as many as each of them says."""
        return all(row.of == len(rows) for row in rows)
