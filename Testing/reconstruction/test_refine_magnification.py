"""The magnification that costs at three others tell, on parabolas, and the view that has it."""

from __future__ import annotations

import numpy as np
import pytest

from XRayTo3DLib.imaging.geometry import BiplanarGeometry, view_geometry
from XRayTo3DLib.imaging.radiograph import Side, View
from XRayTo3DLib.reconstruction.refine_magnification import SPREAD, likeliest, magnified
from XRayTo3DLib.reconstruction.refine_motion import FILM_MAGNIFICATION


def costs(curvature: float, minimum: float) -> list[float]:
    """Of a parabola, at the three magnifications that are looked at."""
    return [7.0 + 0.5 * curvature * (share - minimum) ** 2 for share in (-SPREAD, 0.0, SPREAD)]


@pytest.mark.parametrize("minimum", [-0.03, 0.0, 0.02])
def test_the_minimum_is_found_and_the_prior_draws_it_towards_nothing(minimum: float) -> None:
    curvature = 1e5
    share, gain = likeliest(costs(curvature, minimum))
    kept = curvature / (curvature + 2.0 / FILM_MAGNIFICATION**2)
    assert share == pytest.approx(kept * minimum)
    total = 0.5 * curvature * (share - minimum) ** 2 + (share / FILM_MAGNIFICATION) ** 2
    assert gain == pytest.approx(0.5 * curvature * minimum**2 - total, abs=1e-9)


def test_evidence_that_is_worth_as_much_as_the_prior_is_believed_by_half() -> None:
    share, _ = likeliest(costs(2.0 / FILM_MAGNIFICATION**2, 0.04))
    assert share == pytest.approx(0.02)


def test_nothing_is_found_beyond_what_was_looked_at() -> None:
    share, gain = likeliest([100.0, 50.0, 0.0])
    assert share == SPREAD and gain > 0.0


def test_costs_without_a_minimum_tell_nothing() -> None:
    assert likeliest([0.0, 50.0, 1.0]) == (0.0, 0.0)


@pytest.mark.parametrize("share", [-0.05, 0.0, 0.04])
def test_only_the_lateral_is_magnified_its_source_as_far_from_the_film_as_before(
    share: float,
) -> None:
    views = (
        view_geometry(view, Side.RIGHT, sid=1150.0, sod=1000.0, spacing=(0.2, 0.2), shape=(64, 48))
        for view in (View.AP, View.LATERAL)
    )
    stated = BiplanarGeometry(*views)
    changed = magnified(stated, share)
    assert changed.frontal is stated.frontal
    before, after = stated.lateral, changed.lateral
    assert after.sid == pytest.approx(before.sid)
    assert after.sod == pytest.approx(before.sod / (1.0 + share))
    np.testing.assert_allclose(after.project(np.zeros(3)), before.project(np.zeros(3)), atol=1e-9)
