"""What a translation of style is worth: reconstructions of foreign films with and without it."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path

import numpy as np
import torch

from XRayTo3DLib.anatomy.generator import KneeGenerator, KneeVariation
from XRayTo3DLib.anatomy.knee import Knee
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.evaluation.filming import Simulator, film_knee, filming_geometry
from XRayTo3DLib.evaluation.tables import (
    KneeScores,
    csv_table,
    markdown_table,
    score_knee,
    summarise,
)
from XRayTo3DLib.reconstruction.projected import outline, silhouette
from XRayTo3DLib.reconstruction.seeing import RightKnee, Translation, see
from XRayTo3DLib.reconstruction.surfaces import extract_surfaces
from XRayTo3DLib.reconstruction.weights import Model
from XRayTo3DLib.style.film_sheet import write_sheet
from XRayTo3DLib.style.histogram_matching import match_histogram
from XRayTo3DLib.style.outline_shift import OutlineShift, outline_shifts
from XRayTo3DLib.style.style_weights import StyleModel
from XRayTo3DLib.style.translate import translate

NONE = "none"
HISTOGRAM = "histogram"


@dataclass(frozen=True)
class ShiftRow:
    """The outlines of one knee on both films, moved by one translation: a row of the table.

    Attributes:
        knee: its name.
        translation: its name.
        shift: of the outlines.
    """

    knee: str
    translation: str
    shift: OutlineShift


@dataclass(frozen=True)
class StyleEvaluation:
    """What was found.

    Attributes:
        scores: of the bones; their ``film`` is the network's name and the translation's.
        shifts: of the outlines, of each knee.
        pooled: of the outlines of all knees, for each translation.
    """

    scores: list[KneeScores]
    shifts: list[ShiftRow]
    pooled: dict[str, OutlineShift]


def translations(styles: Sequence[StyleModel]) -> dict[str, Translation]:
    """Nothing, the histogram of the first style's aim, and each style by its method.

    A second style of one method is called by the beginning of its digest too.
    """
    ways: dict[str, Translation] = {NONE: lambda film: film}
    if styles:
        ways[HISTOGRAM] = partial(match_histogram, quantiles=styles[0].reference)
    for style in styles:
        name = style.method if style.method not in ways else f"{style.method} {style.sha256[:6]}"
        ways[name] = partial(translate, model=style)
    return ways


def evaluate_style(
    knees: list[Knee],
    networks: Sequence[Model],
    styles: Sequence[StyleModel],
    output: Path,
    placements: int = 3,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> StyleEvaluation:
    """Film knees with gVirtualXRay, translate, reconstruct and score.

    Writes ``scores.csv``, ``table.md``, ``shifts.csv``, ``shifts.md`` and ``films.png``.

    Args:
        knees: complete knees of people on whom nothing was trained, aligned.
        networks: that reconstruct; all see films of one size and spacing.
        styles: translations; without translation and with matched histograms is always measured.
        output: folder; made when absent.
        placements: how often each knee is placed and filmed anew.
        seed: of placing, machine and films.
        progress: called with (done, all) after each filmed knee.

    Raises:
        XRayTo3DError: no knee is complete.
    """
    complete = [knee for knee in knees if knee.is_complete]
    if not complete:
        raise XRayTo3DError("None of the people to be evaluated has a knee with all four bones.")
    output.mkdir(parents=True, exist_ok=True)
    ways = translations(styles)
    scores: list[KneeScores] = []
    shifts: dict[tuple[str, str], np.ndarray] = {}
    total = len(complete) * placements
    for number in range(total):
        knee, placement = complete[number // placements], number % placements
        name = f"{knee.name.replace('/', '_')}_{placement}"
        placed = KneeGenerator([knee], KneeVariation.placing_only())(1000 * seed + placement)
        seen = _filmed(placed, networks[0], [1000 * seed + placement, 17])
        for way, moved in _moved(placed, seen, ways).items():
            shifts[name, way] = moved
        for network in networks:
            scores += _scored(placed, seen, network, ways, name, knee.person)
        if number == 0:
            _show(seen, ways, output / "films.png")
        if progress:
            progress(number + 1, total)
    rows = [ShiftRow(name, way, OutlineShift.of(moved)) for (name, way), moved in shifts.items()]
    pooled = {
        way: OutlineShift.of(np.concatenate([m for (_, w), m in shifts.items() if w == way]))
        for way in ways
    }
    (output / "scores.csv").write_text(csv_table(scores), encoding="utf-8")
    (output / "table.md").write_text(markdown_table(summarise(scores)), encoding="utf-8")
    _write_shifts(rows, output / "shifts.csv")
    (output / "shifts.md").write_text(shift_table(pooled), encoding="utf-8")
    return StyleEvaluation(scores, rows, pooled)


def _filmed(knee: Knee, network: Model, seed: list[int]) -> RightKnee:
    geometry = filming_geometry(np.random.default_rng(seed))
    films = film_knee(knee, geometry, Simulator.GVXR, seed[0])
    return RightKnee.of(*films, geometry, network.network.settings)


def _moved(knee: Knee, seen: RightKnee, ways: dict[str, Translation]) -> dict[str, np.ndarray]:
    """mm by which each translation moved the bones' true outlines, both films."""
    films = seen.inputs()[0][0]
    result: dict[str, list[np.ndarray]] = {way: [] for way in ways}
    for film, detector in zip(films, seen.detectors, strict=True):
        contours = [
            contour
            for surface in knee.surfaces.values()
            for contour in outline(silhouette(surface, detector))
        ]
        for way, translation in ways.items():
            after = translation(film).numpy()
            result[way].append(
                outline_shifts(film.numpy(), after, contours, seen.network.film_spacing)
            )
    return {way: np.concatenate(parts) for way, parts in result.items()}


def _scored(
    knee: Knee,
    seen: RightKnee,
    network: Model,
    ways: dict[str, Translation],
    name: str,
    person: str,
) -> list[KneeScores]:
    settings = network.network.settings
    rows = []
    for way, translation in ways.items():
        restyled = RightKnee(seen.pictures, seen.geometry, settings, translation)
        probabilities, _ = see(network, restyled, torch.device("cpu"))
        surfaces = extract_surfaces(probabilities, settings.output_grid)
        film = f"{way}, {network.identity.name}"
        rows += score_knee(
            surfaces, knee.surfaces, settings.output_grid, knee=name, person=person, film=film
        )
    return rows


def _show(seen: RightKnee, ways: dict[str, Translation], path: Path) -> None:
    films = seen.inputs()[0][0]
    sheet = {
        way: torch.stack([translation(film) for film in films])[:, None]
        for way, translation in ways.items()
    }
    write_sheet(sheet, path)


def shift_table(pooled: dict[str, OutlineShift]) -> str:
    """The displacement of outlines as a GitHub-flavoured Markdown table."""
    lines = [
        "| Translation | mean mm | 95 % mm | bias mm | lost | edges |",
        "| --- |" + " ---: |" * 5,
    ]
    for way, shift in pooled.items():
        lines.append(
            f"| {way} | {shift.mean:.3f} | {shift.p95:.2f} | {shift.bias:+.3f} | "
            f"{100 * shift.lost:.1f} % | {shift.points} |"
        )
    return "\n".join(lines) + "\n"


def _write_shifts(rows: list[ShiftRow], path: Path) -> None:
    names = [field.name for field in fields(OutlineShift)]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["knee", "translation", *names])
        writer.writeheader()
        for row in rows:
            writer.writerow({"knee": row.knee, "translation": row.translation, **asdict(row.shift)})
