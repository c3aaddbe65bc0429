"""The losses on values worked out by hand, and against torch's own."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from XRayTo3DLib.imaging.geometry import view_geometry
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.projector import project, projection_matrices
from XRayTo3DLib.imaging.radiograph import Side, View
from XRayTo3DLib.reconstruction.losses import (
    dice_loss,
    ngcc,
    reprojection_loss,
    silhouette_loss,
    surface_weighted_cross_entropy,
    surface_weights,
)


@pytest.fixture
def picture() -> torch.Tensor:
    return torch.rand(9, 11, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


@pytest.mark.parametrize(
    ("factor", "offset", "expected"),
    [(1.0, 0.0, 1.0), (3.0, 2.0, 1.0), (0.1, -5.0, 1.0), (-2.0, 1.0, -1.0)],
)
def test_ngcc_of_an_image_with_its_multiple(
    picture: torch.Tensor, factor: float, offset: float, expected: float
) -> None:
    assert float(ngcc(picture, factor * picture + offset)) == pytest.approx(expected, abs=1e-4)


def test_ngcc_by_hand() -> None:
    # Down: (2, 0) and (0, 2), less their means (1, -1) and (-1, 1). Across: (1, -1) and (1, 3),
    # less their means (1, -1) and (-1, 1). Both correlate to -1.
    first = torch.tensor([[0.0, 1.0], [2.0, 1.0]])
    second = torch.tensor([[0.0, 1.0], [0.0, 3.0]])
    assert float(ngcc(first, second)) == pytest.approx(-1.0, abs=1e-5)


def test_ngcc_is_the_mean_of_both_directions() -> None:
    # Down nothing changes, which counts 0. Across, (1, 2, 0) meets (0, 1, 2): less their means
    # (0, 1, -1) and (-1, 0, 1), whose correlation is -1/2.
    first = torch.tensor([[0.0, 1.0, 3.0, 3.0], [0.0, 1.0, 3.0, 3.0]])
    second = torch.tensor([[0.0, 0.0, 1.0, 3.0], [0.0, 0.0, 1.0, 3.0]])
    assert float(ngcc(first, second)) == pytest.approx(0.5 * (0.0 - 0.5), abs=1e-4)


def test_ngcc_without_gradients_is_nought(picture: torch.Tensor) -> None:
    assert float(ngcc(picture, torch.ones_like(picture))) == 0.0


def test_surface_weights_by_hand() -> None:
    weights = surface_weights(torch.tensor([0.0, 2.0, -2.0, 50.0]), strength=4.0, width=2.0)
    once = 1.0 + 4.0 * math.exp(-0.5)
    np.testing.assert_allclose(weights, [5.0, once, once, 1.0], rtol=1e-6)


def test_cross_entropy_of_whole_voxels_is_torchs_own() -> None:
    torch.manual_seed(0)
    scores = torch.randn(2, 5, 4, 4, 4)
    nearest = torch.randint(1, 5, (2, 4, 4, 4))
    depth = torch.where(torch.rand(2, 4, 4, 4) < 0.5, 3.0, -3.0)
    ours = surface_weighted_cross_entropy(scores, nearest, depth, spacing=1.0, strength=0.0)
    theirs = F.cross_entropy(scores, torch.where(depth > 0, nearest, 0))
    assert float(ours) == pytest.approx(float(theirs), rel=1e-6)


def test_dice_loss_by_hand() -> None:
    # Four voxels, sure scores: two of the femur, of which one is found and one is missed; one of
    # background taken for femur. Dice 2·1 / (2 + 2), and with one added to both parts 3 / 5.
    nearest = torch.ones(1, 1, 1, 4, dtype=torch.long)
    depth = torch.tensor([5.0, 5.0, -5.0, -5.0]).reshape(1, 1, 1, 4)
    scores = torch.full((1, 5, 1, 1, 4), -50.0)
    scores[0, 0, 0, 0, [1, 3]] = 50.0
    scores[0, 1, 0, 0, [0, 2]] = 50.0
    loss = dice_loss(scores, nearest, depth, spacing=1.0)
    assert float(loss) == pytest.approx((1.0 - 3.0 / 5.0) / 4.0, abs=1e-6)  # others: nothing lost


def test_dice_loss_counts_half_of_a_voxel_cut_in_half() -> None:
    nearest, depth = torch.ones(1, 1, 1, 1, dtype=torch.long), torch.zeros(1, 1, 1, 1)
    scores = torch.full((1, 5, 1, 1, 1), -50.0)
    scores[0, :2] = 0.0  # even odds of femur and background
    # Dice (2·½·½ + 1) / (½ + ½ + 1)
    expected = (1.0 - 1.5 / 2.0) / 4.0
    assert float(dice_loss(scores, nearest, depth, spacing=1.0)) == pytest.approx(expected)


def test_silhouette_loss_by_hand() -> None:
    # Even odds on two pixels, one of them bone: entropy log 2, Dice (2·½ + 1) / (1 + 1 + 1).
    truth = torch.tensor([1.0, 0.0]).reshape(1, 1, 1, 1, 2)
    loss = silhouette_loss(torch.zeros_like(truth), truth)
    assert float(loss) == pytest.approx(math.log(2.0) + 1.0 - 2.0 / 3.0, rel=1e-6)


def test_a_voxel_cut_in_half_wants_even_odds() -> None:
    scores = torch.zeros(1, 5, 1, 1, 1)
    scores[0, 3:] = -30.0
    scores[0, 2] = -30.0
    nearest, depth = torch.ones(1, 1, 1, 1, dtype=torch.long), torch.zeros(1, 1, 1, 1)
    loss = surface_weighted_cross_entropy(scores, nearest, depth, spacing=1.0)
    assert float(loss) == pytest.approx(math.log(2.0), abs=1e-5)


def test_surface_voxels_count_more() -> None:
    scores = torch.zeros(1, 5, 1, 1, 2)
    scores[0, 0, 0, 0, 0] = 10.0  # right far from the surface, undecided on it
    nearest = torch.ones(1, 1, 1, 2, dtype=torch.long)
    depth = torch.tensor([-20.0, -0.6]).reshape(1, 1, 1, 2)
    even = surface_weighted_cross_entropy(scores, nearest, depth, 1.0, strength=0.0)
    weighted = surface_weighted_cross_entropy(scores, nearest, depth, 1.0, strength=9.0)
    assert float(weighted) > 1.5 * float(even)


def test_reprojection_is_best_in_the_right_place() -> None:
    grid = VolumeGrid.cube(32, 153.6)
    views = tuple(
        view_geometry(view, Side.RIGHT, sid=1100, sod=1000, spacing=(3.0, 3.0), shape=(64, 64))
        for view in (View.AP, View.LATERAL)
    )
    box = torch.zeros(grid.shape)
    box[8:20, 10:22, 12:20] = 1.0
    films = torch.stack([project(box, grid, view) for view in views])[None]
    matrices = torch.from_numpy(projection_matrices(views))[None]

    def loss(solid: torch.Tensor) -> torch.Tensor:
        scores = torch.full((1, 5, *grid.shape), -20.0)
        scores[0, 0], scores[0, 1] = 20.0 * (1 - solid), 20.0 * solid
        return reprojection_loss(scores, films, matrices, grid)

    here, moved = loss(box), loss(box.roll(4, dims=0))
    assert float(here) < 0.05
    assert float(moved) > float(here) + 0.3
