"""The film simulator against analytic solids, SciPy, SpekPy and xraylib."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage.exposure import rescale_intensity

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.blur import gaussian_blur
from XRayTo3DLib.imaging.collimation import Collimation
from XRayTo3DLib.imaging.detector_signal import detector_signal
from XRayTo3DLib.imaging.drr import drr
from XRayTo3DLib.imaging.film import simulate_film
from XRayTo3DLib.imaging.film_settings import FilmSettings
from XRayTo3DLib.imaging.lead_marker import Marker
from XRayTo3DLib.imaging.materials import Material, linear_attenuation
from XRayTo3DLib.imaging.normalisation import normalise_film
from XRayTo3DLib.imaging.tone import tone_curve

SPACING = 1.5

# Mass fractions by atomic number.
ICRU_44 = {
    Material.CORTEX: {1: 0.034, 6: 0.155, 7: 0.042, 8: 0.435, 12: 0.002, 15: 0.103, 20: 0.225},
    Material.MUSCLE: {1: 0.102, 6: 0.143, 7: 0.034, 8: 0.710, 15: 0.002, 16: 0.003, 19: 0.004},
}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def slab(size: int = 128, **lengths: float) -> torch.Tensor:
    """Path images of a plate, mm of each material by name, of the same thickness all over."""
    paths = torch.zeros(len(Material), size, size)
    for name, length in lengths.items():
        paths[Material[name.upper()]] = length
    return paths


@pytest.fixture(scope="module")
def knee() -> torch.Tensor:
    """Two ball-shaped bones with a shell in a cylinder of muscle and a cylinder of fat."""
    axis = SPACING * (torch.arange(128) - 63.5)
    row, column = axis[:, None], axis[None, :]

    def chord(centre: float, radius: float) -> torch.Tensor:
        return 2 * (radius**2 - (row - centre) ** 2 - column**2).clamp_min(0).sqrt()

    skin, muscle = (2 * (r**2 - column**2).clamp_min(0).sqrt().expand(128, 128) for r in (55, 45))
    bone = torch.maximum(chord(-36, 33), chord(36, 33))
    spongy = torch.maximum(chord(-36, 31), chord(36, 31))
    return torch.stack([bone - spongy, spongy, muscle - bone, skin - muscle])


# --- the beam ------------------------------------------------------------------------------------


def test_drr_of_a_plate_is_attenuation_times_length() -> None:
    expected = 12.0 * linear_attenuation(Material.CORTEX, 55.0)
    expected += 80.0 * linear_attenuation(Material.MUSCLE, 55.0)
    image = drr(slab(8, cortex=12.0, muscle=80.0), energy_kev=55.0)
    torch.testing.assert_close(image, torch.full((8, 8), float(expected)))


def test_plain_film_is_the_drr_on_zero_to_one(knee: torch.Tensor) -> None:
    expected = rescale_intensity(drr(knee).numpy(), out_range=(0.0, 1.0))
    film = simulate_film(knee, SPACING, FilmSettings.plain())
    np.testing.assert_allclose(film.numpy(), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("symbol", "material", "length"),
    [("muscle", Material.MUSCLE, 120.0), ("cortex", Material.CORTEX, 12.0)],
)
@pytest.mark.parametrize("kvp", [55.0, 80.0])
def test_transmission_agrees_with_spekpy_and_xraylib(
    symbol: str, material: Material, length: float, kvp: float
) -> None:
    spekpy = pytest.importorskip("spekpy", reason="pip install spekpy")
    xraylib = pytest.importorskip("xraylib", reason="pip install xraylib")
    energies, photons = spekpy.Spek(kvp=kvp, th=12).filter("Al", 2.7).get_spectrum()
    keep = energies > 8
    energies, photons = energies[keep], photons[keep]

    def attenuation(elements: tuple[int, ...], shares: tuple[float, ...]) -> np.ndarray:
        return np.array(
            [
                sum(w * xraylib.CS_Total(z, e) for z, w in zip(elements, shares, strict=True))
                for e in energies
            ]
        )

    signal = photons * energies * -np.expm1(-0.2 * attenuation((53, 55), (0.4885, 0.5115)))
    tissue = attenuation(*zip(*ICRU_44[material].items(), strict=True)) * material.density
    expected = signal @ np.exp(-0.1 * length * tissue) / signal.sum()
    settings = FilmSettings(kvp=kvp, filtration_mm_al=2.7)
    found = detector_signal(slab(4, **{symbol: length}), SPACING, settings)[0, 0]
    assert -math.log(found) == pytest.approx(-math.log(expected), rel=0.03)


@pytest.mark.parametrize(
    ("scale", "material"),
    [
        ("cortex_density", Material.CORTEX),
        ("muscle_scale", Material.MUSCLE),
        ("fat_scale", Material.FAT),
    ],
)
def test_scales_act_on_their_own_material(scale: str, material: Material) -> None:
    paths = slab(4, cortex=5.0, spongiosa=40.0, muscle=60.0, fat=20.0)
    less = paths.clone()
    less[material] *= 0.5
    settings = FilmSettings()
    torch.testing.assert_close(
        detector_signal(paths, SPACING, replace(settings, **{scale: 0.5})),
        detector_signal(less, SPACING, settings),
    )


def test_marrow_takes_the_room_of_missing_spongiosa() -> None:
    found = detector_signal(slab(4, spongiosa=40.0), SPACING, FilmSettings(spongiosa_density=0.6))
    expected = detector_signal(slab(4, spongiosa=24.0, fat=16.0), SPACING, FilmSettings())
    torch.testing.assert_close(found, expected)


def test_added_muscle_lies_before_the_leg_and_not_beside_it(knee: torch.Tensor) -> None:
    bare = detector_signal(knee, SPACING, FilmSettings.plain())
    thick = detector_signal(knee, SPACING, replace(FilmSettings.plain(), added_muscle_mm=50.0))
    added = torch.log(bare / thick) / float(linear_attenuation(Material.MUSCLE, 60.0))
    assert torch.all(added[knee.sum(dim=0) == 0] == 0)
    torch.testing.assert_close(added[:, 63:65], torch.full((128, 2), 50.0), atol=0.1, rtol=0)


def test_uneven_soft_tissue_leaves_bone_alone() -> None:
    settings = FilmSettings(soft_tissue_unevenness=0.2)
    bone = detector_signal(slab(cortex=5.0), SPACING, settings, seeded())
    flesh = detector_signal(slab(muscle=60.0), SPACING, settings, seeded())
    assert bone.std() < 1e-6
    assert flesh.std() / flesh.mean() > 0.05


@pytest.mark.parametrize("wanted", [0.3, 1.5])
def test_scatter_to_primary_is_as_asked(knee: torch.Tensor, wanted: float) -> None:
    primary = detector_signal(knee, SPACING, FilmSettings())
    both = detector_signal(knee, SPACING, FilmSettings(scatter_to_primary=wanted))
    scatter = both - primary
    leg = knee.sum(dim=0) > 10
    assert scatter.min() >= 0
    assert scatter[leg].mean() / primary[leg].mean() == pytest.approx(wanted, rel=0.05)
    # Spread widely: the scatter has no bone in it.
    assert scatter[leg].std() / scatter[leg].mean() < 0.5 * primary[leg].std() / primary[leg].mean()


def test_heel_gradient_falls_by_its_fraction_along_its_angle() -> None:
    settings = FilmSettings(field_gradient=0.3, field_gradient_angle=0.0)
    field = detector_signal(slab(), SPACING, settings)
    assert field[:, 0].mean() - field[:, -1].mean() == pytest.approx(0.3, abs=1e-4)
    assert field.mean() == pytest.approx(1.0, abs=1e-4)
    turned = detector_signal(slab(), SPACING, replace(settings, field_gradient_angle=90.0))
    torch.testing.assert_close(turned, field.T)


# --- blur and noise ------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [0.5, 1.7, 5.0, 11.0, 25.0])
@pytest.mark.parametrize("shape", [(160, 201), (257, 128)])
def test_blur_agrees_with_scipy(sigma: float, shape: tuple[int, int]) -> None:
    step = np.zeros(shape, dtype=np.float32)
    step[40:90, 30:100] = 1.0
    expected = ndimage.gaussian_filter(step, sigma, mode="nearest", truncate=5)
    found = gaussian_blur(torch.from_numpy(step), sigma).numpy()
    np.testing.assert_allclose(found, expected, atol=0.015)


def test_focal_spot_and_detector_blur_add_in_squares() -> None:
    paths = slab(cortex=0.0)
    paths[Material.CORTEX, :, 64:] = 20.0
    settings = FilmSettings(focal_blur_mm=3.0, detector_blur_mm=4.0)
    sharp = detector_signal(paths, 1.0, FilmSettings()).numpy()
    expected = ndimage.gaussian_filter1d(sharp, 5.0, axis=1, mode="nearest")
    blurred = detector_signal(paths, 1.0, settings).numpy()
    np.testing.assert_allclose(blurred, expected, atol=0.005)


@pytest.mark.parametrize("exposure", [20.0, 1e3, 1e5])
@pytest.mark.parametrize("correlation", [0.0, 2.0])
@pytest.mark.parametrize("muscle", [0.0, 60.0])
def test_noise_is_that_of_the_photons_counted(
    exposure: float, correlation: float, muscle: float
) -> None:
    paths = slab(256, muscle=muscle)
    mean = float(detector_signal(paths[:, :2, :2], SPACING, FilmSettings())[0, 0])
    settings = FilmSettings(exposure=exposure, noise_correlation_mm=correlation)
    noisy = detector_signal(paths, SPACING, settings, seeded(3))
    photons = mean * exposure * SPACING**2
    assert noisy.mean() / mean == pytest.approx(1.0, abs=0.12 / math.sqrt(photons))
    assert noisy.std() / mean == pytest.approx(1 / math.sqrt(photons), rel=0.05)
    centred = noisy - noisy.mean()
    neighbours = (centred[:, 1:] * centred[:, :-1]).mean() / centred.square().mean()
    expected = math.exp(-((SPACING / (2 * correlation)) ** 2)) if correlation else 0.0
    assert neighbours == pytest.approx(expected, abs=0.06)


# --- the grey scale ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        FilmSettings(),
        FilmSettings(gamma=2.2),
        FilmSettings(sigmoid_slope=8.0, sigmoid_centre=0.3),
        FilmSettings(curve=(0.0, 0.1, 0.15, 0.8, 1.0), gamma=0.7),
    ],
)
def test_tone_curves_rise_from_black_to_white(settings: FilmSettings) -> None:
    curve = tone_curve(settings)
    assert curve[0] == 0.0
    assert curve[-1] == pytest.approx(1.0)
    assert np.all(np.diff(curve) >= 0)


@pytest.mark.parametrize("linearity", [0.0, 0.5, 1.0])
def test_linearity_is_the_box_cox_exponent(knee: torch.Tensor, linearity: float) -> None:
    signal = torch.exp(-drr(knee)).numpy().astype(float)
    raw = -np.log(signal) if linearity == 0 else (1 - signal**linearity) / linearity
    expected = (raw - raw.min()) / (raw.max() - raw.min())
    film = simulate_film(knee, SPACING, replace(FilmSettings.plain(), linearity=linearity))
    np.testing.assert_allclose(film.numpy(), expected, atol=1e-5)


def test_edge_enhancement_is_unsharp_masking(knee: torch.Tensor) -> None:
    flat = drr(knee).numpy()
    raw = flat + 1.5 * (flat - ndimage.gaussian_filter(flat, 2.0, mode="nearest", truncate=5))
    expected = (raw - raw.min()) / (raw.max() - raw.min())
    settings = replace(FilmSettings.plain(), edge_enhancement=1.5, edge_radius_mm=2.0 * SPACING)
    film = simulate_film(knee, SPACING, settings).numpy()
    np.testing.assert_allclose(film, expected, atol=0.01)


def test_latitude_compression_lessens_large_contrast_only(knee: torch.Tensor) -> None:
    plain = FilmSettings.plain()
    compressed = replace(plain, latitude=0.7, latitude_width_mm=25.0)
    ratios = []
    for settings in (plain, compressed):
        film = simulate_film(knee, SPACING, settings).numpy()
        coarse = ndimage.gaussian_filter(film, 12)
        ratios.append((film - ndimage.gaussian_filter(film, 2)).std() / coarse.std())
    assert ratios[1] > 1.5 * ratios[0]


def test_window_without_air_ignores_the_open_field(knee: torch.Tensor) -> None:
    settings = replace(FilmSettings.plain(), window=(0.05, 0.95), window_without_air=True)
    film = simulate_film(knee, SPACING, settings)
    leg = knee.sum(dim=0) > 1.0
    assert torch.all(film[~leg] == 0)
    assert (film[leg] == 0).float().mean() == pytest.approx(0.05, abs=0.02)
    assert (film[leg] == 1).float().mean() == pytest.approx(0.05, abs=0.02)


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_bits_limit_the_number_of_greys(knee: torch.Tensor, bits: int) -> None:
    film = simulate_film(knee, SPACING, replace(FilmSettings.plain(), bits=bits))
    greys = torch.unique(torch.round(film * (2**bits - 1) * 1e4))
    assert len(greys) <= 2**bits
    assert len(greys) > 2**bits // 4


def test_inverted_turns_every_grey_over(knee: torch.Tensor) -> None:
    film = simulate_film(knee, SPACING, FilmSettings.plain())
    inverted = simulate_film(knee, SPACING, replace(FilmSettings.plain(), inverted=True))
    torch.testing.assert_close(inverted, 1 - film)


@pytest.mark.parametrize("grey", [0.0, 1.0])
def test_collimation_paints_its_border_and_leaves_the_rest(knee: torch.Tensor, grey: float) -> None:
    border = Collimation((0.25, 0.125, 0.0, 0.125), grey=grey)
    film = simulate_film(knee, SPACING, replace(FilmSettings.plain(), collimation=border))
    assert torch.all(film[:31] == grey)
    assert torch.all(film[113:] == grey)
    assert torch.all(film[:, 113:] == grey)
    inside = drr(knee)[33:111, :111]
    expected = (inside - inside.min()) / (inside.max() - inside.min())
    torch.testing.assert_close(film[33:111, :111], expected, atol=0.02, rtol=0)


def test_an_unpainted_border_was_hardly_exposed(knee: torch.Tensor) -> None:
    border = Collimation((0.2, 0.0, 0.0, 0.0), grey=None)
    film = simulate_film(knee, SPACING, replace(FilmSettings.plain(), collimation=border))
    assert film[:20].min() > 0.95


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("grey", [0.0, 1.0])
def test_marker_shows_its_letter_in_its_place(mirrored: bool, grey: float) -> None:
    marker = Marker("L", (0.5, 0.5), height=0.7, mirrored=mirrored, grey=grey)
    paths = slab(64, muscle=50.0)
    paths[Material.MUSCLE, :, :] = torch.linspace(40, 60, 64)
    blank = simulate_film(paths, SPACING, FilmSettings.plain())
    film = simulate_film(paths, SPACING, replace(FilmSettings.plain(), marker=marker))
    changed = (film - blank).abs() > 0.02
    row, column = torch.nonzero(changed, as_tuple=True)
    # 0.7 of 64 rows about the middle, and half a stroke of soft edge.
    assert 6 <= row.min() < 12
    assert 52 <= row.max() < 58
    # The upright stroke of an L stands at its left, the foot at its bottom.
    upright = changed[:32].float().sum(dim=0).argmax()
    assert bool(upright > 32) == mirrored
    assert changed[32:].sum() > changed[:32].sum()
    assert torch.any(film[changed] == grey)


# --- settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(40))
def test_random_films_are_finite_greys_and_repeat(knee: torch.Tensor, seed: int) -> None:
    settings = FilmSettings.random(np.random.default_rng(seed))
    assert settings == FilmSettings.random(np.random.default_rng(seed))
    film = simulate_film(knee, SPACING, settings, seeded(seed))
    assert film.shape == (128, 128)
    assert film.dtype == torch.float32
    assert torch.isfinite(film).all()
    assert 0 <= film.min() < film.max() <= 1
    torch.testing.assert_close(
        film, simulate_film(knee, SPACING, settings, seeded(seed)), rtol=0, atol=0
    )


def test_another_generator_state_gives_another_film(knee: torch.Tensor) -> None:
    settings = FilmSettings(exposure=1e3)
    films = [simulate_film(knee, SPACING, settings, seeded(seed)) for seed in (1, 2)]
    assert not torch.equal(films[0], films[1])


def test_bone_is_brighter_than_flesh_on_nearly_every_random_film(knee: torch.Tensor) -> None:
    bone = knee[Material.SPONGIOSA] > 45
    beside = (knee[Material.SPONGIOSA] == 0) & (knee[Material.MUSCLE] > 60)
    brighter = 0
    for seed in range(100):
        settings = FilmSettings.random(np.random.default_rng(seed))
        film = normalise_film(simulate_film(knee, SPACING, settings, seeded(seed)))
        brighter += bool(film[bone].mean() > film[beside].mean() + 0.02)
    assert brighter >= 90


def test_random_settings_cover_the_extremes() -> None:
    drawn = [FilmSettings.random(np.random.default_rng(seed)) for seed in range(600)]
    assert min(s.muscle_scale for s in drawn) < 0.05
    assert max(s.added_muscle_mm for s in drawn) > 70
    assert max(s.scatter_to_primary for s in drawn) > 1.3
    assert {0.0} < {s.scatter_to_primary for s in drawn}
    assert any(math.isinf(s.exposure) for s in drawn)
    assert any(s.linearity > 0.9 for s in drawn)
    assert any(s.sigmoid_slope > 7 for s in drawn)
    assert any(s.edge_enhancement > 2 for s in drawn)
    assert any(s.curve for s in drawn)
    assert {None, 0.0, 1.0} == {s.collimation.grey for s in drawn if s.collimation}
    assert not any(s.inverted for s in drawn)


def test_strength_zero_is_a_clean_average_film() -> None:
    for seed in range(20):
        settings = FilmSettings.random(np.random.default_rng(seed), strength=0.0)
        clean = FilmSettings(
            scatter_to_primary=0.0, window=(0.0, 1.0), focal_blur_mm=0.1, detector_blur_mm=0.1
        )
        unused = {"field_gradient_angle", "bits"} | {
            f.name for f in fields(clean) if f.name.endswith("_width_mm") or "radius" in f.name
        }
        for field in fields(clean):
            if field.name not in unused | {"exposure"}:
                assert getattr(settings, field.name) == pytest.approx(getattr(clean, field.name)), (
                    field.name
                )


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: FilmSettings(focal_blur_mm=-1.0), "focal_blur_mm is -1"),
        (lambda: FilmSettings(exposure=0.0), "exposure is 0"),
        (lambda: FilmSettings(gamma=float("nan")), "gamma is nan"),
        (lambda: Collimation((0.0, 0.6, 0.0, 0.0)), "0.6"),
        (lambda: FilmSettings.random(np.random.default_rng(0), 2.0), "is 2;"),
        (lambda: tone_curve(FilmSettings(curve=(0.0, 0.7, 0.5, 1.0))), "without falling"),
        (lambda: simulate_film(torch.zeros(3, 8, 8), 1.0, FilmSettings()), r"\(3, 8, 8\)"),
        (lambda: simulate_film(slab(8), 0.0, FilmSettings()), "spacing is 0 mm"),
        (lambda: simulate_film(slab(8), 1.0, FilmSettings(kvp=10.0)), "10 kV"),
        (
            lambda: simulate_film(slab(8), 1.0, FilmSettings(marker=Marker("Q", (0.5, 0.5)))),
            "'Q' cannot be drawn",
        ),
    ],
)
def test_impossible_settings_are_refused(make: Callable[[], object], sentence: str) -> None:
    with pytest.raises(XRayTo3DError, match=sentence):
        make()


@pytest.mark.parametrize("shape", [(1, 1), (5, 300), (700, 530)])
def test_films_of_any_size(shape: tuple[int, int]) -> None:
    settings = FilmSettings.random(np.random.default_rng(4))
    film = simulate_film(torch.ones(4, *shape), 0.3, settings, seeded())
    assert film.shape == shape
    assert torch.isfinite(film).all()


# --- normalisation -------------------------------------------------------------------------------


def test_normalise_clips_at_the_percentiles_of_the_field() -> None:
    film = torch.rand(1, 1, 300, 280, generator=seeded())
    low, high = np.percentile(film.numpy(), [1, 99])
    expected = np.clip((film.numpy() - low) / (high - low), 0, 1)
    np.testing.assert_allclose(normalise_film(film).numpy(), expected, atol=0.01)


@pytest.mark.parametrize(("gain", "offset"), [(1.0, 5.0), (4095.0, 0.0), (0.01, -3.0)])
def test_normalise_undoes_gain_and_offset(knee: torch.Tensor, gain: float, offset: float) -> None:
    film = simulate_film(knee, SPACING, FilmSettings(exposure=1e4), seeded())
    torch.testing.assert_close(
        normalise_film(film * gain + offset), normalise_film(film), atol=1e-3, rtol=0
    )


@pytest.mark.parametrize("grey", [0.0, 0.5, 1.0])
def test_normalise_ignores_painted_borders(knee: torch.Tensor, grey: float) -> None:
    film = simulate_film(knee, SPACING, FilmSettings(exposure=1e5), seeded())
    # A field whose own greys stay away from black and white.
    film = 0.3 + 0.4 * film
    bordered = torch.nn.functional.pad(film, (40, 60, 0, 30), value=grey)
    found = normalise_film(bordered)[:128, 40:168]
    torch.testing.assert_close(found, normalise_film(film), atol=0.04, rtol=0)


def test_normalise_takes_each_film_of_a_batch_by_itself(knee: torch.Tensor) -> None:
    film = simulate_film(knee, SPACING, FilmSettings.plain())
    batch = torch.stack([film, 0.2 * film + 0.1, film**2])[:, None]
    found = normalise_film(batch)
    assert found.shape == (3, 1, 128, 128)
    torch.testing.assert_close(found[0], found[1])
    torch.testing.assert_close(found[2, 0], normalise_film(film**2))


def test_normalise_of_a_film_without_contrast_is_black() -> None:
    assert torch.all(normalise_film(torch.full((32, 32), 7.0)) == 0)
