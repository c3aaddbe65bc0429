"""Contestants beside each other, on the same films, with one fault at a time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from XRayTo3DLib.anatomy.generator import KneeGenerator, KneeVariation
from XRayTo3DLib.anatomy.knee import Knee
from XRayTo3DLib.anatomy.osteophytes import arthritic
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.evaluation.alignment import aligned
from XRayTo3DLib.evaluation.conditions import CONDITIONS, IDEAL, Condition
from XRayTo3DLib.evaluation.contestants import Contestant, KneeFound, Known
from XRayTo3DLib.evaluation.filming import Simulator, film_knee, filming_geometry
from XRayTo3DLib.evaluation.positioning import Positioning
from XRayTo3DLib.evaluation.registration_starts import TrueKnee
from XRayTo3DLib.evaluation.score_book import BenchmarkRow, ScoreBook
from XRayTo3DLib.evaluation.tables import score_knee
from XRayTo3DLib.imaging.geometry import BiplanarGeometry
from XRayTo3DLib.imaging.radiograph import Radiograph, Side

Films = tuple[Radiograph, Radiograph]
"""Frontal, lateral."""

Advance = Callable[[int, int, str], None]
"""Called with (done, all, what was done)."""


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


def benchmark(
    knees: list[Knee],
    settings: BenchmarkSettings,
    book: ScoreBook | None = None,
    progress: Advance | None = None,
) -> list[BenchmarkRow]:
    """Film each knee under each condition, and have every contestant reconstruct it.

    Ideal films are scored twice, as they are and after one rigid motion, so that what a condition
    costs is told from scores of the same kind.

    Args:
        knees: complete knees of people that no contestant was trained on, aligned.
        settings: what is measured.
        book: of scores; what it holds is not measured again, what is measured is put into it.
        progress: told after each pair of films that a contestant has reconstructed.

    Raises:
        XRayTo3DError: no knee is complete.
    """
    complete = [knee for knee in knees if knee.is_complete]
    if not complete:
        raise XRayTo3DError("None of the people to be measured has a knee with all four bones.")
    book = book or ScoreBook()
    total = (
        len(complete) * settings.placements * len(settings.conditions) * len(settings.contestants)
    )
    rows: list[BenchmarkRow] = []
    done = 0
    for sitting in _sittings(complete, settings):
        for condition in settings.conditions:
            for contestant in settings.contestants:
                rows += _measured(sitting, condition, contestant, book)
                done += 1
                if progress:
                    progress(done, total, f"{sitting.name}, {condition.name}, {contestant.name}")
    return rows


def _sittings(knees: list[Knee], settings: BenchmarkSettings) -> Iterator[Sitting]:
    for knee in knees:
        for placement in range(settings.placements):
            yield Sitting(knee, placement, settings.seed * 1000 + placement, settings.simulator)


class Sitting:
    """A knee placed once, and the films that are taken of it.

    Args:
        knee: complete.
        placement: its number, for the name.
        seed: of placing, machine and films.
        simulator: whose films.
    """

    def __init__(self, knee: Knee, placement: int, seed: int, simulator: Simulator) -> None:
        self.name = f"{knee.name.replace('/', '_')}_{placement}"
        self.knee, self.seed, self.simulator = knee, seed, simulator
        self._right = knee if knee.side is Side.RIGHT else knee.mirrored()
        self._filmed: dict[tuple[int, Positioning], Films] = {}
        self._knees: dict[int, tuple[Knee, Knee]] = {}

    def truth(self, condition: Condition) -> Knee:
        """The knee as it lies on the frontal film, its bones as the condition has them.

        A left knee is measured as a right one: mirroring is exact.
        """
        return self._lying(condition.arthritis)[1]

    def known(self, condition: Condition) -> Known:
        """What a person who starts by hand would see."""
        return Known(true=TrueKnee.between(*self._lying(condition.arthritis), self.seed))

    def _lying(self, grade: int) -> tuple[Knee, Knee]:
        """The aligned right knee with arthritis of a grade, and as it was placed."""
        if grade not in self._knees:
            ill = arthritic(self._right, grade, np.random.default_rng([self.seed, 31, grade]))
            named = replace(ill, name=f"{self.name}, arthritis {grade}" if grade else ill.name)
            placed = KneeGenerator([named], KneeVariation.placing_only())(self.seed)
            self._knees[grade] = (named, placed)
        return self._knees[grade]

    @cached_property
    def stated(self) -> BiplanarGeometry:
        """What the headers of all films say."""
        return filming_geometry(np.random.default_rng([self.seed, 17]))

    @cached_property
    def fingerprint(self) -> str:
        """Of the surfaces and of all that the films depend on."""
        digest = hashlib.sha256()
        for _, surface in sorted(self.knee.surfaces.items()):
            digest.update(np.ascontiguousarray(surface.vertices, dtype=np.float64).tobytes())
        return f"{self.name} {digest.hexdigest()} {self.seed} {self.simulator.value}"

    def films(self, condition: Condition) -> Films:
        """Taken under a condition; the clean picture is taken once for all faults of pictures."""
        rng = np.random.default_rng([self.seed, 19])
        frontal, lateral = self._clean(condition.arthritis, condition.positioning)
        return condition.degraded(frontal, rng), condition.degraded(lateral, rng)

    def _clean(self, grade: int, positioning: Positioning) -> Films:
        key = (grade, positioning)
        if key not in self._filmed:
            films = self._take(positioning.on_lateral(self._lying(grade)[1]), positioning)
            if positioning.flexion:
                straight, _ = self._clean(grade, replace(positioning, flexion=0.0))
                films = (straight, films[1])
            self._filmed[key] = films
        return self._filmed[key]

    def _take(self, knee: Knee, positioning: Positioning) -> Films:
        true = positioning.true_geometry(self.stated)
        return film_knee(knee, true, self.simulator, self.seed, stated=self.stated)


def _measured(
    sitting: Sitting, condition: Condition, contestant: Contestant, book: ScoreBook
) -> list[BenchmarkRow]:
    ways = (False, True) if condition is IDEAL else (condition.astray,)
    runs = {way: _run(sitting, condition, contestant, way) for way in ways}
    missing = [way for way in ways if not book.rows(runs[way])]
    if missing:
        found = contestant(
            *sitting.films(condition),
            find_joint=condition.find_joint,
            known=sitting.known(condition),
        )
        for way in missing:
            book.add(_scored(found, sitting, condition, contestant, way, runs[way]))
    return [
        # Weights may have been measured under another name before.
        replace(row, contestant=contestant.name)
        for way in ways
        for row in book.rows(runs[way])
    ]


def _run(sitting: Sitting, condition: Condition, contestant: Contestant, align: bool) -> str:
    words = [sitting.fingerprint, condition.name, contestant.fingerprint, align]
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()[:16]


def _scored(
    found: KneeFound,
    sitting: Sitting,
    condition: Condition,
    contestant: Contestant,
    align: bool,
    run: str,
) -> list[BenchmarkRow]:
    truth = sitting.truth(condition).surfaces
    surfaces = dict(found.surfaces)
    if align and surfaces:
        surfaces, _ = aligned(surfaces, truth)
    scores = score_knee(
        surfaces,
        truth,
        found.grid,
        knee=sitting.name,
        person=sitting.knee.person,
        film=sitting.simulator.value,
    )
    return [BenchmarkRow(run, contestant.name, condition.name, align, each) for each in scores]
