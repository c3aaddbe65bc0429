"""Pictures of analytic solids, by any light."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from rerender_phantoms import chords, inside_ball

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.evaluation.rtk_projection import rtk_projection
from XRayTo3DLib.imaging.film_settings import FilmSettings
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.materials import Material, linear_attenuation
from XRayTo3DLib.imaging.spectrum import csi_response, photon_fluence
from XRayTo3DLib.tomography.composition import COMPONENTS, composition
from XRayTo3DLib.tomography.density import REFERENCE_KEV, DensityVolume
from XRayTo3DLib.tomography.rerender import Renderer, Window, film_of, window_of
from XRayTo3DLib.tomography.viewpoint import OrbitCamera

GRID = VolumeGrid((72, 64, 68), 1.5, (4.0, -3.0, 2.0))
CENTRE, RADIUS = (6.0, -1.0, 5.0), 30.0
CAMERA = OrbitCamera(35.0, 20.0, sid=800.0, sod=650.0, detector=110.0, size=80, about=(4, -3, 2))
MONO = FilmSettings(energy_kev=REFERENCE_KEV)


def mu(material: Material, kev: float = REFERENCE_KEV) -> float:
    return float(linear_attenuation(material, kev))


@pytest.fixture(scope="module")
def muscle_ball() -> DensityVolume:
    return DensityVolume(inside_ball(GRID, CENTRE, RADIUS) * np.float32(mu(Material.MUSCLE)), GRID)


# --- composition --------------------------------------------------------------------------------


def column(*attenuation: float) -> DensityVolume:
    values = np.array(attenuation, dtype=np.float32)[:, None, None]
    return DensityVolume(values, VolumeGrid((len(attenuation), 1, 1), 1.0))


def test_pure_tissues_are_found_pure() -> None:
    shares = composition(column(0.0, *(mu(material) for material in COMPONENTS)))[:, :, 0, 0]
    np.testing.assert_allclose(shares[:, 1:], np.eye(3), atol=1e-5)
    np.testing.assert_array_equal(shares[:, 0], 0.0)


def test_a_mixture_attenuates_as_it_was_measured() -> None:
    measured = np.linspace(0.0, 1.6 * mu(Material.CORTEX), 200)
    shares = composition(column(*measured))[:, :, 0, 0]
    again = sum(mu(material) * shares[k] for k, material in enumerate(COMPONENTS))
    np.testing.assert_allclose(again, measured, atol=1e-6)
    assert shares.min() >= 0
    lighter = measured <= mu(Material.CORTEX)
    assert shares.sum(axis=0)[lighter].max() <= 1 + 1e-5


# --- geometry -----------------------------------------------------------------------------------


def muscle_length(renderer: Renderer) -> np.ndarray:
    """mm of muscle that attenuate as the picture does: the rim's half-full voxels count as fat."""
    paths = renderer.paths(CAMERA.view).numpy()
    return sum(mu(material) * paths[material] for material in Material) / mu(Material.MUSCLE)


def test_chord_of_a_ball_from_an_oblique_raised_tube(muscle_ball: DensityVolume) -> None:
    chord, miss = chords(CAMERA.view, CENTRE, RADIUS)
    ours = muscle_length(Renderer(muscle_ball))
    within = miss < 0.8 * RADIUS
    assert within.sum() > 500
    assert np.abs(ours - chord)[within].max() < 0.5 * GRID.spacing
    assert np.mean(ours[within] / chord[within]) == pytest.approx(1.0, abs=2e-3)
    np.testing.assert_array_equal(ours[miss > RADIUS + 2 * GRID.spacing], 0.0)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # itk's bindings, on being loaded
@pytest.mark.parametrize(("air", "largest"), [(2, 3e-4), (1, 1e-2)])
def test_random_voxels_are_seen_as_rtk_sees_them(air: int, largest: float) -> None:
    """But for the border: RTK ends a volume at its outermost voxels' centres.

    Ours fades over one voxel beyond them. Of that two voxels of air leave nothing and one leaves
    little; of random voxels up to the border the two see up to a fifth differently.
    """
    inner = (slice(air, -air),) * 3
    volume = np.zeros(GRID.shape, dtype=np.float32)
    volume[inner] = np.random.default_rng(0).random(GRID.shape, dtype=np.float32)[inner]
    try:
        theirs = rtk_projection(volume, GRID, CAMERA.view)
    except XRayTo3DError as reason:
        pytest.skip(str(reason))
    renderer = Renderer(DensityVolume(volume * np.float32(mu(Material.CORTEX)), GRID))
    paths = renderer.paths(CAMERA.view).numpy()
    ours = sum(mu(material) * paths[material] for material in Material) / mu(Material.CORTEX)
    assert np.ptp(theirs) > 10
    assert np.abs(ours - theirs).max() < largest * theirs.max()


def test_live_pictures_stay_close_to_the_chord(muscle_ball: DensityVolume) -> None:
    renderer = Renderer(muscle_ball, voxel=2.0)
    assert renderer.grid.spacing == pytest.approx(3.0)
    chord, miss = chords(CAMERA.view, CENTRE, RADIUS)
    ours, within = muscle_length(renderer), miss < 0.8 * RADIUS
    assert np.mean(ours[within] / chord[within]) == pytest.approx(1.0, abs=0.01)
    assert ours.sum() == pytest.approx(chord.sum(), rel=0.01)


# --- light --------------------------------------------------------------------------------------


def plate(**lengths: float) -> torch.Tensor:
    paths = torch.zeros(len(Material), 64, 64)
    for name, length in lengths.items():
        paths[Material[name.upper()]] = length
    return paths


def shown(paths: torch.Tensor, settings: FilmSettings, seed: int = 0) -> np.ndarray:
    """-ln of the signal: a window from 0 to 10 is undone."""
    return 10.0 * film_of(paths, 1.0, settings, Window(5.0, 10.0), seed=seed)


@pytest.mark.parametrize("kvp", [60.0, 100.0])
def test_beer_and_lambert_over_the_fine_spectrum(kvp: float) -> None:
    energies, photons = photon_fluence(kvp, 2.7)
    signal = photons * csi_response(energies)
    bone, flesh = (linear_attenuation(m, energies) for m in (Material.CORTEX, Material.MUSCLE))
    expected = -np.log(signal @ np.exp(-15.0 * bone - 90.0 * flesh) / signal.sum())
    film = shown(plate(cortex=15.0, muscle=90.0), FilmSettings(kvp=kvp))
    np.testing.assert_allclose(film, expected, rtol=0.01)


def test_a_harder_beam_shows_less_bone_among_flesh() -> None:
    def contrast(kvp: float) -> float:
        settings = FilmSettings(kvp=kvp)
        with_bone = shown(plate(cortex=10.0, muscle=80.0), settings).mean()
        return with_bone - shown(plate(muscle=90.0), settings).mean()

    assert 0 < contrast(100.0) < 0.8 * contrast(60.0)


def test_noise_is_that_of_the_photons_counted() -> None:
    photons = 400.0
    flesh = plate(muscle=60.0)
    settings = replace(MONO, exposure=photons)
    signal = np.exp(-shown(flesh, settings, seed=1))
    mean = np.exp(-60.0 * mu(Material.MUSCLE))
    # 64² pixels of 1 mm²: the deviation of a sample's deviation is about 1 %.
    assert signal.mean() == pytest.approx(mean, rel=0.01)
    assert signal.std() == pytest.approx(np.sqrt(mean / photons), rel=0.05)
    np.testing.assert_array_equal(shown(flesh, settings, 1), shown(flesh, settings, 1))
    assert np.any(shown(flesh, settings, 1) != shown(flesh, settings, 2))


def test_window_level_and_inversion(muscle_ball: DensityVolume) -> None:
    renderer, view = Renderer(muscle_ball), CAMERA.view
    line = mu(Material.MUSCLE) * chords(view, CENTRE, RADIUS)[0]
    window = Window(level=0.8, width=0.6)
    film = renderer.film(view, MONO, window)
    np.testing.assert_allclose(film, np.clip((line - 0.5) / 0.6, 0.0, 1.0), atol=0.05)
    dark = renderer.film(view, replace(MONO, inverted=True), window)
    np.testing.assert_allclose(dark, 1.0 - film, atol=1e-6)


def test_the_fitting_window_spans_what_the_leg_leaves(muscle_ball: DensityVolume) -> None:
    paths = Renderer(muscle_ball).paths(CAMERA.view)
    window = window_of(paths, CAMERA.spacing, replace(MONO, exposure=3.0))
    thickest = 2 * RADIUS * mu(Material.MUSCLE)
    assert window.level + window.width / 2 == pytest.approx(thickest, rel=0.02)
    assert 0 < window.level - window.width / 2 < 0.2 * thickest


def test_nothing_to_see() -> None:
    with pytest.raises(XRayTo3DError, match="nothing but air"):
        Renderer(DensityVolume(np.zeros(GRID.shape, dtype=np.float32), GRID))
    with pytest.raises(XRayTo3DError, match="No ray"):
        window_of(plate(), 1.0, MONO)
    with pytest.raises(XRayTo3DError, match="--width"):
        Window(1.0, 0.0)
