"""Reconstructed bones projected on their films, and compared with what was drawn there.

The second table of Kasten et al. 2020: real films have no true shape in 3D, but bones can be drawn
on them. Distances are in mm at the isocentre: pixels of the film times its stated SOD / SID.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.knee import Knee
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.evaluation.benchmark import Sitting
from XRayTo3DLib.evaluation.conditions import IDEAL
from XRayTo3DLib.evaluation.contestants import Contestant, KneeFound
from XRayTo3DLib.evaluation.film_book import FilmBook, FilmRow, FilmScores
from XRayTo3DLib.evaluation.film_index import DrawnKnee
from XRayTo3DLib.evaluation.film_masks import DrawnBone
from XRayTo3DLib.evaluation.film_metrics import contour_distance_2d, dice_2d
from XRayTo3DLib.evaluation.filming import Simulator
from XRayTo3DLib.evaluation.registration_starts import STARTS_NOTE
from XRayTo3DLib.evaluation.tables import FAILED_MM, Spread, markdown
from XRayTo3DLib.imaging.geometry import ViewGeometry
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.radiograph import Radiograph
from XRayTo3DLib.reconstruction.projected import silhouette

_VIEWS = ("frontal", "lateral")

FILM_NOTE = (
    "Mean ± SD over films. Dice of silhouettes; mean symmetric distance of their outlines in mm at "
    "the isocentre, of the bones that were found. Compared where the rays stay within the field of "
    "view of the reconstruction; a bone that nobody drew on a film is left out there. *Missed*: "
    f"bones not found. *Failed*: films on which the outlines are {FAILED_MM:g} mm off on average, "
    f"or a bone was missed: a registration that never converged. {STARTS_NOTE}\n"
)


def simulated_knees(
    knees: Iterable[Knee], placements: int, seed: int, simulator: Simulator = Simulator.GVXR
) -> Iterator[DrawnKnee]:
    """Films of knees whose bones are known; the masks are the true surfaces, projected.

    Args:
        knees: complete.
        placements: how often each is placed and filmed anew.
        seed: of placing, machine and films.
        simulator: whose films.
    """
    for knee in knees:
        for placement in range(placements):
            sitting = Sitting(knee, placement, seed * 1000 + placement, simulator)
            truth = sitting.truth(IDEAL).surfaces
            frontal, lateral = (_projected(truth, view) for view in sitting.stated.views)
            films = sitting.films(IDEAL)
            yield DrawnKnee(
                sitting.name,
                knee.person,
                films,
                (frontal, lateral),
                find_joint=False,
                known=sitting.known(IDEAL),
            )


def _projected(surfaces: Mapping[Bone, Surface], view: ViewGeometry) -> dict[Bone, DrawnBone]:
    everywhere = np.ones(view.shape, dtype=bool)
    return {
        bone: DrawnBone(silhouette(surface, view), everywhere) for bone, surface in surfaces.items()
    }


def evaluate_films(
    knees: Iterable[DrawnKnee],
    contestants: Sequence[Contestant],
    book: FilmBook | None = None,
    progress: Callable[[str], None] | None = None,
) -> list[FilmScores]:
    """Have every contestant reconstruct every knee, and compare on both films.

    Args:
        knees: with masks on at least one film.
        contestants: who take part.
        book: of scores; what it holds is not measured again, what is measured is put into it.
        progress: told after each reconstruction what was done.
    """
    book = book or FilmBook()
    scores: list[FilmScores] = []
    for knee in knees:
        for contestant in contestants:
            scores += _measured(knee, contestant, book)
            if progress:
                progress(f"{knee.name}, {contestant.name}")
    return scores


def _measured(knee: DrawnKnee, contestant: Contestant, book: FilmBook) -> list[FilmScores]:
    words = f"{knee.fingerprint} {contestant.fingerprint}"
    run = hashlib.sha256(words.encode()).hexdigest()[:16]
    if not book.rows(run):
        found = contestant(*knee.films, find_joint=knee.find_joint, known=knee.known)
        scores = score_films(found, knee, contestant.name)
        if not scores:
            return []
        book.add([FilmRow(run, len(scores), one) for one in scores])
    # Weights and films may have been measured under other names before.
    return [
        replace(row.scores, contestant=contestant.name, knee=knee.name, person=knee.person)
        for row in book.rows(run)
    ]


def score_films(found: KneeFound, knee: DrawnKnee, contestant: str) -> list[FilmScores]:
    """A row for each bone that was drawn on a film, within what the reconstruction could reach.

    Args:
        found: bones and geometry.
        knee: films and masks.
        contestant: its name.
    """
    rows = []
    for name, film, bones, view in zip(
        _VIEWS, knee.films, knee.drawn, found.geometry.views, strict=True
    ):
        field = reached(view, found.grid)
        for bone, drawn in sorted(bones.items()):
            region = drawn.judged & field
            if not (drawn.mask & region).any():
                continue
            surface = found.surfaces.get(bone)
            shown = np.zeros_like(drawn.mask) if surface is None else silhouette(surface, view)
            rows.append(
                FilmScores(
                    contestant,
                    knee.name,
                    knee.person,
                    name,
                    bone,
                    dice_2d(shown & region, drawn.mask & region),
                    contour_distance_2d(shown, drawn.mask, _spacing_at_isocentre(film), region),
                )
            )
    return rows


def reached(view: ViewGeometry, grid: VolumeGrid) -> np.ndarray:
    """Pixels whose ray is within the field of view over its whole depth, ``(rows, columns)`` bool.

    There, and a voxel away from the faces, no bone ends because the reconstruction does.

    Args:
        view: source and detector.
        grid: the field of view.
    """
    half = 0.5 * grid.spacing * np.array(grid.shape[::-1])
    signs = np.stack(np.meshgrid(*[(-1, 1)] * 3), axis=-1).reshape(-1, 3)
    depths = (np.asarray(grid.centre) + signs * half - view.source) @ view.normal
    across = np.delete(np.arange(3), np.abs(view.normal).argmax())
    rays = (view.pixel_positions() - view.source) / view.sid
    inside = np.ones(view.shape, dtype=bool)
    for depth in (depths.min(), depths.max()):
        offset = np.abs(view.source + rays * depth - grid.centre)
        inside &= np.all(offset[..., across] < half[across] - grid.spacing, axis=-1)
    return inside


def _spacing_at_isocentre(film: Radiograph) -> tuple[float, float]:
    row, column = film.spacing.value
    return row / film.magnification, column / film.magnification


def film_table(scores: Sequence[FilmScores]) -> str:
    """Dice and distance of each bone, a line for each contestant and view, Markdown."""
    bones = sorted({row.bone for row in scores})
    head = ["Contestant", "View", "Films"]
    head += [f"{bone.title} Dice, mm" for bone in bones] + ["Mean Dice, mm", "Missed", "Failed"]
    lines = [head]
    for name in dict.fromkeys(row.contestant for row in scores):
        of_one = [row for row in scores if row.contestant == name]
        for view in (*_VIEWS, None):
            rows = [row for row in of_one if view in (None, row.view)]
            if rows:
                lines.append([name, view or "both", *_cells(rows, bones)])
    return markdown(lines, words=2) + "\n" + FILM_NOTE


def _cells(rows: Sequence[FilmScores], bones: Sequence[Bone]) -> list[str]:
    films: dict[tuple[str, str], list[FilmScores]] = {}
    for row in rows:
        films.setdefault((row.knee, row.view), []).append(row)
    cells = [str(len(films))]
    for bone in bones:
        of_bone = [row for row in rows if row.bone is bone]
        cells.append(_cell([row.dice for row in of_bone], [row.distance for row in of_bone]))
    dice = [Spread.of(row.dice for row in film).mean for film in films.values()]
    distance = [Spread.of(row.distance for row in film).mean for film in films.values()]
    missed = sum(not np.isfinite(row.distance) for row in rows)
    failed = sum(not np.mean([row.distance for row in film]) < FAILED_MM for film in films.values())
    return [*cells, _cell(dice, distance), str(missed), str(failed)]


def _cell(dice: Sequence[float], distance: Sequence[float]) -> str:
    return f"{Spread.of(dice).text(3)}, {Spread.of(distance).text(2)}"
