"""The curve between greys and line integrals."""

from __future__ import annotations

import numpy as np
import pytest

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.tomography.tone_fit import fit_tone, isotonic

optimize = pytest.importorskip("scipy.optimize")


@pytest.mark.parametrize("seed", range(5))
def test_isotonic_regression_is_that_of_scipy(seed: int):
    if not hasattr(optimize, "isotonic_regression"):
        pytest.skip("SciPy 1.12 brings isotonic_regression")
    rng = np.random.default_rng(seed)
    values = np.cumsum(rng.normal(0.1, 1.0, 60))
    weights = rng.uniform(0.1, 3.0, 60)
    expected = optimize.isotonic_regression(values, weights=weights).x
    np.testing.assert_allclose(isotonic(values, weights), expected, atol=1e-12)


def test_a_known_tone_curve_is_found():
    rng = np.random.default_rng(0)
    integrals = rng.uniform(0.0, 4.0, 20_000)
    greys = np.tanh(integrals) ** 0.7
    curve = fit_tone(greys, integrals + rng.normal(0.0, 0.2, integrals.shape))
    inner = (integrals > 0.3) & (integrals < 2.5)
    error = np.abs(curve.integral_of(greys) - integrals)[inner]
    assert error.mean() < 0.05
    back = curve.grey_of(curve.integral_of(greys))
    assert np.abs(back - greys)[inner].max() < 1e-3


def test_a_marker_does_not_bend_the_curve():
    rng = np.random.default_rng(0)
    integrals = rng.uniform(0.0, 4.0, 20_000)
    greys = integrals / 4.0
    marked = greys.copy()
    marked[:100] = 0.9
    curve = fit_tone(marked, integrals)
    assert abs(float(curve.integral_of(np.array([0.9]))[0]) - 3.6) < 0.1


def test_a_blank_film_is_refused():
    with pytest.raises(XRayTo3DError, match="one grey"):
        fit_tone(np.full(100, 0.5), np.linspace(0, 1, 100))
