"""The stated deviation of a surface, against one that is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from XRayTo3DLib.anatomy.bones import CLASS_COUNT, Bone
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.reconstruction.surfaces import extract_surfaces
from XRayTo3DLib.reconstruction.uncertainty import (
    CALIBRATION,
    expected_error,
    slope_deviation,
    surface_deviations,
)

GRID = VolumeGrid.cube(48, 57.6)


def ball(deviation: np.ndarray | float, radius: float = 18.0) -> np.ndarray:
    """Probabilities of a ball whose surface is known to a normal ``deviation``, mm."""
    x, y, z = GRID.axes()
    depth = radius - np.sqrt(x**2 + y[:, None] ** 2 + z[:, None, None] ** 2)
    probabilities = np.zeros((CLASS_COUNT, *GRID.shape), dtype=np.float32)
    probabilities[Bone.FEMUR] = norm.cdf(depth / deviation)
    probabilities[0] = 1.0 - probabilities[Bone.FEMUR]
    return probabilities


@pytest.mark.parametrize("deviation", [0.8, 1.5, 3.0])
def test_a_normal_spread_is_read_off_the_slope(deviation: float) -> None:
    probabilities = ball(deviation)
    surface = extract_surfaces(probabilities, GRID)[Bone.FEMUR]
    stated = slope_deviation(surface, Bone.FEMUR, probabilities, GRID)
    # The log-odds of Φ steepen away from the surface: over 1.5 mm the slope is a little high.
    assert np.median(stated) == pytest.approx(deviation, rel=0.25)
    assert stated.std() < 0.1 * deviation


def test_it_is_larger_where_less_is_known() -> None:
    x = GRID.axes()[0]
    probabilities = ball(1.0 + 1.5 * (x > 0))
    surface = extract_surfaces(probabilities, GRID)[Bone.FEMUR]
    stated = slope_deviation(surface, Bone.FEMUR, probabilities, GRID)
    right = surface.vertices[:, 0] > 3
    left = surface.vertices[:, 0] < -3
    assert stated[right].min() > 1.5 * stated[left].max()


def test_the_deviation_is_calibrated_and_its_mean_error_that_of_a_normal_one() -> None:
    probabilities = ball(1.5)
    surfaces = extract_surfaces(probabilities, GRID)
    stated = surface_deviations(surfaces, probabilities, GRID)[Bone.FEMUR]
    slope = slope_deviation(surfaces[Bone.FEMUR], Bone.FEMUR, probabilities, GRID)
    assert np.allclose(stated, CALIBRATION[Bone.FEMUR] * slope)
    sample = np.random.default_rng(0).normal(0.0, stated.mean(), 200_000)
    assert expected_error(stated) == pytest.approx(np.abs(sample).mean(), rel=0.02)
