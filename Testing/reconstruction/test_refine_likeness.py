"""Slope and curvature of a likeness against differences of it, on films of the model itself."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.intensity_model import KneeModel
from XRayTo3DLib.imaging.geometry import BiplanarGeometry, view_geometry
from XRayTo3DLib.imaging.radiograph import Side, View
from XRayTo3DLib.reconstruction.lateral_stand import AS_STATED, STAND_NUMBERS, LateralStand
from XRayTo3DLib.reconstruction.refine_likeness import Likeness
from XRayTo3DLib.reconstruction.refine_stand import MODEL
from XRayTo3DLib.reconstruction.registration_bone import DeformingBone
from XRayTo3DLib.reconstruction.registration_film import Resolution

DEVIATIONS = LateralStand(turn=0.05, roll=0.05, nearer=30.0, higher=5.0)
PRIOR = 5e-4


@pytest.fixture(scope="module")
def bones() -> list[DeformingBone]:
    models = KneeModel.load(MODEL).bones
    return [DeformingBone(models[bone], rough=True, reach=60.0) for bone in Bone]


@pytest.fixture(scope="module")
def likeness(bones: list[DeformingBone]) -> Iterator[Likeness]:
    stand = {"sid": 1150.0, "sod": 1000.0, "spacing": (0.2, 0.2), "shape": (600, 600)}
    geometry = BiplanarGeometry(
        view_geometry(View.AP, Side.RIGHT, **stand),
        view_geometry(View.LATERAL, Side.RIGHT, **stand),
    )
    resolution = Resolution(spacing=3.0, blur=1.5, background=10.0)
    start = {bone: np.eye(4) for bone in Bone}
    films = []
    for view in geometry.views:
        detector = view.resampled(3.0, 40)
        seen = [
            bone.radiograph(
                bone.volume_near(torch.zeros(bone.shape_count)), torch.zeros(7), np.eye(4), detector
            )
            for bone in bones
        ]
        films.append((resolution.band(sum(seen)), detector))
    with ThreadPoolExecutor(2) as threads:
        yield Likeness(bones, films, start, resolution, DEVIATIONS, PRIOR, threads)


@pytest.fixture(scope="module")
def numbers(likeness: Likeness, bones: list[DeformingBone]) -> np.ndarray:
    """Somewhere beside the truth."""
    rng = np.random.default_rng(0)
    first = likeness.first([np.zeros(bone.shape_count) for bone in bones])
    return first + 0.2 * rng.normal(size=len(first))


def test_what_the_films_show_costs_nothing(likeness, bones):
    truth = likeness.first([np.zeros(bone.shape_count) for bone in bones])
    cost, slope = likeness.cost_and_slope(truth)
    assert cost == pytest.approx(0.0, abs=1e-4)
    assert np.abs(slope).max() < 1e-3
    assert likeness.stand(truth) == AS_STATED


def test_shapes_and_stand_are_where_they_were_put(likeness, bones):
    shapes = [np.full(bone.shape_count, float(bone.bone)) for bone in bones]
    numbers = likeness.first(shapes)
    assert sum(map(np.count_nonzero, shapes)) == np.count_nonzero(numbers)
    numbers[-STAND_NUMBERS:] = (1.0, -1.0, 0.5, 2.0)
    assert likeness.stand(numbers) == pytest.approx((0.05, -0.05, 15.0, 10.0))


@pytest.mark.parametrize("seed", range(4))
def test_slope_is_what_the_cost_changes_by(likeness, numbers, seed):
    _, slope = likeness.cost_and_slope(numbers)
    step = np.random.default_rng(seed).normal(size=len(numbers))
    step *= 0.02 / np.linalg.norm(step)
    ahead, behind = (likeness.cost_and_slope(numbers + sign * step)[0] for sign in (1, -1))
    assert ahead - behind == pytest.approx(2.0 * slope @ step, abs=5e-5)
    assert np.abs(slope).max() > 0.01


def test_each_number_of_the_stand_has_its_slope(likeness, numbers):
    _, slope = likeness.cost_and_slope(numbers)
    for step in 0.02 * np.eye(len(numbers))[-STAND_NUMBERS:]:
        ahead, behind = (likeness.cost_and_slope(numbers + sign * step)[0] for sign in (1, -1))
        assert ahead - behind == pytest.approx(2.0 * slope @ step, rel=0.1, abs=3e-5)


def test_at_the_truth_the_cost_curves_as_told(likeness, bones):
    truth = likeness.first([np.zeros(bone.shape_count) for bone in bones])
    curvature = likeness.curvature(truth)
    np.testing.assert_allclose(curvature, curvature.T, atol=1e-6)
    assert np.linalg.eigvalsh(curvature).min() > 0.0
    rng = np.random.default_rng(1)
    for _ in range(4):
        step = rng.normal(size=len(truth))
        step *= 0.1 / np.linalg.norm(step)
        risen = likeness.cost_and_slope(truth + step)[0] - likeness.cost_and_slope(truth)[0]
        assert risen == pytest.approx(0.5 * step @ curvature @ step, rel=0.3)
