"""Summaries of scores against means and deviations worked out by hand."""

from __future__ import annotations

import csv
import math
from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.evaluation.tables import (
    KneeScores,
    Spread,
    csv_table,
    markdown_table,
    score_knee,
    summarise,
    terminal_table,
)
from XRayTo3DLib.imaging.grid import VolumeGrid

LOST = float("inf")
ROWS = [
    KneeScores("k1", "p1", "own", Bone.FEMUR, 0.90, 1.0, 2.0),
    KneeScores("k1", "p1", "own", Bone.FIBULA, 0.80, 2.0, 4.0),
    KneeScores("k2", "p1", "own", Bone.FEMUR, 0.94, 0.6, 1.0),
    KneeScores("k2", "p1", "own", Bone.FIBULA, 0.00, LOST, LOST),
    KneeScores("k3", "p2", "other", Bone.FEMUR, 0.85, 1.5, 3.0),
]


def by_key(summary):
    return {(row.film, row.bone): row for row in summary}


def test_means_and_spreads_between_knees():
    summary = by_key(summarise(ROWS))
    assert list(summary) == [
        ("own", Bone.FEMUR),
        ("own", Bone.FIBULA),
        ("own", None),
        ("other", Bone.FEMUR),
        ("other", None),
    ]
    femur = summary["own", Bone.FEMUR]
    assert (femur.knees, femur.people, femur.missed) == (2, 1, 0)
    assert femur.dice.mean == pytest.approx(0.92)
    assert femur.dice.sd == pytest.approx(math.sqrt(2 * 0.02**2))
    assert femur.assd.mean == pytest.approx(0.8)
    assert femur.hd95.mean == pytest.approx(1.5)
    everything = summary["own", None]
    assert everything.dice.mean == pytest.approx(((0.90 + 0.80) / 2 + (0.94 + 0.0) / 2) / 2)
    assert everything.dice.sd == pytest.approx(abs(0.85 - 0.47) / math.sqrt(2))


def test_a_bone_missed_costs_dice_and_is_counted():
    fibula = by_key(summarise(ROWS))["own", Bone.FIBULA]
    assert fibula.missed == 1
    assert fibula.dice.mean == pytest.approx(0.4)
    assert fibula.assd.mean == pytest.approx(2.0)
    assert math.isnan(fibula.assd.sd)
    assert by_key(summarise(ROWS))["own", None].missed == 1


@pytest.mark.parametrize(
    "values, text",
    [
        ([0.9, 0.8], "0.850 ± 0.071"),
        ([0.9], "0.900"),
        ([], "–"),
        ([LOST], "–"),
        ([LOST, 0.5], "0.500"),
        ([0.0, 0.0], "0.000 ± 0.000"),
    ],
)
def test_spread_as_text(values, text):
    assert Spread.of(values).text(3) == text


def test_markdown_has_a_cell_for_every_heading():
    lines = markdown_table(summarise(ROWS)).splitlines()
    assert len(lines) == 2 + 5
    assert len({line.count("|") for line in lines}) == 1
    assert "| own | Femur | 2 | 1 | 0.920 ± 0.028 | 0.80 ± 0.28 | 1.50 ± 0.71 | 0 |" in lines
    assert any("| other | Mean | 1 | 1 | 0.850 |" in line for line in lines)


def test_csv_gives_every_row_back():
    rows = [
        KneeScores(
            row["knee"],
            row["person"],
            row["film"],
            Bone[row["bone"].upper()],
            *(float(row[name]) for name in ("dice", "assd", "hd95")),
        )
        for row in csv.DictReader(StringIO(csv_table(ROWS)))
    ]
    assert rows == ROWS


def test_terminal_shows_whole_cells_at_eighty_columns():
    console = Console(width=80, file=StringIO(), record=True)
    console.print(terminal_table(summarise(ROWS), "Held-out people"))
    text = console.export_text()
    for part in ("Held-out people", "0.920 ± 0.028", "1.50 ± 0.71", "Fibula", "other"):
        assert part in text


def test_scores_of_a_knee_with_one_bone_lost_and_one_swollen(toy_knee):
    region = VolumeGrid.cube(96, 192.0)
    femur = toy_knee[Bone.FEMUR]
    axis = np.stack([np.zeros(len(femur.vertices))] * 2 + [femur.vertices[:, 2].clip(30, 100)], 1)
    swollen = Surface(axis + (femur.vertices - axis) * 27 / 25, femur.faces)
    predicted = {**toy_knee, Bone.FEMUR: swollen}
    del predicted[Bone.FIBULA]
    rows = score_knee(predicted, toy_knee, region, knee="toy", person="nobody", film="none")
    scores = {row.bone: row for row in rows}
    assert list(scores) == list(Bone)
    assert scores[Bone.FEMUR].assd == pytest.approx(2.0, abs=0.02)
    assert scores[Bone.FEMUR].hd95 == pytest.approx(2.0, abs=0.02)
    assert scores[Bone.TIBIA].dice == 1.0
    assert scores[Bone.PATELLA].assd == pytest.approx(0.0, abs=1e-4)
    assert (scores[Bone.FIBULA].dice, scores[Bone.FIBULA].assd) == (0.0, LOST)
    assert {(row.knee, row.person, row.film) for row in rows} == {("toy", "nobody", "none")}
    only_femur = score_knee(
        {Bone.FEMUR: swollen}, {Bone.FEMUR: femur}, region, knee="a", person="a", film="a"
    )
    assert [row.bone for row in only_femur] == [Bone.FEMUR]
