"""The beam against published half-value layers, SpekPy and xraylib."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.materials import ENERGIES_KEV, Material, linear_attenuation
from XRayTo3DLib.imaging.spectrum import (
    aluminium_transmission,
    csi_response,
    photon_fluence,
    spectrum,
)

# Mass energy-absorption of dry air, cm²/g, at ENERGIES_KEV: NIST SRD 126.
AIR = (1.334, 0.5389, 0.1537, 0.06833, 0.04098, 0.03041, 0.02407, 0.02325, 0.02496)


def half_value_layer(kvp: float, filtration: float) -> float:
    """mm of aluminium that halve the air kerma."""
    energies, photons = photon_fluence(kvp, filtration)
    air = np.exp(np.interp(np.log(energies), np.log(ENERGIES_KEV), np.log(AIR)))
    kerma = photons * energies * air / (photons * energies * air).sum()
    return brentq(lambda mm: kerma @ aluminium_transmission(energies, mm) - 0.5, 0.1, 20.0)


# IEC 61267:2005, RQR 4 to RQR 8: tubes with about 2.5 to 3 mm Al.
@pytest.mark.parametrize(
    ("kvp", "published"), [(60, 2.19), (70, 2.58), (80, 3.01), (90, 3.48), (100, 3.97)]
)
def test_half_value_layers_lie_near_the_reference_beams(kvp: float, published: float) -> None:
    assert half_value_layer(kvp, 2.8) == pytest.approx(published, rel=0.12)


@pytest.mark.parametrize("kvp", [50, 70, 85, 100])
@pytest.mark.parametrize("filtration", [2.5, 4.0])
def test_half_value_layer_and_mean_energy_agree_with_spekpy(kvp: float, filtration: float) -> None:
    spekpy = pytest.importorskip("spekpy", reason="pip install spekpy")
    beam = spekpy.Spek(kvp=kvp, th=12).filter("Al", filtration)
    energies, photons = photon_fluence(kvp, filtration)
    assert half_value_layer(kvp, filtration) == pytest.approx(beam.get_hvl1(), rel=0.05)
    assert energies @ photons == pytest.approx(beam.get_emean(), rel=0.03)


@pytest.mark.parametrize(
    ("softer", "harder"), [((60, 2.5), (80, 2.5)), ((70, 2.0), (70, 4.0)), ((90, 2.5), (110, 2.5))]
)
def test_voltage_and_filtration_harden_the_beam(
    softer: tuple[float, float], harder: tuple[float, float]
) -> None:
    assert half_value_layer(*softer) < half_value_layer(*harder)
    means = [np.dot(*spectrum(*beam)) for beam in (softer, harder)]
    assert means[0] < means[1]


@pytest.mark.parametrize(("kvp", "present"), [(65.0, False), (90.0, True)])
def test_tungsten_lines_need_seventy_kilovolts(kvp: float, present: bool) -> None:
    with_lines = photon_fluence(kvp, 2.5)[1]
    without = photon_fluence(kvp, 2.5, characteristic=False)[1]
    assert np.allclose(with_lines, without) is not present


def test_aluminium_agrees_with_xraylib() -> None:
    xraylib = pytest.importorskip("xraylib", reason="pip install xraylib")
    for energy in (20.0, 33.0, 47.0, 70.0, 110.0):
        expected = np.exp(-xraylib.CS_Total(13, energy) * 2.699 * 0.3)
        assert aluminium_transmission(energy, 3.0) == pytest.approx(expected, abs=0.002)


@pytest.mark.parametrize("energy", [20.0, 32.0, 34.5, 36.5, 45.0, 60.0, 90.0, 140.0])
def test_caesium_iodide_agrees_with_xraylib_around_its_edges(energy: float) -> None:
    xraylib = pytest.importorskip("xraylib", reason="pip install xraylib")
    attenuation = 0.5115 * xraylib.CS_Total(55, energy) + 0.4885 * xraylib.CS_Total(53, energy)
    expected = energy * -np.expm1(-0.2 * attenuation)
    assert csi_response(energy) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("bins", [1, 6, 12, 40])
def test_weights_sum_to_one_and_energies_keep_the_mean(bins: int) -> None:
    energies, weights = spectrum(75.0, 3.0, bins)
    fine, photons = photon_fluence(75.0, 3.0)
    signal = photons * csi_response(fine)
    assert energies.shape == weights.shape == (bins,)
    assert weights.sum() == pytest.approx(1.0)
    assert np.all(np.diff(energies) > 0)
    assert energies @ weights == pytest.approx(fine @ signal / signal.sum())


@pytest.mark.parametrize("kvp", [50.0, 70.0, 100.0])
@pytest.mark.parametrize(
    ("material", "thickness"),
    [(Material.MUSCLE, 150.0), (Material.CORTEX, 20.0), (Material.SPONGIOSA, 80.0)],
)
def test_twelve_bins_stand_for_the_whole_spectrum(
    kvp: float, material: Material, thickness: float
) -> None:
    energies, photons = photon_fluence(kvp, 2.7)
    signal = photons * csi_response(energies)
    fine = signal @ np.exp(-thickness * linear_attenuation(material, energies)) / signal.sum()
    coarse_energies, weights = spectrum(kvp, 2.7, 12)
    coarse = weights @ np.exp(-thickness * linear_attenuation(material, coarse_energies))
    assert -np.log(coarse) == pytest.approx(-np.log(fine), rel=0.005)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((20.0, 2.5), "20 kV"),
        ((200.0, 2.5), "200 kV"),
        ((float("nan"), 2.5), "nan kV"),
        ((70.0, -1.0), "-1 mm"),
        ((70.0, 2.5, 0), "0 bins"),
    ],
)
def test_beams_of_no_machine_are_refused(arguments: tuple, sentence: str) -> None:
    with pytest.raises(XRayTo3DError, match=sentence):
        spectrum(*arguments)
