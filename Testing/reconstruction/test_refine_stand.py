"""How a lateral film stood, on radiographs of the model that is shipped."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.intensity_model import KneeModel
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.imaging.geometry import BiplanarGeometry, view_geometry
from XRayTo3DLib.imaging.radiograph import Side, View
from XRayTo3DLib.progress import Cancelled
from XRayTo3DLib.reconstruction.lateral_stand import AS_STATED, LateralStand
from XRayTo3DLib.reconstruction.refine_stand import LEAST, MODEL, beliefs, credible, onlooker
from XRayTo3DLib.reconstruction.registration_bone import DeformingBone

Films = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def stated() -> BiplanarGeometry:
    stand = {"sid": 1150.0, "sod": 1000.0, "spacing": (1.2, 1.2), "shape": (150, 150)}
    return BiplanarGeometry(
        view_geometry(View.AP, Side.RIGHT, **stand),
        view_geometry(View.LATERAL, Side.RIGHT, **stand),
    )


@pytest.fixture(scope="module")
def knee() -> tuple[list[DeformingBone], dict[Bone, torch.Tensor]]:
    """A knee of nobody: a little of the first modes of each bone, drawn at random."""
    rng = np.random.default_rng(3)
    models = KneeModel.load(MODEL).bones
    shapes = {bone: torch.zeros(len(models[bone].shape.modes)) for bone in Bone}
    for shape in shapes.values():
        shape[:4] = 0.5 * torch.from_numpy(rng.normal(size=len(shape[:4]))).float()
    return [DeformingBone(models[bone]) for bone in Bone], shapes


@pytest.fixture(scope="module")
def surfaces(knee) -> dict[Bone, Surface]:
    bones, shapes = knee
    return {bone.bone: bone.surface(shapes[bone.bone]) for bone in bones}


def filmed(knee, geometry: BiplanarGeometry) -> Films:
    bones, shapes = knee
    pictures = []
    for view in geometry.views:
        seen = [
            bone.radiograph(
                bone.volume(shapes[bone.bone], torch.zeros(bone.density_count)),
                torch.zeros(7),
                np.eye(4),
                view,
            )
            for bone in bones
        ]
        pictures.append(sum(seen).numpy())
    return pictures[0], pictures[1]


STANDS = [
    AS_STATED,
    LateralStand(turn=np.radians(5.0)),
    LateralStand(turn=np.radians(-5.0)),
    LateralStand(nearer=50.0),
    LateralStand(nearer=-40.0, roll=np.radians(3.0)),
]


@pytest.mark.parametrize("stand", STANDS)
def test_grey_values_tell_most_of_it_and_little_else(knee, surfaces, stated, stand):
    films = filmed(knee, stand.of(stated))
    found = onlooker().look(films, stated, surfaces).stand(time_limit=300.0)
    for number, true, least in zip(found, stand, LEAST, strict=True):
        assert abs(number - true) <= 0.5 * abs(true) + 0.5 * least


@pytest.mark.parametrize("stand", STANDS[1:])
def test_a_knee_is_most_like_films_that_stand_as_they_did(knee, surfaces, stated, stand):
    films = filmed(knee, stand.of(stated))

    def unlike(share: float) -> float:
        geometry = stand.times([share] * len(stand)).of(stated)
        return onlooker().look(films, geometry, surfaces).unlikeness

    right, half, wrong, too_much = (unlike(share) for share in (1.0, 0.5, 0.0, 2.0))
    assert 0.0 < right < half < wrong < 1.0
    assert right < too_much


def test_a_stand_turns_rolls_and_moves_source_and_detector_together(stated):
    stand = LateralStand(turn=np.radians(30.0), roll=np.radians(10.0), nearer=20.0, higher=5.0)
    changed = stand.of(stated)
    assert changed.frontal is stated.frontal
    before, after = stated.lateral, changed.lateral
    assert after.sid == pytest.approx(before.sid)
    assert np.degrees(np.arccos(after.normal @ before.normal)) == pytest.approx(30.0)
    assert np.cross(before.normal, after.normal)[2] > 0.0
    along = after.normal @ after.source
    assert along == pytest.approx(before.normal @ before.source + 20.0)
    assert after.source[2] == pytest.approx(before.source[2] + 5.0 * np.cos(np.radians(10.0)))
    across = after.column_step / np.linalg.norm(after.column_step)
    assert np.degrees(np.arcsin(abs(across[2]))) == pytest.approx(10.0)


def test_what_is_little_is_not_believed_whatever_its_sign():
    seen = LateralStand(turn=np.radians(-2.5), roll=np.radians(1.0), nearer=-25.0, higher=0.5)
    assert credible(seen) == LateralStand(turn=seen.turn, nearer=seen.nearer)
    assert credible(AS_STATED) == AS_STATED


def test_turn_and_distance_may_be_right_where_roll_and_height_are_not():
    both, roll = LateralStand(0.1, 0.05, 30.0, 2.0), LateralStand(roll=0.05)
    assert list(beliefs(both)) == [both, LateralStand(turn=0.1, nearer=30.0)]
    assert list(beliefs(roll)) == [roll]
    alone = LateralStand(turn=0.1)
    assert list(beliefs(alone)) == [alone]
    assert list(beliefs(AS_STATED)) == []


def test_without_time_nothing_is_found(knee, surfaces, stated):
    films = filmed(knee, STANDS[1].of(stated))
    assert onlooker().look(films, stated, surfaces).stand(time_limit=0.0) == AS_STATED


def test_what_is_no_bone_tells_nothing(knee, surfaces, stated):
    splinter = Surface(
        np.array([(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)], dtype=float),
        np.array([(0, 2, 1), (0, 1, 3), (0, 3, 2), (1, 2, 3)]),
    )
    films = filmed(knee, STANDS[1].of(stated))
    assert onlooker().look(films, stated, {**surfaces, Bone.FEMUR: splinter}) is None


@pytest.mark.parametrize("calls", [1, 2])
def test_it_may_be_cancelled_at_any_time(knee, surfaces, stated, calls):
    told = []

    def stop(stage: str, fraction: float) -> None:
        told.append(fraction)
        if len(told) == calls:
            raise Cancelled

    look = onlooker().look(filmed(knee, stated), stated, surfaces)
    with pytest.raises(Cancelled):
        look.stand(time_limit=300.0, progress=stop)
