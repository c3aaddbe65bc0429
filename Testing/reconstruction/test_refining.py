"""Refinement with the network that is shipped, on simulated films of a person held out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.knee import Knee, load_knees, rotation
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.evaluation.filming import Simulator, film_knee, filming_geometry
from XRayTo3DLib.evaluation.metrics import compare_bone
from XRayTo3DLib.evaluation.positioning import AS_STATED, Positioning
from XRayTo3DLib.imaging.geometry import ViewGeometry
from XRayTo3DLib.imaging.radiograph import Radiograph
from XRayTo3DLib.progress import Cancelled
from XRayTo3DLib.reconstruction import refining
from XRayTo3DLib.reconstruction.flexion_between import GROUPS, pivot
from XRayTo3DLib.reconstruction.flexion_seen import (
    flexion_on_lateral,
    flexion_seen,
    seems_bent,
)
from XRayTo3DLib.reconstruction.lateral_stand import LateralStand
from XRayTo3DLib.reconstruction.networks import NetworkSettings, ReconstructionNetwork
from XRayTo3DLib.reconstruction.reconstruct import reconstruct
from XRayTo3DLib.reconstruction.refining import Refined, refined, silhouette_detectors
from XRayTo3DLib.reconstruction.result import Reconstruction
from XRayTo3DLib.reconstruction.seeing import RightKnee, see
from XRayTo3DLib.reconstruction.surfaces import extract_surfaces
from XRayTo3DLib.reconstruction.weights import Model, load_model, save_weights
from XRayTo3DLib.resources import resource_path

CPU = torch.device("cpu")
FLEXION, PATELLA_FLEXION = 15.0, 9.0


@dataclass(frozen=True)
class Seen:
    """What the network makes of films, and what had been there."""

    truth: dict[Bone, Surface]
    films: tuple[Radiograph, Radiograph]
    model: Model
    knee: RightKnee
    probabilities: np.ndarray
    surfaces: dict[Bone, Surface]
    silhouettes: torch.Tensor

    def refined(self, **options) -> Refined:
        given = (self.probabilities, self.surfaces, self.silhouettes, CPU)
        return refined(self.model, self.knee, *given, **{"time_limit": 300.0, **options})

    def reconstructed(self, **options) -> Reconstruction:
        return reconstruct(*self.films, check_films=False, find_joint=False, **options)

    def dice(self, surfaces: dict[Bone, Surface]) -> np.ndarray:
        grid = self.model.network.settings.output_grid
        return np.array([compare_bone(surfaces[b], self.truth[b], grid).dice for b in Bone])


def seen(
    bones: Path, on_lateral, on_both=lambda knee: knee, positioning: Positioning = AS_STATED
) -> Seen:
    (knee,) = (knee for knee in load_knees(bones) if knee.name == "mc22_right")
    knee = on_both(knee)
    geometry = filming_geometry(np.random.default_rng(5))
    true = positioning.true_geometry(geometry)
    frontal, lateral = film_knee(knee, true, Simulator.OWN, seed=5, voxel=1.6, stated=geometry)
    if on_lateral is not None:
        _, lateral = film_knee(on_lateral(knee), geometry, Simulator.OWN, seed=5, voxel=1.6)
    model = load_model()
    settings = model.network.settings
    right = RightKnee.of(frontal, lateral, geometry, settings)
    probabilities, silhouettes = see(model, right, CPU)
    surfaces = extract_surfaces(probabilities, settings.output_grid)
    return Seen(
        knee.surfaces, (frontal, lateral), model, right, probabilities, surfaces, silhouettes
    )


def bent(knee: Knee) -> Knee:
    about = pivot(knee.surfaces[Bone.FEMUR])
    for angle, group in zip((FLEXION, PATELLA_FLEXION), GROUPS, strict=True):
        knee = knee.transformed(rotation("x", -angle, about), group)
    return knee


@pytest.fixture(scope="module")
def alike(shared_bones: Path) -> Seen:
    return seen(shared_bones, None)


@pytest.fixture(scope="module")
def bent_more(shared_bones: Path) -> Seen:
    return seen(shared_bones, bent)


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refinement has time enough on a busy computer."""
    monkeypatch.setattr(refining, "refined", partial(refined, time_limit=300.0))


def test_films_as_stated_are_left_alone(alike):
    result = alike.refined()
    assert result.fit.stopped == "no better"
    assert result.fit.after == result.fit.before < 0.8
    assert result.geometry is alike.knee.geometry
    assert result.probabilities is alike.probabilities and result.surfaces is alike.surfaces
    assert result.fit.flexion == 0.0 and result.warnings == ()


def test_flexion_between_films_is_found_and_undone(bent_more):
    films = bent_more
    result = films.refined()
    assert result.fit.flexion == pytest.approx(FLEXION, abs=4.0)
    assert result.fit.after < result.fit.before - 0.1
    assert result.geometry is films.knee.geometry
    before, after = films.dice(films.surfaces), films.dice(result.surfaces)
    assert after.mean() > before.mean() + 0.05
    assert after[Bone.FEMUR - 1] > before[Bone.FEMUR - 1] - 0.005
    assert result.probabilities.sum(axis=0) == pytest.approx(1.0, abs=1e-4)
    assert "more on the lateral film" in result.warnings[0]


@pytest.mark.usefixtures("unhurried")
def test_a_knee_bent_more_on_the_lateral_film_is_refined_unasked(bent_more):
    result = bent_more.reconstructed()
    assert result.fit.automatic and result.fit.corrected
    assert result.fit.flexion == pytest.approx(FLEXION, abs=4.0)
    assert seems_bent(result.fit.flexion_shown)
    (sentence,) = result.warnings
    assert "more on the lateral film" in sentence and "--no-refine" in sentence
    before, after = bent_more.dice(bent_more.surfaces), bent_more.dice(result.surfaces)
    assert after.mean() > before.mean() + 0.05


def test_a_knee_is_never_refined_against_the_users_word(bent_more):
    result = bent_more.reconstructed(refine=False)
    assert result.fit is None and result.warnings == ()
    assert "refining" not in result.seconds
    np.testing.assert_array_equal(result.probabilities, bent_more.probabilities)


def test_a_straight_knee_is_refined_only_if_somebody_asks(alike):
    result = alike.reconstructed()
    assert result.fit is None
    assert "refining" not in result.seconds
    asked = alike.reconstructed(refine=True)
    assert asked.fit is not None and not asked.fit.automatic
    assert not seems_bent(asked.fit.flexion_shown)


@pytest.mark.usefixtures("unhurried")
def test_a_knee_that_is_bent_alike_on_both_films_was_not_moved_between_them(shared_bones):
    films = seen(shared_bones, None, bent)
    result = films.reconstructed()
    assert result.fit.automatic and result.fit.flexion == 0.0
    before, after = films.dice(films.surfaces), films.dice(result.surfaces)
    assert after.mean() > before.mean() - 0.005


@pytest.mark.parametrize(
    ("astray", "gain"),
    [({"magnification": 0.05}, 0.01), ({"magnification": -0.05}, 0.02), ({"turn": -7.0}, 0.02)],
)
def test_a_lateral_that_stood_otherwise_is_found_and_seen_anew(shared_bones, astray, gain):
    films = seen(shared_bones, None, positioning=Positioning(**astray))
    result = films.refined()
    stated, found = films.knee.geometry, result.geometry
    assert found.frontal is stated.frontal
    true = Positioning(**astray).true_geometry(stated)
    for number in (magnification, direction):
        wrong, left = (
            abs(number(other.lateral) - number(true.lateral)) for other in (stated, found)
        )
        assert left < 0.7 * wrong + 0.02
    assert result.fit.after < result.fit.before
    before, after = films.dice(films.surfaces), films.dice(result.surfaces)
    assert after.mean() > before.mean() + gain
    (sentence,) = result.warnings
    assert "stood otherwise than stated" in sentence


def test_a_distance_is_put_right_though_a_roll_was_seen_wrongly(shared_bones, monkeypatch):
    films = seen(shared_bones, None, positioning=Positioning(magnification=-0.05))
    monkeypatch.setattr(refining, "credible", lambda stand: stand._replace(roll=np.radians(6.0)))
    result = films.refined()
    stated, found = films.knee.geometry.lateral, result.geometry.lateral
    assert magnification(found) == pytest.approx(0.95 * magnification(stated), rel=0.03)
    assert found.column_step[2] == pytest.approx(stated.column_step[2])
    assert result.fit.corrected and result.fit.after < result.fit.before


def test_a_stand_with_which_no_bone_is_seen_is_never_believed(alike, monkeypatch):
    beside = LateralStand(higher=400.0)
    monkeypatch.setattr(refining, "credible", lambda stand: beside)
    result = alike.refined()
    assert not result.fit.corrected and result.fit.stopped == "no better"
    assert result.surfaces is alike.surfaces and result.geometry is alike.knee.geometry


def magnification(view: ViewGeometry) -> float:
    return view.sid / view.sod


def direction(view: ViewGeometry) -> float:
    """Of the beam, rad about the leg."""
    return float(np.arctan2(view.normal[1], view.normal[0]))


def test_weights_without_silhouettes_are_refused_only_if_somebody_asks(tmp_path):
    settings = NetworkSettings(size=16, base=2, levels=2, film_base=2, film_features=2)
    weights = tmp_path / "plain.safetensors"
    save_weights(ReconstructionNetwork(settings), weights, {})
    films = [resource_path("SampleData", f"knee_{view}.dcm") for view in ("ap", "lateral")]
    options = {"weights": weights, "check_films": False, "find_joint": False}
    assert reconstruct(*films, **options).fit is None
    with pytest.raises(XRayTo3DError, match="plain estimate no silhouettes"):
        reconstruct(*films, refine=True, **options)


def test_a_bent_knee_is_seen_bent_and_a_rolled_film_is_not(alike, bent_more, shared_bones):
    def angle(films: Seen) -> float:
        _, detector = silhouette_detectors(films.knee, films.silhouettes)
        spacing = detector.spacing[0] * detector.sod / detector.sid
        found = flexion_on_lateral(films.silhouettes, films.model.network.settings)
        assert found == pytest.approx(flexion_seen(films.silhouettes[1], spacing), abs=0.01)
        return found

    straight, moved = angle(alike), angle(bent_more)
    assert seems_bent(moved) and not seems_bent(straight)
    assert moved - straight == pytest.approx(FLEXION, abs=3.0)
    rolled = seen(shared_bones, lambda knee: knee.transformed(rotation("x", 10.0)))
    assert angle(rolled) == pytest.approx(straight, abs=1.0)


def test_too_little_shaft_shows_no_flexion():
    assert flexion_seen(torch.zeros(4, 128, 128), 1.36) is None
    assert flexion_on_lateral(torch.zeros(2, 4, 128, 128), NetworkSettings()) is None
    assert flexion_on_lateral(torch.zeros(2, 0, 256, 256), NetworkSettings()) is None
    assert not seems_bent(None)


def test_without_time_nothing_changes(alike):
    result = alike.refined(time_limit=0.0)
    assert result.fit.stopped == "time limit"
    assert result.surfaces is alike.surfaces


def test_it_tells_and_may_be_cancelled(alike):
    told = []

    def cancel(stage: str, fraction: float) -> None:
        told.append(fraction)
        if len(told) == 4:
            raise Cancelled

    with pytest.raises(Cancelled):
        alike.refined(progress=cancel)
    assert told == sorted(told) and 0.0 <= told[0] and told[-1] <= 1.0
