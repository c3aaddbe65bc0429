"""Metal against xraylib, and against sums over the spectrum."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from XRayTo3DLib.imaging.detector_signal import detector_signal
from XRayTo3DLib.imaging.film_settings import FilmSettings
from XRayTo3DLib.imaging.materials import ENERGIES_KEV, Material, linear_attenuation
from XRayTo3DLib.imaging.spectrum import spectrum
from XRayTo3DLib.training.metal_materials import Metal, cortex_for

ATOMIC_NUMBERS = {Metal.STEEL: 26, Metal.COBALT_CHROME: 27, Metal.TITANIUM: 22}


@pytest.mark.parametrize("metal", Metal)
def test_tables_agree_with_xraylib(metal: Metal) -> None:
    xraylib = pytest.importorskip("xraylib", reason="pip install xraylib")
    energies = np.array([*ENERGIES_KEV, 45.0, 70.0])
    expected = [xraylib.CS_Total(ATOMIC_NUMBERS[metal], energy) for energy in energies]
    density = metal.value[0]
    np.testing.assert_allclose(metal.attenuation(energies) * 10 / density, expected, rtol=3e-3)


@pytest.mark.parametrize("metal", Metal)
def test_at_one_energy_lengths_are_as_the_coefficients(metal: Metal) -> None:
    settings = FilmSettings(energy_kev=60.0, cortex_density=0.8)
    energy = np.array([60.0])
    ratio = metal.attenuation(energy) / (0.8 * linear_attenuation(Material.CORTEX, energy))
    lengths = np.array([0.0, 0.3, 2.0, 17.0])
    np.testing.assert_allclose(cortex_for(lengths, metal, settings), lengths * ratio, rtol=1e-3)


@pytest.mark.parametrize("metal", Metal)
@pytest.mark.parametrize("kvp", [50.0, 90.0])
def test_as_much_of_the_beam_comes_through(metal: Metal, kvp: float) -> None:
    """By the film simulator with bone, and summed over the spectrum with metal."""
    settings = FilmSettings(kvp=kvp, filtration_mm_al=3.0)
    thick = 2.5
    paths = torch.zeros(4, 2, 2)
    paths[Material.MUSCLE] = 80.0
    paths[Material.CORTEX] = float(cortex_for(np.array(thick), metal, settings))
    energies, weights = spectrum(kvp, 3.0)
    muscle = 80.0 * linear_attenuation(Material.MUSCLE, energies)
    expected = weights @ np.exp(-muscle - thick * metal.attenuation(energies))
    found = float(detector_signal(paths, 0.5, settings)[0, 0])
    assert found == pytest.approx(max(expected, 1e-5), rel=0.02)
