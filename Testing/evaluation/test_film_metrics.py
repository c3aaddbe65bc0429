"""Outlines compared within a region: half discs against whole ones."""

from __future__ import annotations

import numpy as np
import pytest

from XRayTo3DLib.evaluation.film_metrics import contour_distance_2d

ROWS, COLUMNS = np.indices((200, 200))


def disc(radius: float, row: float = 100.0) -> np.ndarray:
    return np.hypot(ROWS - row, COLUMNS - 100) < radius


LEFT = COLUMNS < 90


@pytest.mark.parametrize("step", [0.5, 2.0])
def test_a_mask_cut_off_outside_the_region_is_as_good_as_whole(step: float) -> None:
    halved = disc(60) & (COLUMNS < 100)
    spacing = (step, step)
    assert contour_distance_2d(halved, disc(50), spacing) > 12 * step
    within = contour_distance_2d(halved, disc(50), spacing, LEFT)
    assert within == pytest.approx(10 * step, rel=0.01)


def test_a_region_of_everything_changes_nothing() -> None:
    everything = np.ones(ROWS.shape, dtype=bool)
    pair = disc(60), disc(50, row=104)
    assert contour_distance_2d(*pair, (1, 1), everything) == contour_distance_2d(*pair, (1, 1))


def test_outlines_that_are_not_in_the_region() -> None:
    beyond = COLUMNS > 180
    assert contour_distance_2d(disc(60), disc(50), (1, 1), beyond) == 0.0
    assert contour_distance_2d(disc(90), disc(50), (1, 1), beyond) == np.inf
