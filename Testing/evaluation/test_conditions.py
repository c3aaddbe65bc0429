"""The benchmark's faults by their names, and where badly placed machines stand."""

from __future__ import annotations

import numpy as np
import pytest

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.knee import Knee
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.evaluation.conditions import (
    ANATOMY_CONDITIONS,
    CONDITIONS,
    GEOMETRY_CONDITIONS,
    IDEAL,
    PICTURE_CONDITIONS,
    Group,
    conditions_named,
)
from XRayTo3DLib.evaluation.filming import filming_geometry
from XRayTo3DLib.evaluation.positioning import AS_STATED, Positioning
from XRayTo3DLib.imaging.radiograph import Side


def test_names_tell_conditions_apart() -> None:
    names = [condition.name for condition in CONDITIONS]
    assert len(set(names)) == len(names)


def test_groups_part_the_faults() -> None:
    assert {condition.group for condition in GEOMETRY_CONDITIONS} == {Group.GEOMETRY}
    assert {condition.group for condition in PICTURE_CONDITIONS} == {Group.PICTURE}
    assert {condition.group for condition in ANATOMY_CONDITIONS} == {Group.ANATOMY}
    assert conditions_named(group=Group.ANATOMY) == (IDEAL, *ANATOMY_CONDITIONS)
    assert conditions_named(group=Group.GEOMETRY) == (IDEAL, *GEOMETRY_CONDITIONS)
    assert conditions_named(group=Group.PICTURE) == (IDEAL, *PICTURE_CONDITIONS)
    assert conditions_named() == CONDITIONS


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["turned 5°"], ["ideal", "turned 5°"]),
        (["gamma 2", "ideal", "gamma 2"], ["ideal", "gamma 2"]),
        (["cropped by 12 %", "noise of 4 %"], ["ideal", "cropped by 12 %", "noise of 4 %"]),
    ],
)
def test_conditions_by_name_begin_with_the_ideal_one(names: list[str], found: list[str]) -> None:
    # A group does not matter where names are given.
    chosen = conditions_named(names, Group.GEOMETRY)
    assert [condition.name for condition in chosen] == found


def test_an_unknown_name_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(XRayTo3DError, match=r"'turned 4°'.*turned 5°.*gamma 2"):
        conditions_named(["turned 4°"])


@pytest.fixture(scope="module")
def stated():
    return filming_geometry(np.random.default_rng(5))


def test_nothing_wrong_leaves_all_in_place(stated) -> None:
    true = AS_STATED.true_geometry(stated)
    for view, other in zip(true.views, stated.views, strict=True):
        assert view.matrix() == pytest.approx(other.matrix())


@pytest.mark.parametrize("angle", [2.5, -10.0])
def test_turned_changes_the_angle_between_the_beams(stated, angle: float) -> None:
    true = Positioning(turn=angle).true_geometry(stated)
    assert abs(true.angle - stated.angle) == pytest.approx(abs(angle))
    assert true.lateral.sid == pytest.approx(stated.lateral.sid)


def test_rolled_keeps_the_beam_and_turns_the_rows(stated) -> None:
    true = Positioning(roll=5.0).true_geometry(stated)
    assert true.lateral.source == pytest.approx(stated.lateral.source)
    cosine = true.lateral.row_step @ stated.lateral.row_step / stated.lateral.spacing[0] ** 2
    assert np.degrees(np.arccos(cosine)) == pytest.approx(5.0)


def test_farther_keeps_the_magnification(stated) -> None:
    for view, other in zip(
        Positioning(distance=0.05).true_geometry(stated).views, stated.views, strict=True
    ):
        assert (view.sid / other.sid, view.sod / other.sod) == pytest.approx((1.05, 1.05))


def test_magnified_enlarges_the_lateral_alone(stated) -> None:
    true = Positioning(magnification=0.05).true_geometry(stated)
    points = np.array([[0.0, 0, 10], [0.0, 0, -10]])
    lengths = [
        np.linalg.norm(np.diff(view.project(points), axis=0))
        for view in (true.lateral, stated.lateral, true.frontal, stated.frontal)
    ]
    assert lengths[0] / lengths[1] == pytest.approx(1.05)
    assert lengths[2] == pytest.approx(lengths[3])


def test_a_higher_beam_shows_the_knee_lower(stated) -> None:
    true = Positioning(height=20.0).true_geometry(stated)
    rows = [view.project(np.zeros(3))[0] for view in (true.lateral, stated.lateral)]
    at_isocentre = stated.lateral.spacing[0] * stated.lateral.sod / stated.lateral.sid
    assert (rows[0] - rows[1]) * at_isocentre == pytest.approx(20.0)


def test_flexion_moves_the_tibia_and_leaves_the_femur(toy_knee) -> None:
    knee = Knee("toy", "nobody", Side.RIGHT, toy_knee)
    bent = Positioning(flexion=20.0).on_lateral(knee)
    before, after = (k.surfaces[Bone.TIBIA].vertices for k in (knee, bent))
    axes = [np.linalg.svd(v - v.mean(axis=0), full_matrices=False)[2][0] for v in (before, after)]
    assert np.degrees(np.arccos(abs(axes[0] @ axes[1]))) == pytest.approx(20.0, abs=0.5)
    femur = bent.surfaces[Bone.FEMUR].vertices
    assert femur == pytest.approx(toy_knee[Bone.FEMUR].vertices)
    assert AS_STATED.on_lateral(knee) is knee
