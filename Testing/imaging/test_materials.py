"""Attenuation against xraylib, which has cross-sections of its own."""

from __future__ import annotations

import numpy as np
import pytest

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.materials import (
    Material,
    attenuation_matrix,
    effective_attenuation,
    from_hounsfield,
    linear_attenuation,
    mass_attenuation,
    to_hounsfield,
)

# Mass fractions by atomic number: ICRU Report 44 (1989), for spongiosa ICRU Report 46 (1992).
COMPOSITIONS = {
    Material.CORTEX: {
        1: 0.034, 6: 0.155, 7: 0.042, 8: 0.435, 11: 0.001, 12: 0.002, 15: 0.103, 16: 0.003,
        20: 0.225,
    },
    Material.SPONGIOSA: {
        1: 0.085, 6: 0.404, 7: 0.028, 8: 0.367, 11: 0.001, 12: 0.001, 15: 0.034, 16: 0.002,
        17: 0.002, 19: 0.001, 20: 0.074, 26: 0.001,
    },
    Material.MUSCLE: {
        1: 0.102, 6: 0.143, 7: 0.034, 8: 0.710, 11: 0.001, 15: 0.002, 16: 0.003, 17: 0.001,
        19: 0.004,
    },
    Material.FAT: {1: 0.114, 6: 0.598, 7: 0.007, 8: 0.278, 11: 0.001, 16: 0.001, 17: 0.001},
}  # fmt: skip
WATER = {1: 0.111898, 8: 0.888102}


def oracle(composition: dict[int, float], energy: float) -> float:
    """Mass attenuation, cm²/g, by the mixture rule."""
    xraylib = pytest.importorskip("xraylib", reason="pip install xraylib")
    return sum(share * xraylib.CS_Total(z, energy) for z, share in composition.items())


@pytest.mark.parametrize(
    ("material", "tolerance"),
    [
        (Material.CORTEX, 0.005),
        # Made of cortical bone, muscle and fat, not of its elements.
        (Material.SPONGIOSA, 0.02),
        (Material.MUSCLE, 0.005),
        (Material.FAT, 0.005),
    ],
)
def test_tables_and_what_lies_between_agree_with_xraylib(
    material: Material, tolerance: float
) -> None:
    energies = np.array([15, 17.5, 20, 24, 30, 35, 40, 45, 50, 55, 60, 70, 80, 90, 100, 120, 150.0])
    expected = [oracle(COMPOSITIONS[material], energy) for energy in energies]
    np.testing.assert_allclose(mass_attenuation(material, energies), expected, rtol=tolerance)


@pytest.mark.parametrize(
    ("material", "low", "high"),
    [
        (Material.CORTEX, 1400, 2300),
        (Material.SPONGIOSA, 200, 500),
        (Material.MUSCLE, 30, 70),
        (Material.FAT, -120, -60),
    ],
)
def test_hounsfield_units_are_those_of_a_knee_in_ct(
    material: Material, low: float, high: float
) -> None:
    assert low < to_hounsfield(linear_attenuation(material, 70.0), 70.0) < high


def test_hounsfield_zero_is_water() -> None:
    assert from_hounsfield(0.0, 70.0) == pytest.approx(0.1 * oracle(WATER, 70.0), rel=0.01)


def test_hounsfield_there_and_back_and_air_stays_empty() -> None:
    units = np.array([-900.0, 0.0, 55.0, 1800.0])
    np.testing.assert_allclose(to_hounsfield(from_hounsfield(units, 65.0), 65.0), units)
    assert from_hounsfield(-1024.0, 65.0) == 0.0


def test_effective_attenuation_is_the_thin_limit() -> None:
    energies, weights = np.array([30.0, 50.0, 70.0]), np.array([1.0, 2.0, 1.0])
    thin = 1e-4
    through = weights @ np.exp(-thin * linear_attenuation(Material.CORTEX, energies)) / 4
    expected = -np.log(through) / thin
    assert effective_attenuation(Material.CORTEX, energies, weights) == pytest.approx(
        expected, rel=1e-3
    )


def test_matrix_has_a_column_per_material() -> None:
    matrix = attenuation_matrix([40.0, 60.0])
    assert matrix.shape == (2, 4)
    assert matrix[1, Material.FAT] == linear_attenuation(Material.FAT, 60.0)
    # Fat attenuates least, cortical bone most, and all less at the higher energy.
    assert np.all(np.diff(matrix[:, [3, 2, 1, 0]], axis=1) > 0)
    assert np.all(matrix[1] < matrix[0])


@pytest.mark.parametrize("energy", [14.9, 151.0, float("nan")])
def test_energies_outside_the_table_are_refused(energy: float) -> None:
    with pytest.raises(XRayTo3DError, match="15 to 150 keV"):
        linear_attenuation(Material.MUSCLE, energy)
