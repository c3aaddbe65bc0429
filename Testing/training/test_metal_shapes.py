"""Solids of metal against their volumes, implants against what they are."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.training.metal_shapes import KINDS, Site, implant, prosthesis
from XRayTo3DLib.training.metal_solids import Sheet

STEP = 0.68
SHEET = Sheet.of((256, 256), STEP)
PIXEL = STEP**2


@pytest.fixture(scope="module")
def bones() -> np.ndarray:
    """Silhouettes of bars that stand for the bones; the joint is in the middle."""
    down, right = SHEET.along, SHEET.across
    masks = np.zeros((4, 256, 256), dtype=np.float32)
    masks[Bone.FEMUR - 1] = (down < -3) & (np.abs(right) < np.where(down > -45, 38, 18))
    masks[Bone.TIBIA - 1] = (down > 3) & (np.abs(right) < np.where(down < 30, 36, 15))
    masks[Bone.PATELLA - 1] = np.hypot(down + 30, right - 5) < 20
    masks[Bone.FIBULA - 1] = (down > 15) & (np.abs(right - 32) < 6)
    return masks


@pytest.mark.parametrize("turn", [0.0, 0.4, np.pi / 2, 2.5])
@pytest.mark.parametrize("radius", [0.4, 1.0, 5.0])
def test_a_rod_has_its_volume(turn: float, radius: float) -> None:
    thick = SHEET.at((7.3, -4.1), turn).rod(50.0, radius)
    assert thick.sum() * PIXEL == pytest.approx(np.pi * radius**2 * 50.0, rel=0.03)
    if radius > 4 * STEP:
        assert thick.max() == pytest.approx(2 * radius, rel=0.05)


def test_a_bore_is_left_out() -> None:
    full, bored = SHEET.rod(40.0, 4.0), SHEET.rod(40.0, 4.0, 0.5)
    assert bored.sum() == pytest.approx(0.75 * full.sum(), rel=0.01)


@pytest.mark.parametrize("turn", [0.0, 0.7])
def test_outlines_have_their_areas(turn: float) -> None:
    lying = SHEET.at((-11.0, 6.0), turn)
    assert lying.box(40.0, 12.0).sum() * PIXEL == pytest.approx(480.0, rel=0.02)
    rounded = 480.0 - (4.0 - np.pi) * 3.0**2
    assert lying.box(40.0, 12.0, 3.0).sum() * PIXEL == pytest.approx(rounded, rel=0.02)
    assert lying.ellipse(30.0, 14.0).sum() * PIXEL == pytest.approx(np.pi * 15 * 7, rel=0.02)


def test_a_wire_follows_its_points() -> None:
    points = np.array([[-30.0, -20.0], [10.0, -20.0], [10.0, 25.0]])
    thick = SHEET.wire(points, 1.0)
    length = sum(float(np.hypot(*(b - a))) for a, b in pairwise(points))
    assert thick.sum() * PIXEL == pytest.approx(np.pi * length, rel=0.05)
    away = np.minimum(
        np.hypot(SHEET.across + 20, np.maximum(np.abs(SHEET.along + 10) - 20, 0)),
        np.hypot(SHEET.along - 10, np.maximum(np.abs(SHEET.across - 2.5) - 22.5, 0)),
    )
    assert away[thick > 0].max() < 1.0 + 2 * STEP


@pytest.mark.parametrize("name", KINDS)
def test_implants_are_metal_on_their_bone(bones: np.ndarray, name: str) -> None:
    draw, _ = KINDS[name]
    touching = 0
    for seed in range(30):
        rng = np.random.default_rng([seed, 4])
        site = Site.random(SHEET, bones, rng)
        assert site is not None
        assert site.bone[np.unravel_index(_nearest(site.place), site.bone.shape)]
        thick = draw(site, rng)
        assert thick.shape == (256, 256)
        assert np.isfinite(thick).all()
        assert thick.min() >= -1e-4
        assert 0 < (thick > 0.5).sum() * PIXEL < 9000
        touching += bool(thick[bones.max(axis=0) > 0.5].max() > 0.3)
    assert touching >= 29


def _nearest(place: tuple[float, float]) -> int:
    return int(np.hypot(SHEET.along - place[0], SHEET.across - place[1]).argmin())


@pytest.mark.parametrize("lateral", [False, True])
def test_a_prosthesis_lies_about_the_joint(bones: np.ndarray, lateral: bool) -> None:
    for seed in range(20):
        thick = prosthesis(SHEET, bones, lateral, np.random.default_rng(seed))
        assert thick is not None
        there = thick > 2.0
        assert 300 < there.sum() * PIXEL < 8000
        assert np.abs(SHEET.along[there]).max() < 110
        assert there[SHEET.along < -5].any()
        assert there[SHEET.along > 0].any()


def test_without_bones_there_is_no_implant() -> None:
    nothing = np.zeros((4, 256, 256), dtype=np.float32)
    for seed in range(10):
        assert implant(SHEET, nothing, False, np.random.default_rng(seed)) is None


def test_the_same_seed_draws_the_same(bones: np.ndarray) -> None:
    first, second = (implant(SHEET, bones, True, np.random.default_rng(8)) for _ in range(2))
    assert first is not None
    assert second is not None
    assert first[0] == second[0]
    np.testing.assert_array_equal(first[1], second[1])
