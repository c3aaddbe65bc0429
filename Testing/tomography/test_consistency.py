"""Volumes made to project to what was measured, on analytic solids."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from XRayTo3DLib.imaging.geometry import ViewGeometry, view_geometry
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.projector import project
from XRayTo3DLib.imaging.radiograph import Side, View
from XRayTo3DLib.tomography.consistency import MeasuredView, made_consistent
from XRayTo3DLib.tomography.film_fit import compare_films, fit_film
from XRayTo3DLib.tomography.film_sampling import film_on, without_white_edge
from XRayTo3DLib.tomography.resampling import resampled

GRID = VolumeGrid.cube(32, 96.0)
RADIUS, DENSITY = 25.0, 0.02


def camera(view: View, size: int = 48) -> ViewGeometry:
    return view_geometry(
        view, Side.RIGHT, sid=1100, sod=1000, spacing=(2.2, 2.2), shape=(size, size)
    )


def chord(view: ViewGeometry) -> np.ndarray:
    """mm of each ray within the ball of RADIUS about the isocentre."""
    along = view.pixel_positions() - view.source
    along /= np.linalg.norm(along, axis=-1, keepdims=True)
    nearest = np.linalg.norm(np.cross(along, -view.source), axis=-1)
    return 2.0 * np.sqrt(np.clip(RADIUS**2 - nearest**2, 0.0, None))


def measured(view: ViewGeometry) -> MeasuredView:
    integrals = torch.from_numpy(DENSITY * chord(view)).float()
    return MeasuredView(view, integrals, torch.ones(view.shape, dtype=torch.bool))


def distance() -> torch.Tensor:
    x, y, z = GRID.axes()
    squares = z[:, None, None] ** 2 + y[:, None] ** 2 + x**2
    return torch.from_numpy(np.sqrt(squares)).float()


def test_one_view_is_reproduced():
    view = measured(camera(View.AP))
    start = torch.zeros(GRID.shape)
    found = made_consistent(start, torch.ones(GRID.shape), GRID, [view], rounds=5)
    error = (project(found, GRID, view.view) - view.integrals).square().mean().sqrt()
    assert float(error) < 0.02 * float(view.integrals.max())
    assert float(found.min()) >= 0.0


def test_known_support_gives_the_density_of_a_ball():
    variance = (distance() < RADIUS).float() + 1e-6
    views = [measured(camera(View.AP)), measured(camera(View.LATERAL))]
    found = made_consistent(torch.zeros(GRID.shape), variance, GRID, views, rounds=5)
    core = distance() < RADIUS - 6.0
    assert float((found[core] - DENSITY).abs().mean()) < 0.05 * DENSITY
    assert float(found[distance() > RADIUS + 6.0].max()) < 0.02 * DENSITY


def test_what_is_certain_stays():
    truth = DENSITY * (distance() < RADIUS).float()
    y = torch.from_numpy(GRID.axes()[1]).float()
    variance = torch.where((y > 0)[None, :, None] & (truth > 0), 1.0, 1e-6)
    view = measured(camera(View.AP))
    found = made_consistent(0.5 * truth, variance, GRID, [view], rounds=5)
    behind = (y < -3)[None, :, None].expand(GRID.shape)
    in_front = (y > 3)[None, :, None].expand(GRID.shape) & (truth > 0)
    torch.testing.assert_close(found[behind], 0.5 * truth[behind], atol=1e-4, rtol=0)
    assert float(found[in_front].mean()) == pytest.approx(1.5 * DENSITY, rel=0.15)


def test_of_views_that_disagree_neither_wins():
    views = [measured(camera(View.AP)), measured(camera(View.LATERAL))]
    views[1] = MeasuredView(views[1].view, 1.2 * views[1].integrals, views[1].known)
    variance = (distance() < RADIUS).float()
    found = made_consistent(torch.zeros(GRID.shape), variance, GRID, views, rounds=10)
    middle = np.s_[16:32, 16:32]
    low, high = (
        float((project(found, GRID, each.view) / views[0].integrals)[middle].mean())
        for each in views
    )
    assert low == pytest.approx(high, abs=0.02)
    assert 1.07 < low < 1.13
    other = made_consistent(torch.zeros(GRID.shape), variance, GRID, views[::-1], rounds=10)
    torch.testing.assert_close(other, found, atol=1e-5, rtol=0)


def test_nothing_is_denser_than_may_be():
    truth = measured(camera(View.AP))
    support = (distance() < RADIUS).float()
    start = torch.zeros(GRID.shape)
    found = made_consistent(start, support, GRID, [truth], rounds=3, densest=0.6 * DENSITY)
    assert float(found.max()) == pytest.approx(0.6 * DENSITY)


def test_what_lies_outside_the_changed_part_is_kept_and_counted():
    variance = torch.zeros(GRID.shape)
    variance[8:24, 4:14, 8:24] = 1.0
    start = torch.zeros(GRID.shape)
    start[6:26, 20:28, 6:26] = DENSITY
    view = camera(View.AP)
    there = start.clone()
    there[10:22, 6:12, 10:22] = DENSITY
    integrals = project(there, GRID, view)
    known = torch.ones(view.shape, dtype=torch.bool)
    found = made_consistent(start, variance, GRID, [MeasuredView(view, integrals, known)], 5)
    torch.testing.assert_close(found[variance == 0], start[variance == 0])
    error = (project(found, GRID, view) - integrals).abs()
    assert float(error.mean()) < 0.02 * float(integrals.max())


def test_pixels_beside_the_film_say_nothing():
    view = measured(camera(View.AP))
    known = view.known.clone()
    known[:, :24] = False
    half = MeasuredView(view.view, torch.where(known, view.integrals, 99.0), known)
    found = made_consistent(torch.zeros(GRID.shape), torch.ones(GRID.shape), GRID, [half])
    projected = project(found, GRID, view.view)
    assert float(projected[:, :22].abs().max()) < 0.02
    assert float((projected - view.integrals)[:, 26:].abs().mean()) < 0.02


def test_a_film_with_an_unknown_tone_is_explained():
    view = camera(View.AP)
    film = (1.0 - np.exp(-2.0 * DENSITY * chord(view))).astype(np.float32)
    blurred = DENSITY * torch.sigmoid((RADIUS - distance()) / 4.0)
    fit = fit_film(film, view, blurred, GRID, np.inf)
    variance = blurred.square() + 1e-8
    found = made_consistent(blurred, variance, GRID, [fit.measured])
    truth = torch.from_numpy(DENSITY * chord(fit.detector)).float()
    before, after = (
        float((project(volume, GRID, fit.detector) - truth)[fit.known].abs().mean())
        for volume in (blurred, found)
    )
    assert after < 0.5 * before
    assert fit.agreement(found, GRID).ssim > fit.agreement(blurred, GRID).ssim + 0.05


def test_film_on_a_coarser_detector():
    view = camera(View.AP, 96)
    rows = np.arange(96, dtype=np.float32)[:, None]
    ramp = np.broadcast_to(rows, (96, 96))
    target = view.resampled(5.0, 16)
    values, inside = film_on(ramp, view, target)
    expected = view.project(target.pixel_positions())[..., 0]
    np.testing.assert_allclose(values.numpy(), expected, atol=0.51)
    assert bool(inside.all())
    _, inside = film_on(ramp, view, view.resampled(20.0, 16))
    wide = view.project(view.resampled(20.0, 16).pixel_positions())
    expected_inside = np.all((wide >= -0.5) & (wide <= 95.5), axis=-1)
    np.testing.assert_array_equal(inside.numpy(), expected_inside)


@pytest.mark.parametrize("inside", [False, True])
def test_a_white_frame_is_no_bone(inside: bool):
    rows, columns = np.mgrid[:60, :50]
    picture = (0.1 + 0.6 * np.exp(-((rows - 30) ** 2 + (columns - 25) ** 2) / 200)).astype(
        "float32"
    )
    picture[28:32, 20:30] = 1.0 if inside else 0.9  # a screw: white, but not at the edge
    frame = (rows < 7) | (columns > 44)
    picture[frame] = 1.0
    known = torch.ones(60, 50, dtype=torch.bool)
    known[:3] = False
    left = without_white_edge(torch.from_numpy(picture), known)
    np.testing.assert_array_equal(left.numpy(), known.numpy() & ~frame)


def test_comparison_has_the_textbook_psnr():
    film = torch.rand(32, 32, generator=torch.Generator().manual_seed(0))
    film.view(-1)[:2] = torch.tensor([0.0, 1.0])
    assert compare_films(film + 0.1, film).psnr == pytest.approx(20.0, abs=1e-3)
    assert compare_films(film + 0.1, film).ngcc == pytest.approx(1.0, abs=1e-4)


def test_resampling_is_scipys_linear_interpolation():
    source, target = VolumeGrid((9, 8, 7), 4.0), VolumeGrid((20, 22, 18), 2.1, (3.0, -2.0, 1.0))
    volume = np.random.default_rng(0).random(source.shape)
    x, y, z = target.axes()
    points = np.stack(np.meshgrid(x, y, z, indexing="ij"), axis=-1).transpose(2, 1, 0, 3)
    index = np.moveaxis(source.to_index(points), -1, 0)
    expected = map_coordinates(volume, index, order=1, mode="grid-constant", cval=0.0)
    both = torch.from_numpy(np.stack([volume, 2.0 * volume]))
    found = resampled(both, source, target)
    np.testing.assert_allclose(found[0].numpy(), expected, atol=1e-9)
    np.testing.assert_allclose(found[1].numpy(), 2.0 * expected, atol=1e-9)


def test_resampling_keeps_a_linear_field():
    target = VolumeGrid((10, 12, 14), 2.0, (3.0, -4.0, 5.0))

    def field(grid: VolumeGrid) -> torch.Tensor:
        x, y, z = grid.axes()
        return torch.from_numpy(z[:, None, None] + 2 * y[:, None] - 3 * x).float()

    torch.testing.assert_close(
        resampled(field(GRID), GRID, target), field(target), atol=1e-3, rtol=0
    )
    far = VolumeGrid((4, 4, 4), 2.0, (200.0, 0.0, 0.0))
    assert float(resampled(field(GRID), GRID, far).abs().max()) == 0.0
