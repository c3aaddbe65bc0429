"""What a diagnostic X-ray tube sends out and what a flat detector makes of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.materials import ENERGIES_KEV, smooth_log_log

KVP_RANGE = (40.0, 120.0)
"""Tube voltages that the model covers, kV."""

LOWEST_KEV = ENERGIES_KEV[0]
"""Photons below this energy do not pass the filter and the knee; they are left out."""

# Mass attenuation coefficients, cm²/g, NIST Standard Reference Database 126 (2004).
_ALUMINIUM = (7.955, 3.441, 1.128, 0.5685, 0.3681, 0.2778, 0.2018, 0.1704, 0.1378)
_ALUMINIUM_DENSITY = 2.699

# Caesium iodide, with the K edges of iodine (33.17 keV) and caesium (35.98 keV).
_CSI_KEV = (15.0, 20.0, 30.0, 33.169, 33.17, 35.984, 35.985, 40.0, 50.0, 60.0, 80.0, 100.0, 150.0)
_CSI = (58.16, 26.86, 9.047, 6.923, 21.21, 17.18, 30.27, 22.97, 12.87, 7.921, 3.677, 2.035, 0.7291)

# K lines of tungsten: energy (keV) and share of the K photons (Kα1, Kα2, Kβ1+3, Kβ2).
_K_LINES = ((59.32, 0.49), (57.98, 0.28), (67.2, 0.17), (69.1, 0.06))
_K_EDGE_KEV = 69.53
# K photons per bremsstrahlung photon, proportional to a power of (U - 1), U = kV / 69.53: both
# numbers are fitted to the spectra of Bujila et al. (SpekPy, Physica Medica 75 (2020) 44).
_K_YIELD = 0.095
_K_EXPONENT = 1.1

# Tungsten, cm²/g, below its K edge (NIST SRD 126); above it, the line is continued, since photons
# there leave the anode nearly freely.
_TUNGSTEN_KEV = (15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 150.0)
_TUNGSTEN = (138.9, 65.73, 22.73, 10.67, 5.949, 3.713, 0.31)
# Mean way out through the anode at 12°, g/cm² (about 5 µm); fitted to SpekPy's half-value layers.
_ANODE_PATH = 0.0105

_FINE_STEP_KEV = 0.25


def aluminium_transmission(energy_kev: ArrayLike, thickness_mm: float) -> np.ndarray:
    """Share of photons (0–1) that pass ``thickness_mm`` of aluminium at each energy."""
    mass_attenuation = smooth_log_log(energy_kev, _ALUMINIUM)
    return np.exp(-0.1 * thickness_mm * _ALUMINIUM_DENSITY * mass_attenuation)


def csi_response(energy_kev: ArrayLike, mass_thickness: float = 0.2) -> np.ndarray:
    """Mean signal of an energy-integrating caesium iodide detector per photon.

    Args:
        energy_kev: photon energies, keV.
        mass_thickness: of the scintillator, g/cm² (0.2 is 0.55 mm at 80 % packing).

    Returns:
        Absorbed share times energy (escape of fluorescence photons is left out), keV.
    """
    mass_attenuation = _between_edges(energy_kev, _CSI_KEV, _CSI)
    return np.asarray(energy_kev) * -np.expm1(-mass_thickness * mass_attenuation)


def photon_fluence(
    kvp: float,
    filtration_mm_al: float,
    *,
    characteristic: bool = True,
    step_kev: float = _FINE_STEP_KEV,
) -> tuple[np.ndarray, np.ndarray]:
    """Photons that leave a tungsten tube, by energy.

    Bremsstrahlung by Kramers' law (Phil. Mag. 46 (1923) 836), photons ∝ kvp / E - 1, less
    what the anode itself absorbs; K lines above 69.5 kV; behind the filter. Half-value layers lie
    within 5 % of SpekPy's at 50 to 100 kV, within 8 % at 120.

    Args:
        kvp: peak tube voltage, kV, 40–120.
        filtration_mm_al: total filtration, mm of aluminium.
        characteristic: whether to add the K lines of tungsten.
        step_kev: width of an energy bin, keV.

    Returns:
        Energies (keV, bin centres from 15 keV to ``kvp``) and photons per bin that sum to 1, each
        ``(n,)``.

    Raises:
        XRayTo3DError: a voltage or filter that no radiograph is taken with.
    """
    if not KVP_RANGE[0] <= kvp <= KVP_RANGE[1]:
        raise XRayTo3DError(
            f"The tube voltage is {kvp:g} kV; give one from {KVP_RANGE[0]:g} to {KVP_RANGE[1]:g}."
        )
    if not 0 <= filtration_mm_al <= 50:
        raise XRayTo3DError(
            f"The filtration is {filtration_mm_al:g} mm of aluminium; give one from 0 to 50."
        )
    edges = np.linspace(LOWEST_KEV, kvp, int(np.ceil((kvp - LOWEST_KEV) / step_kev)) + 1)
    energies = 0.5 * (edges[:-1] + edges[1:])
    anode = np.exp(-_ANODE_PATH * _between_edges(energies, _TUNGSTEN_KEV, _TUNGSTEN))
    photons = (kvp / energies - 1.0) * anode
    if characteristic and kvp > _K_EDGE_KEV:
        k_photons = _K_YIELD * photons.sum() * (kvp / _K_EDGE_KEV - 1.0) ** _K_EXPONENT
        lines = np.array(_K_LINES)
        photons += k_photons * np.histogram(lines[:, 0], edges, weights=lines[:, 1])[0]
    photons *= aluminium_transmission(energies, filtration_mm_al)
    return energies, photons / photons.sum()


def spectrum(
    kvp: float, filtration_mm_al: float, bins: int = 12, *, characteristic: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Share of the detector's signal by photon energy, in few bins for fast Beer-Lambert sums.

    Args:
        kvp: peak tube voltage, kV, 40–120.
        filtration_mm_al: total filtration (inherent and added), mm of aluminium.
        bins: number of energies; each stands at the mean energy of its share of the signal.
        characteristic: whether the tube's K lines are included.

    Returns:
        Energies (keV, increasing) and weights that sum to 1, each ``(bins,)``.

    Raises:
        XRayTo3DError: a voltage, filter or number of bins out of range.
    """
    if not 1 <= bins <= 200:
        raise XRayTo3DError(f"The spectrum has {bins} bins; give a number from 1 to 200.")
    energies, photons = photon_fluence(kvp, filtration_mm_al, characteristic=characteristic)
    signal = photons * csi_response(energies)
    signal /= signal.sum()
    # Bins of equal signal spend their number where the detector sees most.
    cumulative = np.concatenate([[0.0], np.cumsum(signal)])
    first_moment = np.concatenate([[0.0], np.cumsum(signal * energies)])
    targets = np.linspace(0.0, 1.0, bins + 1)
    moments = np.interp(targets, cumulative / cumulative[-1], first_moment)
    weights = np.full(bins, 1.0 / bins)
    return np.diff(moments) / weights, weights


def _between_edges(
    energy_kev: ArrayLike, table_kev: tuple[float, ...], values: tuple[float, ...]
) -> np.ndarray:
    """Straight log-log lines, which keep the steps of absorption edges."""
    return np.exp(np.interp(np.log(energy_kev), np.log(table_kev), np.log(values)))
