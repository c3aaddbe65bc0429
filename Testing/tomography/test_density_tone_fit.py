"""The curve between greys and line integrals."""

from __future__ import annotations

import numpy as np
import pytest

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.tomography.tone_fit import fit_tone

CURVES = {
    "exponential": lambda p: 1.0 - np.exp(-0.6 * p),
    "straight": lambda p: 0.1 + 0.2 * p,
    "power": lambda p: (p / 4.0) ** 1.5,
}


@pytest.mark.parametrize("curve", CURVES.values(), ids=CURVES)
def test_a_known_tone_curve_is_found(curve):
    rng = np.random.default_rng(0)
    integrals = rng.uniform(0.0, 4.0, 20_000)
    greys = curve(integrals)
    found = fit_tone(greys, integrals + rng.normal(0.0, 0.2, integrals.shape))
    inner = (integrals > 0.4) & (integrals < 3.6)
    assert np.abs(found.integral_of(greys) - integrals)[inner].mean() < 0.06
    back = found.grey_of(found.integral_of(greys))
    np.testing.assert_allclose(back[inner], greys[inner], atol=2e-3)


def test_the_curve_rises_where_the_estimate_tells_nothing():
    rng = np.random.default_rng(0)
    greys = rng.uniform(0.0, 1.0, 5_000)
    integrals = np.where(greys < 0.5, 1.0, 3.0) + rng.normal(0.0, 0.05, greys.shape)
    found = fit_tone(greys, integrals)
    assert np.diff(found.integrals).min() > 0.0
    assert abs(float(found.integral_of(np.array([0.25]))[0]) - 1.0) < 0.3
    assert abs(float(found.integral_of(np.array([0.75]))[0]) - 3.0) < 0.3


def test_a_marker_does_not_bend_the_curve():
    rng = np.random.default_rng(0)
    integrals = rng.uniform(0.0, 4.0, 20_000)
    greys = integrals / 4.0
    marked = greys.copy()
    marked[:60] = 0.9
    difference = fit_tone(marked, integrals).integrals - fit_tone(greys, integrals).integrals
    assert np.abs(difference).max() < 0.05


def test_air_of_one_grey_is_one_group():
    rng = np.random.default_rng(0)
    integrals = np.concatenate([np.zeros(30_000), rng.uniform(0.0, 4.0, 10_000)])
    found = fit_tone(integrals / 4.0, integrals)
    np.testing.assert_allclose(found.integrals, 4.0 * found.greys, atol=0.12)


def test_a_blank_film_is_refused():
    with pytest.raises(XRayTo3DError, match="one grey"):
        fit_tone(np.full(100, 0.5), np.linspace(0, 1, 100))
