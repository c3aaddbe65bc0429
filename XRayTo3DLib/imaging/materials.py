"""How strongly the tissues of a knee attenuate X-rays."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike
from scipy.interpolate import CubicSpline

from XRayTo3DLib.errors import XRayTo3DError

ENERGIES_KEV = (15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 80.0, 100.0, 150.0)
"""Photon energies of the tables below, keV."""

# Mass attenuation coefficients with coherent scattering, cm²/g: J. H. Hubbell and S. M. Seltzer,
# Tables of X-Ray Mass Attenuation Coefficients, NIST Standard Reference Database 126 (2004);
# tissue compositions of ICRU Report 44 (1989).
_CORTICAL_BONE = (9.032, 4.001, 1.331, 0.6655, 0.4242, 0.3148, 0.2229, 0.1855, 0.1480)
_SKELETAL_MUSCLE = (1.693, 0.8205, 0.3783, 0.2685, 0.2262, 0.2048, 0.1823, 0.1693, 0.1492)
_ADIPOSE = (1.083, 0.5677, 0.3063, 0.2396, 0.2123, 0.1974, 0.1800, 0.1688, 0.1500)
_WATER = (1.673, 0.8096, 0.3756, 0.2683, 0.2269, 0.2059, 0.1837, 0.1707, 0.1505)

# The spongiosa of ICRU Report 46 (1992; 7.4 % calcium, 1.18 g/cm³) by the mixture rule: cortical
# bone to the same calcium, and marrow, half red and half yellow, whose carbon and oxygen lie at
# one part of muscle to four of fat.
_SPONGIOSA_BONE = 0.074 / 0.225
_MARROW_MUSCLE = 0.2


def _spongiosa() -> tuple[float, ...]:
    marrow = _MARROW_MUSCLE * np.array(_SKELETAL_MUSCLE) + (1 - _MARROW_MUSCLE) * np.array(_ADIPOSE)
    mixture = _SPONGIOSA_BONE * np.array(_CORTICAL_BONE) + (1 - _SPONGIOSA_BONE) * marrow
    return tuple(mixture.tolist())


class Material(IntEnum):
    """What a ray crosses; the value is the index of the material in a stack of path images."""

    CORTEX = 0
    SPONGIOSA = 1
    MUSCLE = 2
    FAT = 3

    @property
    def density(self) -> float:
        """Nominal density, g/cm³ (ICRU Reports 44 and 46)."""
        return _DENSITIES[self]


_DENSITIES = {
    Material.CORTEX: 1.92,
    Material.SPONGIOSA: 1.18,
    Material.MUSCLE: 1.05,
    Material.FAT: 0.95,
}
_TABLES = {
    Material.CORTEX: _CORTICAL_BONE,
    Material.SPONGIOSA: _spongiosa(),
    Material.MUSCLE: _SKELETAL_MUSCLE,
    Material.FAT: _ADIPOSE,
}
_WATER_DENSITY = 1.0
_PER_CM_TO_PER_MM = 0.1


def smooth_log_log(energy_kev: ArrayLike, values: tuple[float, ...]) -> np.ndarray:
    """Values of a table without absorption edges at other energies.

    A cubic spline through the logarithms: within 0.3 % of xraylib for every tissue here, where
    straight log-log lines are up to 4.5 % off.

    Args:
        energy_kev: keV, any shape, within 15–150.
        values: positive values at `ENERGIES_KEV`.

    Returns:
        float64 array in the shape of ``energy_kev``.

    Raises:
        XRayTo3DError: an energy outside the table.
    """
    energy = np.asarray(energy_kev, dtype=float)
    lowest, highest = ENERGIES_KEV[0], ENERGIES_KEV[-1]
    # Asked this way round, NaN is refused too.
    if not np.all((energy >= lowest) & (energy <= highest)):
        raise XRayTo3DError(
            f"Attenuation is tabulated from {lowest:g} to {highest:g} keV, not at "
            f"{np.array2string(energy, threshold=4)} keV; choose an energy in between."
        )
    return np.exp(CubicSpline(np.log(ENERGIES_KEV), np.log(values))(np.log(energy)))


def mass_attenuation(material: Material, energy_kev: ArrayLike) -> np.ndarray:
    """Mass attenuation coefficient μ/ρ, cm²/g, in the shape of ``energy_kev`` (15–150 keV)."""
    return smooth_log_log(energy_kev, _TABLES[Material(material)])


def linear_attenuation(material: Material, energy_kev: ArrayLike) -> np.ndarray:
    """Linear attenuation coefficient μ at nominal density, 1/mm.

    Args:
        material: which tissue.
        energy_kev: photon energies, keV, 15–150, any shape.

    Returns:
        float64 array in the shape of ``energy_kev``.

    Raises:
        XRayTo3DError: an energy outside 15–150 keV.
    """
    material = Material(material)
    return _PER_CM_TO_PER_MM * material.density * mass_attenuation(material, energy_kev)


def effective_attenuation(material: Material, energies_kev: ArrayLike, weights: ArrayLike) -> float:
    """Linear attenuation of a thin layer in a polychromatic beam, 1/mm.

    The limit of ``-ln(transmission) / thickness`` for thickness → 0; thick layers attenuate less
    because the beam hardens.

    Args:
        material: which tissue.
        energies_kev: photon energies, keV, ``(n,)``.
        weights: share of the detector's signal at each energy, ``(n,)``.
    """
    shares = np.asarray(weights, dtype=float)
    return float(linear_attenuation(material, energies_kev) @ shares / shares.sum())


def attenuation_matrix(energies_kev: ArrayLike) -> np.ndarray:
    """Linear attenuation of every :class:`Material` at every energy, 1/mm, ``(n, 4)``."""
    return np.stack([linear_attenuation(m, energies_kev) for m in Material], axis=-1)


def to_hounsfield(attenuation: ArrayLike, energy_kev: float) -> np.ndarray:
    """Hounsfield units of linear attenuation (1/mm) in a CT of the given effective energy.

    HU = 1000 (μ - μ_water) / μ_water; the attenuation of air is taken as 0.
    """
    water = _water_attenuation(energy_kev)
    return 1000.0 * (np.asarray(attenuation, dtype=float) - water) / water


def from_hounsfield(hounsfield: ArrayLike, energy_kev: float) -> np.ndarray:
    """Linear attenuation (1/mm, never below 0) of Hounsfield units; undoes `to_hounsfield`."""
    relative = 1.0 + np.asarray(hounsfield, dtype=float) / 1000.0
    return np.maximum(relative, 0.0) * _water_attenuation(energy_kev)


def _water_attenuation(energy_kev: float) -> np.ndarray:
    return _PER_CM_TO_PER_MM * _WATER_DENSITY * smooth_log_log(energy_kev, _WATER)
