"""Faults of the picture against what each must do to discs, points and ramps."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from XRayTo3DLib.evaluation import film_conditions as faults
from XRayTo3DLib.evaluation.conditions import PICTURE_CONDITIONS, Condition
from XRayTo3DLib.imaging.collimation import Collimation
from XRayTo3DLib.imaging.film_settings import FilmSettings
from XRayTo3DLib.imaging.radiograph import Origin, Radiograph, Side, Sourced, View

SHAPE = (120, 100)
STEP = (0.5, 0.5)


def film(pixels: np.ndarray) -> Radiograph:
    user = Origin.USER
    return Radiograph(
        pixels=pixels.astype(np.float32),
        spacing=Sourced(STEP, user),
        sid=Sourced(1100.0, user),
        sod=Sourced(1000.0, user),
        view=Sourced(View.AP, user),
        side=Sourced(Side.RIGHT, user),
        orientation=Sourced(("L", "F"), user),
        inverted=Sourced(False, user),
    )


def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def disc(row: float, column: float, radius: float = 12.0) -> np.ndarray:
    rows, columns = np.indices(SHAPE)
    return 0.2 + 0.6 * (np.hypot(rows - row, columns - column) < radius)


def middle_of_bright(pixels: np.ndarray) -> np.ndarray:
    """Pixels from the film's middle, (down, right), to that of what is brighter than the rest."""
    weights = (pixels - pixels.min()) / (pixels - pixels.min()).sum()
    centre = np.array([(weights * places).sum() for places in np.indices(pixels.shape)])
    return centre - (np.array(pixels.shape) - 1) / 2


@pytest.mark.parametrize("condition", PICTURE_CONDITIONS, ids=lambda condition: condition.name)
def test_every_fault_changes_the_picture_alike_each_time(condition: Condition) -> None:
    before = film(disc(55, 50) + 0.1 * rng().random(SHAPE))
    kept = before.pixels.copy()
    after, again = (condition.degraded(before, rng()) for _ in range(2))
    assert after.pixels.dtype == np.float32
    assert np.isfinite(after.pixels).all()
    assert np.array_equal(after.pixels, again.pixels)
    assert after.pixels.shape != SHAPE or not np.array_equal(after.pixels, kept)
    assert np.array_equal(before.pixels, kept)
    assert (after.sid, after.side, after.view) == (before.sid, before.side, before.view)


@pytest.mark.parametrize("stops", [-2.0, -1.0, 1.0, 2.0])
def test_exposure_moves_the_greys_by_a_sixth_a_stop_and_what_leaves_the_range_is_lost(
    stops: float,
) -> None:
    ramp = np.tile(np.linspace(0, 1, SHAPE[1]), (SHAPE[0], 1))
    after = faults.exposed(stops)(film(ramp), rng()).pixels
    expected = np.clip(ramp - stops / 6, 0, 1)
    inside = (expected > 0.1) & (expected < 0.9)
    assert np.mean(after[inside] - expected[inside]) == pytest.approx(0.0, abs=2e-3)
    assert after.min() == 0.0 if stops > 0 else after.max() == 1.0


def test_too_little_exposure_has_the_noise_of_the_quanta_that_are_missing() -> None:
    grey, stops = 0.4, -2.0
    after = faults.exposed(stops)(film(np.full((400, 400), grey)), rng()).pixels
    # Poisson's law, by drawing quanta: the film at the full exposure counts as free of noise.
    quanta = 6e4 * STEP[0] * STEP[1] * 2.0 ** (-6 * grey)
    few = rng().poisson(quanta * 2**stops, 400_000) / (quanta * 2**stops)
    many = rng().poisson(quanta, 400_000) / quanta
    expected = np.sqrt(np.log2(few).var() - np.log2(many).var()) / 6
    assert after.std() == pytest.approx(expected, rel=0.02)
    more = faults.exposed(-stops)(film(np.full((400, 400), grey)), rng()).pixels
    assert more.std() < 1e-6


def test_noise_has_its_share_of_the_range() -> None:
    ramp = np.tile(np.linspace(0.2, 0.7, 500), (500, 1))
    added = faults.noisy(0.04)(film(ramp), rng()).pixels - ramp
    assert added.std() == pytest.approx(0.04 * 0.5, rel=0.02)
    assert added.mean() == pytest.approx(0.0, abs=1e-3)


@pytest.mark.parametrize("width", [1.0, 2.5])
def test_blur_spreads_a_point_by_its_width_in_mm(width: float) -> None:
    point = np.zeros(SHAPE)
    point[60, 50] = 1
    spread = faults.blurred(width)(film(point), rng()).pixels
    rows = np.indices(SHAPE)[0] - 60
    assert spread.sum() == pytest.approx(1.0, abs=1e-3)
    assert np.sqrt((spread * rows**2).sum()) * STEP[0] == pytest.approx(width, rel=0.03)


def test_gamma_is_a_power_of_the_grey() -> None:
    ramp = np.tile(np.linspace(0, 1, SHAPE[1]), (SHAPE[0], 1))
    after = faults.toned_by(FilmSettings(gamma=2.0))(film(ramp), rng()).pixels
    assert after == pytest.approx(ramp**2, abs=1e-4)


def test_inverted_twice_is_as_it_was() -> None:
    before = film(disc(40, 30))
    once = faults.inverted(before, rng())
    assert once.pixels[40, 30] == pytest.approx(0.2)
    assert faults.inverted(once, rng()).pixels == pytest.approx(before.pixels, abs=1e-6)


def test_eight_bits_are_at_most_half_a_level_off() -> None:
    before = film(rng().random(SHAPE))
    after = faults.quantised(8)(before, rng()).pixels
    assert np.abs(after - before.pixels).max() <= 0.5 / 255 + 1e-6
    assert np.allclose(after * 255, np.round(after * 255), atol=1e-4)


def test_jpeg_loses_more_the_lower_its_quality() -> None:
    before = film(disc(55, 50) + 0.1 * rng().random(SHAPE))

    def error(quality: int) -> float:
        after = faults.compressed(quality)(before, rng()).pixels
        return float(np.sqrt(np.mean((after - before.pixels) ** 2)))

    assert 0 < error(95) < error(60) < error(30) < 0.05


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_other_pixels_leave_everything_where_it_is_in_mm(factor: float) -> None:
    before = film(disc(40, 65))
    after = faults.resampled(factor)(before, rng())
    assert after.pixels.shape == tuple(round(size * factor) for size in SHAPE)
    for axis in (0, 1):
        extent = after.spacing.value[axis] * after.pixels.shape[axis]
        assert extent == pytest.approx(STEP[axis] * SHAPE[axis])
    where = middle_of_bright(after.pixels) * after.spacing.value
    assert where == pytest.approx(middle_of_bright(before.pixels) * STEP, abs=0.05)
    assert after.pixels.mean() == pytest.approx(before.pixels.mean(), abs=2e-3)


@pytest.mark.parametrize("degrees", [10.0, -10.0])
def test_turned_is_counter_clockwise_as_seen_and_about_the_middle(degrees: float) -> None:
    before = disc(60, 80)
    after = faults.turned(degrees)(film(before), rng()).pixels
    # SimpleITK maps points of the result to points of the source; its rows run downwards.
    image = sitk.GetImageFromArray(before)
    middle = [(SHAPE[1] - 1) / 2, (SHAPE[0] - 1) / 2]
    expected = sitk.GetArrayFromImage(
        sitk.Resample(
            image,
            sitk.Euler2DTransform(middle, np.radians(degrees)),
            sitk.sitkLinear,
            float(before.min()),
        )
    )
    assert np.abs(after - expected)[5:-5, 5:-5].max() < 0.02
    assert np.sign(-middle_of_bright(after)[0]) == np.sign(degrees)  # the right side goes up


def test_cut_takes_its_shares_away() -> None:
    before = film(np.arange(12000.0).reshape(SHAPE))
    after = faults.cut(0.1, 0.2, 0.0, 0.25)(before, rng()).pixels
    assert np.array_equal(after, before.pixels[12:96, :75])


@pytest.mark.parametrize(("grey", "painted"), [(0.0, 0.2), (1.0, 0.8), (None, 0.8)])
def test_shutters_hide_the_border_and_leave_the_middle(grey: float | None, painted: float) -> None:
    before = film(disc(55, 50))
    shutters = Collimation((0.1, 0.1, 0.2, 0.2), grey=grey)
    after = faults.collimated(shutters)(before, rng()).pixels
    assert after[:9] == pytest.approx(painted)
    assert after[:, -18:] == pytest.approx(painted)
    assert np.array_equal(after[14:-14, 22:-22], before.pixels[14:-14, 22:-22])


def test_markers_are_white_and_few() -> None:
    before = film(np.full(SHAPE, 0.3) + 0.1 * (np.indices(SHAPE)[0] > 60))
    after = faults.marked()(before, rng()).pixels
    changed = after != before.pixels
    assert 0.002 < changed.mean() < 0.05
    assert (after >= before.pixels - 1e-6).all()
    assert np.median(after[changed]) > 0.9 * after.max() == pytest.approx(0.36)
    other = faults.marked()(before, np.random.default_rng(4)).pixels
    assert not np.array_equal(other, after)
