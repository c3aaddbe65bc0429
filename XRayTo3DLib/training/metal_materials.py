"""How strongly the metals of implants attenuate X-rays."""

from __future__ import annotations

from enum import Enum
from functools import lru_cache

import numpy as np
from scipy.special import logsumexp

from XRayTo3DLib.imaging.film_settings import FilmSettings
from XRayTo3DLib.imaging.materials import Material, linear_attenuation, smooth_log_log
from XRayTo3DLib.imaging.spectrum import spectrum

# Mass attenuation coefficients with coherent scattering at ENERGIES_KEV, cm²/g: J. H. Hubbell and
# S. M. Seltzer, NIST Standard Reference Database 126 (2004).
_IRON = (57.08, 25.68, 8.176, 3.629, 1.958, 1.205, 0.5952, 0.3717, 0.1964)
_COBALT = (62.01, 28.03, 8.962, 3.981, 2.144, 1.314, 0.6414, 0.3949, 0.2023)
_TITANIUM = (35.87, 15.85, 4.972, 2.214, 1.213, 0.7661, 0.4052, 0.2721, 0.1649)

_LEG_MM = 80.0
"""mm of muscle by which the beam is hardened before it meets an implant."""

_LENGTHS = np.linspace(0.0, 80.0, 161)
"""mm of metal between which is interpolated; no implant is thicker."""


class Metal(Enum):
    """What implants are made of: density, g/cm³, and the table of the element it consists of most.

    What else is in the alloy (chromium, nickel; aluminium, vanadium) is next to it in weight.
    """

    STEEL = (7.9, _IRON)
    COBALT_CHROME = (8.3, _COBALT)
    TITANIUM = (4.45, _TITANIUM)

    def attenuation(self, energies_kev: np.ndarray) -> np.ndarray:
        """Linear attenuation, 1/mm, at photon energies of 15–150 keV."""
        density, table = self.value
        return 0.1 * density * smooth_log_log(energies_kev, table)


def cortex_for(millimetres: np.ndarray, metal: Metal, settings: FilmSettings) -> np.ndarray:
    """mm of cortical bone that let as much of a film's beam through as metal does.

    No length of bone does so at every energy; this is right for the film's own spectrum behind a
    leg.

    Args:
        millimetres: of metal along each ray, any shape.
        metal: which.
        settings: of the film: its beam, and the density that it gives to cortical bone.

    Returns:
        in the shape of ``millimetres``, float32.
    """
    beam = settings.energy_kev, round(settings.kvp), round(settings.filtration_mm_al, 0)
    equal = _equal_lengths(metal, *beam) / settings.cortex_density
    return np.interp(millimetres, _LENGTHS, equal).astype(np.float32)


@lru_cache(maxsize=1024)
def _equal_lengths(
    metal: Metal, energy_kev: float | None, kvp: float, filtration_mm_al: float
) -> np.ndarray:
    """mm of cortical bone of nominal density for each of :data:`_LENGTHS` of metal."""
    if energy_kev is not None:
        energies, weights = np.array([energy_kev]), np.ones(1)
    else:
        energies, weights = spectrum(kvp, filtration_mm_al)
    weights = weights * np.exp(-_LEG_MM * linear_attenuation(Material.MUSCLE, energies))
    bone, alloy = linear_attenuation(Material.CORTEX, energies), metal.attenuation(energies)
    bone_lengths = np.linspace(0.0, _LENGTHS[-1] * float((alloy / bone).max()), 2001)
    return np.interp(
        _attenuated(_LENGTHS, alloy, weights),
        _attenuated(bone_lengths, bone, weights),
        bone_lengths,
    )


def _attenuated(lengths: np.ndarray, attenuation: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """-ln of the share of the beam that passes each length; it grows with the length."""
    exponents = -lengths[:, None] * attenuation + np.log(weights / weights.sum())
    return -logsumexp(exponents, axis=1)
