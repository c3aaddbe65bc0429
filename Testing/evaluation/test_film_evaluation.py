"""Projected bones against drawn ones: spheres by hand, SimpleITK's filters, the sample films."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import typer
from spheres import unit_sphere
from typer.testing import CliRunner

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.commands.evaluate_film import evaluate_film
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.evaluation.film_book import FilmBook, FilmRow, FilmScores
from XRayTo3DLib.evaluation.film_evaluation import (
    evaluate_films,
    film_table,
    reached,
    score_films,
)
from XRayTo3DLib.evaluation.film_index import DrawnKnee
from XRayTo3DLib.evaluation.film_masks import DrawnBone
from XRayTo3DLib.evaluation.film_metrics import contour_distance_2d, dice_2d
from XRayTo3DLib.imaging.geometry import BiplanarGeometry, geometry_of, view_geometry
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.radiograph import Origin, Radiograph, Side, Sourced, View
from XRayTo3DLib.reconstruction.projected import silhouette

GRID = VolumeGrid.cube(96, 153.6)
SID, SOD = 1100.0, 1000.0


@dataclass(frozen=True)
class Found:
    surfaces: dict
    geometry: BiplanarGeometry
    grid: VolumeGrid = GRID


def film(view: View, spacing: float = 0.5, shape=(400, 400)) -> Radiograph:
    user = Origin.USER
    return Radiograph(
        pixels=np.zeros(shape, dtype=np.float32),
        spacing=Sourced((spacing, spacing), user),
        sid=Sourced(SID, user),
        sod=Sourced(SOD, user),
        view=Sourced(view, user),
        side=Sourced(Side.RIGHT, user),
        orientation=Sourced(("L" if view is View.AP else "P", "F"), user),
        inverted=Sourced(False, user),
    )


FILMS = film(View.AP), film(View.LATERAL)
GEOMETRY = geometry_of(*FILMS)


def sphere(radius: float, centre=(0.0, 0.0, 0.0)) -> Surface:
    unit = unit_sphere(160, 80)
    return Surface(unit.vertices * radius + centre, unit.faces)


def drawn_on(views, surfaces: dict, judged: np.ndarray | None = None) -> tuple:
    everywhere = np.ones(views[0].shape, dtype=bool) if judged is None else judged
    return tuple(
        {bone: DrawnBone(silhouette(s, view), everywhere) for bone, s in surfaces.items()}
        for view in views
    )


def knee(surfaces: dict, judged: np.ndarray | None = None) -> DrawnKnee:
    return DrawnKnee("k", "p", FILMS, drawn_on(GEOMETRY.views, surfaces, judged), False)


def shadow_radius(radius: float) -> float:
    """Of a sphere about the isocentre, at the isocentre: the cone touches it nearer the source."""
    return radius * SOD / math.sqrt(SOD**2 - radius**2)


def test_spheres_of_two_sizes_differ_by_their_radii() -> None:
    found = Found({Bone.PATELLA: sphere(22.0)}, GEOMETRY)
    rows = score_films(found, knee({Bone.PATELLA: sphere(20.0)}), "net")
    large, small = shadow_radius(22.0), shadow_radius(20.0)
    assert [(row.view, row.bone) for row in rows] == [
        ("frontal", Bone.PATELLA),
        ("lateral", Bone.PATELLA),
    ]
    for row in rows:
        # A tenth of a pixel, at the isocentre.
        assert row.distance == pytest.approx(large - small, abs=0.05)
        assert row.dice == pytest.approx(2 * small**2 / (large**2 + small**2), abs=2e-3)


def test_distances_are_at_the_isocentre_whatever_the_pixels() -> None:
    films = film(View.AP, 0.25, (800, 800)), film(View.LATERAL, 0.25, (800, 800))
    geometry = geometry_of(*films)
    drawn = drawn_on(geometry.views, {Bone.FEMUR: sphere(20.0)})
    found = Found({Bone.FEMUR: sphere(22.0)}, geometry)
    for row in score_films(found, DrawnKnee("k", "p", films, drawn, False), "net"):
        assert row.distance == pytest.approx(shadow_radius(22) - shadow_radius(20), abs=0.02)


def test_measures_agree_with_simpleitk() -> None:
    """Of two tilted ellipsoids; ITK's outlines are pixels, ours run between them."""
    tilt = np.array([[0.9, 0.2, 0.1], [0.0, 1.1, 0.3], [0.2, 0.0, 1.2]])
    surfaces = [replace(sphere(25.0), vertices=sphere(25.0).vertices @ m) for m in (tilt, tilt.T)]
    surfaces[1] = replace(surfaces[1], vertices=surfaces[1].vertices + (4.0, -3.0, 5.0))
    masks = [silhouette(surface, GEOMETRY.frontal) for surface in surfaces]
    images = [sitk.GetImageFromArray(mask.astype(np.uint8)) for mask in masks]
    for image in images:
        image.SetSpacing((0.5, 0.5))
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(*images)
    assert dice_2d(*masks) == pytest.approx(overlap.GetDiceCoefficient(), abs=1e-9)
    hausdorff = sitk.HausdorffDistanceImageFilter()
    hausdorff.Execute(*[sitk.LabelContour(image) for image in images])
    expected = hausdorff.GetAverageHausdorffDistance()
    assert expected > 2.0
    assert contour_distance_2d(*masks, (0.5, 0.5)) == pytest.approx(expected, abs=0.1)


def test_a_bone_not_found_scores_nothing_and_one_not_drawn_is_left_out() -> None:
    found = Found({Bone.TIBIA: sphere(20.0)}, GEOMETRY)
    rows = score_films(found, knee({Bone.FEMUR: sphere(20.0)}), "net")
    assert {(row.bone, row.dice, row.distance) for row in rows} == {(Bone.FEMUR, 0.0, math.inf)}
    half = DrawnKnee("k", "p", FILMS, (knee({Bone.TIBIA: sphere(20.0)}).drawn[0], {}), False)
    assert [(row.view, row.dice) for row in score_films(found, half, "net")] == [("frontal", 1.0)]


def test_what_is_not_judged_costs_nothing() -> None:
    judged = np.ones(FILMS[0].pixels.shape, dtype=bool)
    judged[:, 200:] = False
    dented = sphere(20.0)
    right = dented.vertices.copy()
    # Right on the AP film (seen from the front) is the patient's left; on the lateral, the back.
    right[(right[:, 0] < -1) | (right[:, 1] < -1)] *= 0.5
    found = Found({Bone.FEMUR: replace(dented, vertices=right)}, GEOMETRY)
    frontal = score_films(found, knee({Bone.FEMUR: sphere(20.0)}, judged), "net")[0]
    everywhere = score_films(found, knee({Bone.FEMUR: sphere(20.0)}), "net")[0]
    assert everywhere.dice < 0.9 < frontal.dice
    assert frontal.distance < 0.5 < everywhere.distance


@pytest.mark.parametrize("angle", [0.0, 15.0])
def test_within_reach_a_cut_bone_casts_the_shadow_of_a_whole_one(angle: float) -> None:
    view = view_geometry(
        View.LATERAL,
        Side.RIGHT,
        sid=SID,
        sod=SOD,
        spacing=(0.5, 0.5),
        shape=(460, 400),
        angle=angle,
    )
    # Upright cylinders to beyond the field of view and to its upper face, off the middle.
    half = GRID.spacing * GRID.shape[0] / 2
    unit = unit_sphere(96, 48)
    for centre in (-30.0, 30.0):
        whole, cut = (
            Surface(
                unit.vertices * (20, 20, 0)
                + np.where(unit.vertices[:, 2:] > 0, (centre, 0, top), (centre, 0, -40.0)),
                unit.faces,
            )
            for top in (100.0, half)
        )
        region = reached(view, GRID)
        a, b = silhouette(whole, view), silhouette(cut, view)
        assert (a & region).sum() > 1000
        assert np.array_equal(a & region, b & region)
        assert not np.array_equal(a, b)
        # The field is not wasted: no more than 12 mm of shaft is given up.
        rows = np.flatnonzero((a & region).any(axis=1))
        assert (rows.min() - view.project(np.array([0, 0, half]))[0]) * 0.5 * SOD / SID < 12.0


ROWS = [
    FilmScores("net", "a", "p", "frontal", Bone.FEMUR, 0.90, 1.0),
    FilmScores("net", "a", "p", "frontal", Bone.FIBULA, 0.80, 2.0),
    FilmScores("net", "b", "q", "frontal", Bone.FEMUR, 0.94, 0.6),
    FilmScores("net", "b", "q", "frontal", Bone.FIBULA, 0.0, math.inf),
    FilmScores("net", "a", "p", "lateral", Bone.FEMUR, 0.98, 0.5),
]


def test_table_by_hand() -> None:
    lines = film_table(ROWS).splitlines()
    assert lines[0].endswith("| Mean Dice, mm | Missed | Failed |")
    assert len({line.count("|") for line in lines if line.startswith("|")}) == 1
    assert (
        "| net | frontal | 2 | 0.920 ± 0.028, 0.80 ± 0.28 | 0.400 ± 0.566, 2.00 "
        "| 0.660 ± 0.269, 1.05 ± 0.64 | 1 | 1 |"
    ) in lines
    assert "| net | lateral | 1 | 0.980, 0.50 | –, – | 0.980, 0.50 | 0 | 0 |" in lines
    assert any(line.startswith("| net | both | 3 | 0.940 ± 0.040, 0.70 ± 0.26") for line in lines)


def test_a_book_gives_every_run_back_that_was_finished(tmp_path: Path) -> None:
    path = tmp_path / "film_scores.csv"
    book = FilmBook(path)
    book.add([FilmRow("one", 3, row) for row in ROWS[:3]])
    book.add([FilmRow("two", 2, row) for row in ROWS[3:]])
    again = FilmBook(path)
    assert [row.scores for run in ("one", "two") for row in again.rows(run)] == ROWS
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:-1]), encoding="utf-8")
    cut = FilmBook(path)
    assert (len(cut.rows("one")), cut.rows("two")) == (3, [])


def command(*words: str | Path):
    app = typer.Typer()
    app.command()(evaluate_film)
    return CliRunner().invoke(app, [str(word) for word in words])


def test_the_sample_films_are_reconstructed_to_their_outlines(tmp_path: Path) -> None:
    example, output = tmp_path / "example", tmp_path / "output"
    assert command("--example", example).exit_code == 0
    words = ("--films", example / "index.csv", "-o", output, "--no-refine")
    done = command(*words)
    assert done.exit_code == 0, done.output
    table = (output / "films.md").read_text(encoding="utf-8")
    assert table.startswith("| Contestant | View | Films | Femur Dice, mm |")
    with (output / "film_scores.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * len(Bone)
    assert min(float(row["dice"]) for row in rows) > 0.85
    assert max(float(row["distance"]) for row in rows) < 2.5
    refused = command("--example", example)
    assert isinstance(refused.exception, XRayTo3DError)
    assert "is not an empty folder" in str(refused.exception)


@dataclass
class Still:
    """Finds a sphere wherever it looks."""

    name: str
    radius: float
    asked: int = 0

    @property
    def fingerprint(self) -> str:
        return f"still {self.radius}"

    def __call__(self, frontal, lateral, *, find_joint, known):
        assert not find_joint
        self.asked += 1
        return Found({Bone.FEMUR: sphere(self.radius)}, geometry_of(frontal, lateral))


def test_every_contestant_sees_every_knee_once(tmp_path: Path) -> None:
    told: list[str] = []
    knees = [
        replace(knee({Bone.FEMUR: sphere(radius)}), name=name)
        for name, radius in (("k", 20.0), ("l", 21.0))
    ]
    book = tmp_path / "scores.csv"
    rivals = [Still("right", 20.0), Still("large", 23.0)]
    rows = evaluate_films(knees, rivals, FilmBook(book), told.append)
    assert told == ["k, right", "k, large", "l, right", "l, large"]
    perfect = {(row.contestant, row.knee) for row in rows if row.dice == 1.0}
    assert perfect == {("right", "k")}
    renamed = [Still("still right", 20.0), rivals[1]]
    again = evaluate_films(knees, renamed, FilmBook(book))
    assert [row.dice for row in again] == [row.dice for row in rows]
    assert {row.contestant for row in again} == {"still right", "large"}
    assert [one.asked for one in (*rivals, *renamed)] == [2, 2, 0, 2]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "--output"),
        (("-o", "x"), "either --films"),
        (("-o", "x", "--films", "a.csv", "--bones", "b"), "either --films"),
        (("-o", "x", "--bones", "b"), "--person"),
        (("-o", "x", "--films", "a.csv", "--person", "p"), "--person goes with --bones"),
        (("-o", "x", "--films", "gone.csv"), "gone.csv: cannot be opened"),
    ],
)
def test_wrong_words_are_said(tmp_path, monkeypatch, words: tuple, sentence: str) -> None:
    monkeypatch.chdir(tmp_path)
    done = command(*words)
    assert isinstance(done.exception, XRayTo3DError)
    assert sentence in str(done.exception)
    assert list(tmp_path.iterdir()) == []
