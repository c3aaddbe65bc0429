"""The leg's outline on films of a cylinder, whose shadow is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from XRayTo3DLib.imaging.geometry import ViewGeometry, view_geometry
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.radiograph import Side, View
from XRayTo3DLib.tomography.leg_outline import carved, decided, leg_outline

GRID = VolumeGrid.cube(48, 192.0)
RADIUS, WATER = 50.0, 0.02059  # 1/mm at 60 keV (NIST)
AP = view_geometry(View.AP, Side.RIGHT, sid=1100, sod=1000, spacing=(1.1, 1.1), shape=(150, 170))


def from_axis(grid: VolumeGrid = GRID) -> np.ndarray:
    """mm of each voxel from the leg's axis, ``(z, y, x)``."""
    x, y, z = grid.axes()
    return np.broadcast_to(np.hypot(y[:, None], x), (len(z), len(y), len(x)))


def guess() -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation of a leg of 40 to 70 mm radius: it may be that of RADIUS."""
    probable = torch.from_numpy(np.clip((70.0 - from_axis()) / 30.0, 0.0, 1.0)).float()
    return WATER * probable, WATER * (probable * (1.0 - probable)).sqrt()


def thickness(view: ViewGeometry = AP) -> np.ndarray:
    """mm of each ray within the cylinder of RADIUS about z."""
    along = view.pixel_positions() - view.source
    along /= np.linalg.norm(along, axis=-1, keepdims=True)
    flat = np.linalg.norm(along[..., :2], axis=-1)
    miss = np.abs(along[..., 0] * view.source[1] - along[..., 1] * view.source[0]) / flat
    return 2.0 * np.sqrt(np.clip(RADIUS**2 - miss**2, 0.0, None)) / flat


def shown(seed: int = 0) -> np.ndarray:
    """A film of unknown exposure and curve, with noise."""
    noise = np.random.default_rng(seed).normal(0.0, 0.01, AP.shape)
    return 0.2 + 0.7 * (1.0 - np.exp(-WATER * thickness())) + noise


def test_rays_beside_the_leg_become_air_and_those_through_it_leg():
    mean, _ = guess()
    outline = leg_outline(shown(), AP, mean, GRID)
    across = np.abs(outline.detector.pixel_positions() @ np.array([1.0, 0.0, 0.0]))
    leg = torch.from_numpy((across / 1.1 < RADIUS - 5) & (outline.known.numpy()))
    air = torch.from_numpy((across / 1.1 > RADIUS + 5) & (outline.known.numpy()))
    assert float(outline.before[air].mean()) > 0.1
    assert float(outline.after[leg].min()) > 0.9
    assert float(outline.after[air].max()) < 0.2 and float(outline.after[air].mean()) < 0.02


def test_beside_the_film_nothing_is_learnt():
    outline = leg_outline(shown(), AP, guess()[0], GRID)
    beside = ~outline.known
    assert bool(beside.any())
    torch.testing.assert_close(outline.after[beside], outline.before[beside])


def test_a_black_film_carves_little_and_none_of_the_core():
    mean, deviation = guess()
    film = np.where(thickness() > 95.0, 0.5, 0.0)  # a window that shows nothing thinner
    found, _ = carved(mean, deviation, GRID, [(film, AP)])
    core = torch.from_numpy(from_axis() < 30.0)
    assert float((found / mean)[core].min()) > 0.9


@pytest.mark.parametrize("seed", [0, 1])
def test_what_is_left_is_nearer_to_the_truth(seed: int):
    mean, deviation = guess()
    truth = torch.from_numpy(WATER * (from_axis() < RADIUS)).float()
    found, spread = carved(mean, deviation, GRID, [(shown(seed), AP)])
    x = torch.from_numpy(np.abs(GRID.axes()[0])).expand(GRID.shape)
    beside = (x > RADIUS + 8.0) & (x < 68.0)
    seen = torch.zeros(GRID.shape, dtype=torch.bool)
    seen[14:34] = True
    assert float(found[beside & seen].max()) < 0.05 * WATER
    assert float(spread[beside & seen].max()) < 0.25 * WATER
    assert float((found - truth)[seen].abs().mean()) < 0.85 * float(
        (mean - truth)[seen].abs().mean()
    )
    core = torch.from_numpy(from_axis() < RADIUS - 10.0) & seen
    torch.testing.assert_close(found[core], mean[core], rtol=0.1, atol=0.0)


def test_what_is_half_leg_is_drawn_to_the_likelier():
    mean, _ = guess()
    found, share = decided(mean), mean / WATER
    truth = torch.from_numpy(WATER * (from_axis() < 55.0)).float()  # where leg is likelier than air
    assert float((found - truth).abs().mean()) < 0.85 * float((mean - truth).abs().mean())
    assert bool((found <= mean)[share < 0.5].all()) and bool((found >= mean)[share > 0.5].all())
    denser = torch.tensor([1.0, 1.7, 3.0]) * WATER
    torch.testing.assert_close(decided(denser), denser)
