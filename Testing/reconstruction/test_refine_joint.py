"""Joints that moved between two films."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.imaging.geometry import BiplanarGeometry, view_geometry
from XRayTo3DLib.imaging.radiograph import Side, View
from XRayTo3DLib.reconstruction.flexion_between import (
    Between,
    between_of,
    group_motion,
    group_numbers,
    seen_unmoved,
)
from XRayTo3DLib.reconstruction.networks import NetworkSettings
from XRayTo3DLib.reconstruction.refine_joint import first_guess, second_guess, seen_by_parts
from XRayTo3DLib.reconstruction.refining import Refined
from XRayTo3DLib.reconstruction.result import Fit
from XRayTo3DLib.reconstruction.seeing import RightKnee
from XRayTo3DLib.slicer.words import in_panel_words

ABOUT = np.array([1.0, -12.0, 20.0])


def flexed(shin: float, patella: float = 0.0) -> Between:
    numbers = {
        group: np.array([-np.radians(angle), 0, 0, 0, 0, 0])
        for group, angle in enumerate((shin, patella))
    }
    return between_of(ABOUT, numbers)


def geometry() -> BiplanarGeometry:
    kind = {"sid": 1100.0, "sod": 980.0, "spacing": (0.4, 0.4), "shape": (500, 460)}
    return BiplanarGeometry(
        view_geometry(View.AP, Side.RIGHT, **kind), view_geometry(View.LATERAL, Side.RIGHT, **kind)
    )


def test_flexion_moves_the_foot_backwards():
    foot = np.array([0.0, -10.0, -400.0, 1.0])
    moved = flexed(10.0).of(Bone.TIBIA) @ foot
    assert moved[1] < foot[1] - 60 and moved[2] > foot[2]
    assert flexed(10.0).flexion == pytest.approx(10.0)
    assert flexed(-4.0).flexion == pytest.approx(-4.0)
    assert Between().flexion == 0.0


def test_numbers_and_motion_are_inverse():
    numbers = np.array([0.2, -0.05, 0.1, 1.0, -2.0, 3.0])
    motion = group_motion(ABOUT, numbers)
    expected = Rotation.from_rotvec(numbers[:3]).apply([5.0, 0, 0]) + ABOUT + numbers[3:]
    assert (motion @ [*(ABOUT + [5.0, 0, 0]), 1.0])[:3] == pytest.approx(expected)
    assert group_numbers(ABOUT, motion) == pytest.approx(numbers)


def test_a_moved_film_sees_the_bone_where_it_had_been():
    lateral = geometry().lateral
    motion = group_motion(ABOUT, np.array([-0.3, 0.02, 0.01, 1.0, 2.0, -1.0]))
    point = np.array([10.0, -20.0, -50.0])
    there = (motion @ [*point, 1.0])[:3]
    assert seen_unmoved(lateral, motion).project(point) == pytest.approx(lateral.project(there))


@pytest.mark.parametrize("true", [-4.0, 6.0, 12.0, 20.0])
@pytest.mark.parametrize(("shin_seen", "patella_seen"), [(0.3, 0.5), (0.5, 0.65), (0.9, 0.9)])
def test_the_second_guess_is_right_where_a_fit_finds_fixed_shares(true, shin_seen, patella_seen):
    patella = 0.6 * true
    before = flexed(shin_seen * true, patella_seen * patella)
    shown = first_guess(ABOUT, before)
    at_first = group_numbers(ABOUT, shown.of(Bone.PATELLA))[0]
    patella_shown = -np.degrees(at_first)
    after = flexed(
        shown.flexion + shin_seen * (true - shown.flexion),
        patella_shown + patella_seen * (patella - patella_shown),
    )
    found = second_guess(ABOUT, before, shown, after)
    assert found.flexion == pytest.approx(true)
    assert found.of(Bone.PATELLA) == pytest.approx(flexed(true, patella).of(Bone.PATELLA))
    assert found.differs(shown, np.radians(0.1)) == (abs(true - shown.flexion) > 0.1)


def test_guesses_of_motions_that_were_shown_stay():
    shown = flexed(10.0, 6.0)
    assert not second_guess(ABOUT, flexed(3.0, 4.0), shown, shown).differs(shown, 1e-6)


def test_guesses_stay_within_what_networks_know():
    wild = flexed(80.0, 70.0)
    assert first_guess(ABOUT, wild).flexion <= 30.0 + 1e-9
    assert second_guess(ABOUT, wild, flexed(30.0, 70.0), flexed(79.0, 70.0)).flexion <= 30.0 + 1e-9


def test_each_bone_is_seen_with_its_own_lateral_film():
    stated = geometry()
    knee = RightKnee((np.zeros((2, 2)), np.zeros((2, 2))), stated, NetworkSettings())
    between = flexed(10.0, 6.0)
    expected = {
        bone: seen_unmoved(stated.lateral, between.of(bone)).source
        for bone in (Bone.TIBIA, Bone.FIBULA, Bone.PATELLA)
    }

    def look(moved: RightKnee) -> np.ndarray:
        # Says of each bone how well the lateral film fits it.
        assert moved.geometry.frontal is stated.frontal
        seen = np.zeros((5, 1, 1, 1))
        for bone, source in expected.items():
            seen[bone] = 0.2 if np.allclose(moved.geometry.lateral.source, source) else 0.9
        return seen

    unmoved = np.full((5, 1, 1, 1), 0.1)
    seen = seen_by_parts(look, knee, between, unmoved)[:, 0, 0, 0]
    assert seen == pytest.approx([0.3, 0.1, 0.2, 0.2, 0.2])
    assert unmoved == pytest.approx(0.1)


def test_shares_of_a_voxel_never_exceed_it():
    knee = RightKnee((np.zeros((2, 2)), np.zeros((2, 2))), geometry(), NetworkSettings())
    full = np.full((5, 1, 1, 1), 0.6)
    seen = seen_by_parts(lambda _: full, knee, flexed(5.0), full)[:, 0, 0, 0]
    assert seen == pytest.approx([0.0, 0.25, 0.25, 0.25, 0.25])


@pytest.mark.parametrize(
    ("flexion", "word"),
    [(8.4, "about 8° more"), (-5.0, "about 5° less"), (2.9, "slightly otherwise")],
)
def test_flexion_is_told(flexion, word):
    fit = Fit(1.0, 0.5, "settled", flexion, corrected=True)
    (said,) = Refined(np.zeros(0), {}, geometry(), fit, flexed(flexion)).warnings
    assert word in said and "pose of the frontal film" in said
    assert "choose Never at Fit to the films" in in_panel_words(said)


def test_corrected_geometry_is_told_and_nothing_where_there_was_none():
    def said(corrected: bool) -> tuple[str, ...]:
        fit = Fit(1.0, 1.0, "settled", corrected=corrected)
        return Refined(np.zeros(0), {}, geometry(), fit, Between()).warnings

    (sentence,) = said(True)
    assert "the geometry was corrected" in sentence
    assert "choose Never at Fit to the films" in in_panel_words(sentence)
    assert said(False) == ()
