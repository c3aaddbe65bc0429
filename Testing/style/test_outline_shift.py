"""How far outlines moved, on discs whose edges are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import erf

from XRayTo3DLib.style.outline_shift import OutlineShift, outline_shifts

CENTRE, RADIUS, SPACING = (63.0, 64.0), 30.0, 0.68


def disc(
    centre: tuple[float, float] = CENTRE, radius: float = RADIUS, bright: float = 0.6
) -> np.ndarray:
    """A disc with a blurred edge, which lies where it is half as bright."""
    rows, columns = np.mgrid[:128, :128]
    distance = np.hypot(rows - centre[0], columns - centre[1])
    return 0.2 + bright * 0.5 * (1 - erf((distance - radius) / 1.5))


def circle(radius: float = RADIUS) -> np.ndarray:
    """Closed, the disc on the right-hand side as the picture is seen."""
    angle = np.linspace(0, 2 * np.pi, 400)
    points = np.stack(
        [CENTRE[0] + radius * np.sin(angle), CENTRE[1] + radius * np.cos(angle)], axis=1
    )
    points[-1] = points[0]
    return points


@pytest.mark.parametrize("change", [-1.5, -0.5, -0.1, 0.0, 0.3, 1.0])
def test_a_smaller_disc_moved_its_edge_inwards(change: float) -> None:
    shifts = outline_shifts(disc(), disc(radius=RADIUS - change), [circle()], SPACING)
    assert len(shifts) > 150
    assert np.abs(shifts - change * SPACING).max() < 0.05 * SPACING
    found = OutlineShift.of(shifts)
    assert found.bias == pytest.approx(change * SPACING, abs=0.02)
    assert found.mean == pytest.approx(abs(change) * SPACING, abs=0.02)
    assert found.lost == 0


def test_a_disc_moved_aside_shows_the_cosine_of_the_normal() -> None:
    shifts = outline_shifts(disc(), disc((CENTRE[0], CENTRE[1] + 0.5)), [circle()], SPACING)
    # The mean of |cos| around a circle.
    assert OutlineShift.of(shifts).mean == pytest.approx(0.5 * SPACING * 2 / np.pi, rel=0.05)
    assert OutlineShift.of(shifts).bias == pytest.approx(0.0, abs=0.01)
    assert OutlineShift.of(shifts).p95 == pytest.approx(0.5 * SPACING, rel=0.05)


def test_tone_moves_nothing_and_the_outline_need_not_lie_on_the_edge() -> None:
    shifts = outline_shifts(disc(), 0.5 * disc() + 0.1, [circle(RADIUS + 1.2)], SPACING)
    assert np.abs(shifts).max() < 1e-6


@pytest.mark.parametrize("after", [np.full((128, 128), 0.4), 1.0 - disc()])
def test_an_edge_that_is_gone_or_turned_over_is_lost(after: np.ndarray) -> None:
    found = OutlineShift.of(outline_shifts(disc(), after, [circle()], SPACING))
    assert found.points > 150
    assert found.lost == 1.0
    assert np.isnan(found.mean)


def test_where_the_film_shows_no_edge_nothing_is_measured() -> None:
    assert len(outline_shifts(disc(bright=0.005), disc(), [circle()], SPACING)) == 0
    assert len(outline_shifts(disc(), disc(), [], SPACING)) == 0
    beyond = circle() + 120.0
    assert len(outline_shifts(disc(), disc(), [beyond], SPACING)) == 0
    assert np.isnan(OutlineShift.of(np.zeros(0)).lost)
