"""How good registration is, and how often it fails, from starts by hand and from worse ones."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from io import StringIO

import numpy as np

from XRayTo3DLib.anatomy.generator import KneeGenerator, KneeVariation
from XRayTo3DLib.anatomy.knee import Knee
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.evaluation.filming import Simulator, film_knee, filming_geometry
from XRayTo3DLib.evaluation.registration_starts import STARTS, TrueKnee, TruePoses
from XRayTo3DLib.evaluation.tables import KneeScores, Spread, has_failed, score_knee
from XRayTo3DLib.imaging.radiograph import Side
from XRayTo3DLib.reconstruction.registration import Registrar
from XRayTo3DLib.reconstruction.registration_pose import default_start
from XRayTo3DLib.reconstruction.registration_result import GRID, register_films


@dataclass(frozen=True)
class StudySettings:
    """What is measured.

    Attributes:
        starts: names of kinds of start.
        simulators: whose films.
        placements: how often each knee is placed and filmed anew.
        draws: starts of each kind for each pair of films.
        seed: of placing, machine, films and starts.
    """

    starts: tuple[str, ...] = tuple(STARTS)
    simulators: tuple[Simulator, ...] = tuple(Simulator)
    placements: int = 2
    draws: int = 1
    seed: int = 0


@dataclass(frozen=True)
class Trial:
    """One registration.

    Attributes:
        start: kind of start.
        film: simulator of the films.
        scores: of the bones.
        seconds: wall time.
        converged: what the registration says of itself.
    """

    start: str
    film: str
    scores: tuple[KneeScores, ...]
    seconds: float
    converged: bool

    @property
    def dice(self) -> float:
        """Mean over the bones."""
        return float(np.mean([score.dice for score in self.scores]))

    @property
    def assd(self) -> float:
        """Mean over the bones, mm; infinite when one is out of the field of view."""
        return float(np.mean([score.assd for score in self.scores]))

    @property
    def failed(self) -> bool:
        """Whether it ended far from the bones."""
        return has_failed(self.scores)


def registration_study(
    knees: list[Knee],
    registrar: Registrar,
    settings: StudySettings | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Trial]:
    """Film each knee and register the model to the films from each kind of start.

    Args:
        knees: complete knees of people that the model was not learnt from, aligned. Left knees
            are measured as right ones.
        registrar: with its model.
        settings: what is measured.
        progress: called with (done, all) after each registration.

    Raises:
        XRayTo3DError: no knee is complete, or the model was learnt from one of the people.
    """
    settings = settings or StudySettings()
    right = [knee if knee.side is Side.RIGHT else knee.mirrored() for knee in knees]
    complete = [knee for knee in right if knee.is_complete]
    if not complete:
        raise XRayTo3DError("None of the people to be measured has a knee with all four bones.")
    if seen := registrar.model.people & {knee.person for knee in complete}:
        raise XRayTo3DError(
            f"The model was learnt from {', '.join(sorted(seen))}; measure people held out."
        )
    per_knee = settings.placements * len(settings.simulators) * len(settings.starts)
    total, trials = len(complete) * per_knee * settings.draws, []
    poses = TruePoses(registrar.model)
    for knee in complete:
        for placement in range(settings.placements):
            for simulator in settings.simulators:
                for trial in _trials(knee, poses, registrar, settings, placement, simulator):
                    trials.append(trial)
                    if progress:
                        progress(len(trials), total)
    return trials


def _trials(
    knee: Knee,
    poses: TruePoses,
    registrar: Registrar,
    settings: StudySettings,
    placement: int,
    simulator: Simulator,
) -> Iterator[Trial]:
    seed = settings.seed * 1000 + placement
    placed = KneeGenerator([knee], KneeVariation.placing_only())(seed)
    geometry = filming_geometry(np.random.default_rng([seed, 17]))
    films = film_knee(placed, geometry, simulator, seed)
    true = TrueKnee.between(knee, placed, seed)
    for name in settings.starts:
        starting = STARTS[name]
        for draw in range(settings.draws):
            start = (
                default_start()
                if starting is None
                else starting.starts(registrar, poses(true), seed, draw)
            )
            found = register_films(registrar, *films, geometry, start)
            scores = score_knee(
                found.surfaces,
                placed.surfaces,
                GRID,
                knee=f"{knee.name.replace('/', '_')}_{placement}_{draw}",
                person=knee.person,
                film=simulator.value,
            )
            yield Trial(name, simulator.value, tuple(scores), found.seconds, found.converged)


def study_table(trials: Sequence[Trial]) -> str:
    """A line for each kind of start and film, Markdown: accuracy of all and how many failed."""
    bones = [score.bone for score in trials[0].scores] if trials else []
    head = ["Start", "Film", "Registrations", *(f"{bone.title} Dice, ASSD mm" for bone in bones)]
    head += ["Mean Dice, ASSD mm", "Failed", "Says it converged", "Seconds"]
    lines = [head, ["---"] * len(head)]
    for key in dict.fromkeys((trial.start, trial.film) for trial in trials):
        own = [trial for trial in trials if (trial.start, trial.film) == key]
        cells = [
            _cell([score for trial in own for score in trial.scores if score.bone is bone])
            for bone in bones
        ]
        failed = np.mean([trial.failed for trial in own])
        says = np.mean([trial.converged for trial in own])
        seconds = Spread.of(trial.seconds for trial in own).text(1)
        lines.append(
            [*key, str(len(own)), *cells, _cell(own), f"{failed:.0%}", f"{says:.0%}", seconds]
        )
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def study_csv(trials: Sequence[Trial]) -> str:
    """A row for each bone of each registration, with a heading; ``inf`` where one is missing."""
    text = StringIO(newline="")
    names = ["start", "seconds", "converged", "failed", *KneeScores.__dataclass_fields__]
    writer = csv.DictWriter(text, names)
    writer.writeheader()
    for trial in trials:
        facts = {
            "start": trial.start,
            "seconds": round(trial.seconds, 1),
            "converged": trial.converged,
            "failed": trial.failed,
        }
        for score in trial.scores:
            writer.writerow({**facts, **asdict(score), "bone": score.bone.key})
    return text.getvalue()


def _cell(scores: Sequence[KneeScores] | Sequence[Trial]) -> str:
    dice, assd = (Spread.of(getattr(score, name) for score in scores) for name in ("dice", "assd"))
    return f"{dice.text(3)}, {assd.text(2)}"
