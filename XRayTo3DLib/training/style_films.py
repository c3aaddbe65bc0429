"""Simulated films for the two sides of a translation of style."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from XRayTo3DLib.anatomy.generator import KneeGenerator
from XRayTo3DLib.anatomy.knee import Knee, load_knees, split_by_person
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.evaluation.filming import Simulator, film_knee, filming_geometry
from XRayTo3DLib.imaging.radiograph import Radiograph
from XRayTo3DLib.style.film_looks import random_look
from XRayTo3DLib.style.film_sets import (
    FILM_SIZE,
    FILM_SPACING,
    INDEX,
    describe_films,
    save_film,
    standard,
)
from XRayTo3DLib.training.bank import describe_bank, list_cases
from XRayTo3DLib.training.cases import Case
from XRayTo3DLib.training.dataset import films_of

_VIEWS = ("ap", "lateral")
_TISSUE_VOXEL = 1.2
"""mm, as in the cases that the networks learn from."""


@dataclass(frozen=True)
class FilmSetSettings:
    """What a set of films is made from.

    Attributes:
        simulator: ``gvxr`` makes radiographs of many makers, ``own`` plain DRRs.
        seed: of the first knee; the others count on from it.
        held_out: people whose bones are not used.
    """

    simulator: Simulator
    seed: int = 0
    held_out: tuple[str, ...] = ()


def make_films(
    bones: Path,
    folder: Path,
    count: int,
    settings: FilmSetSettings,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Film generated knees; films that are there already are kept.

    Args:
        bones: folder of bone surfaces with its index.
        folder: for the films; made when absent.
        count: films; every knee gives a frontal and a lateral one.
        settings: what to make.
        progress: called with (done, all).

    Returns:
        the files.

    Raises:
        XRayTo3DError: the folder holds films made otherwise.
    """
    knees, _ = split_by_person(load_knees(bones), settings.held_out)
    generator = KneeGenerator(knees)
    people = sorted({knee.person for knee in knees})
    described = {**asdict(settings), "simulator": settings.simulator.value, "people": people}

    def pair(number: int) -> list[np.ndarray]:
        seed = settings.seed + number
        return _film_pair(generator(seed), settings.simulator, seed)

    return _fill(folder, count, settings.seed, described, pair, progress)


def drrs_of_cases(
    cases: Path,
    folder: Path,
    count: int,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Plain DRRs of training cases, which take no time: see :func:`make_films`.

    Raises:
        XRayTo3DError: there are too few cases, or the folder holds films made otherwise.
    """
    paths = list_cases(cases)
    if count > 2 * len(paths):
        raise XRayTo3DError(
            f"{cases.name} holds {len(paths)} cases, enough for {2 * len(paths)} films; "
            f"lower --count from {count} or generate more cases."
        )
    bank = describe_bank(cases)
    described = {
        "simulator": Simulator.OWN.value,
        "seed": bank.get("seed", 0),
        "held_out": bank.get("held_out", []),
        "knees": bank.get("knees", []),
    }

    def pair(number: int) -> list[np.ndarray]:
        return list(films_of(Case.load(paths[number]), [0], strength=0.0).numpy())

    return _fill(folder, count, 0, described, pair, progress)


def _film_pair(knee: Knee, simulator: Simulator, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng([seed, 19])
    # The standard detector itself: a finer one would cost four times as much and be averaged.
    geometry = filming_geometry(rng, size=FILM_SIZE, field=FILM_SIZE * FILM_SPACING)
    films = film_knee(knee, geometry, simulator, seed, strength=0.0, voxel=_TISSUE_VOXEL)
    if simulator is Simulator.GVXR:
        films = _relooked(films[0], rng), _relooked(films[1], rng)
    return [standard(film).numpy() for film in films]


def _relooked(film: Radiograph, rng: np.random.Generator) -> Radiograph:
    return replace(film, pixels=random_look(film.pixels, film.spacing.value[0], rng))


def _fill(
    folder: Path,
    count: int,
    first: int,
    described: dict[str, Any],
    pair: Callable[[int], list[np.ndarray]],
    progress: Callable[[int, int], None] | None,
) -> list[Path]:
    described = json.loads(json.dumps(described))
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / INDEX).is_file() and describe_films(folder) != described:
        raise XRayTo3DError(
            f"{folder.name} holds films made with other settings; name another folder."
        )
    (folder / INDEX).write_text(json.dumps(described, indent=1), encoding="utf-8")
    done = []
    for number, paths in enumerate(_names(folder, count, first)):
        if not all(path.is_file() for path in paths):
            for path, film in zip(paths, pair(number), strict=False):
                save_film(film, path)
        done += paths
        if progress:
            progress(len(done), count)
    return done


def _names(folder: Path, count: int, first: int) -> Iterator[list[Path]]:
    """Of the films of each knee; the last has one only where the count is odd."""
    for start in range(0, count, 2):
        stem = f"film_{first + start // 2:06d}"
        yield [folder / f"{stem}_{view}.png" for view in _VIEWS[: count - start]]
