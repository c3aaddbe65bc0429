"""The network of densities: what it starts from, which films it looks at, what it learns from."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.geometry import view_geometry
from XRayTo3DLib.imaging.projector import projection_matrices
from XRayTo3DLib.imaging.radiograph import Side, View
from XRayTo3DLib.tomography.density_network import (
    LEVELS,
    DensityNetwork,
    DensityNetworkSettings,
    moments,
)
from XRayTo3DLib.training.density_loss import level_cross_entropy, level_shares

SMALL = DensityNetworkSettings(size=16, base=2, levels=2, film_base=2, film_features=2)


def network(seed: int = 0) -> DensityNetwork:
    torch.manual_seed(seed)
    return DensityNetwork(SMALL)


def films_and_matrices() -> tuple[torch.Tensor, torch.Tensor]:
    views = tuple(
        view_geometry(view, Side.RIGHT, sid=1100, sod=1000, spacing=(3.0, 3.0), shape=(64, 64))
        for view in (View.AP, View.LATERAL)
    )
    films = torch.rand(1, 2, 64, 64, generator=torch.Generator().manual_seed(1))
    return films, torch.from_numpy(projection_matrices(views))[None]


def test_what_it_gives_lies_between_air_and_cortex():
    mean, logarithm = network()(*films_and_matrices(), torch.ones(1, 2))
    assert mean.shape == logarithm.shape == (1, *SMALL.grid.shape)
    assert float(mean.detach().min()) >= LEVELS[0] and float(mean.detach().max()) <= LEVELS[-1]


@pytest.mark.parametrize("missing", [0, 1])
def test_film_that_is_not_there_is_not_looked_at(missing: int):
    net = network()
    films, matrices = films_and_matrices()
    present = torch.ones(1, 2)
    present[0, missing] = 0.0
    once, _ = net(films, matrices, present)
    films[0, missing] = 1.0 - films[0, missing]
    matrices[0, missing] = matrices[0, 1 - missing]
    torch.testing.assert_close(net(films, matrices, present)[0], once)
    present[0, missing] = 1.0
    assert not torch.allclose(net(films, matrices, present)[0], once)


def test_only_the_volumes_network_learns():
    net = network()
    mean, logarithm = net(*films_and_matrices(), torch.ones(1, 2))
    (mean.sum() + logarithm.sum()).backward()
    assert all(value.grad is None for value in net.films.parameters())
    assert net.volume.head.weight.grad is not None


def test_size_of_the_shipped_design():
    count = sum(value.numel() for value in DensityNetwork(DensityNetworkSettings()).parameters())
    assert count < 3_000_000


@pytest.mark.parametrize("values", [{"size": 48}, {"size": 16, "levels": 6}, {"base": 0}])
def test_impossible_networks_are_refused(values: dict[str, int]):
    with pytest.raises(XRayTo3DError, match=str(next(iter(values.values())))):
        DensityNetworkSettings(**values)


def test_moments_are_those_of_the_distribution():
    scores = torch.randn(2, len(LEVELS), 3, 4, 5, generator=torch.Generator().manual_seed(0))
    mean, logarithm = moments(scores)
    shares = np.exp(scores.double().numpy())
    shares /= shares.sum(axis=1, keepdims=True)
    values = np.moveaxis(np.broadcast_to(LEVELS, (2, 3, 4, 5, len(LEVELS))), -1, 1)
    expected = np.average(values, axis=1, weights=shares)
    spread = np.average((values - expected[:, None]) ** 2, axis=1, weights=shares)
    np.testing.assert_allclose(mean.numpy(), expected, rtol=1e-4)
    np.testing.assert_allclose(logarithm.exp().numpy(), spread, rtol=1e-3)


def test_shares_of_levels_mix_to_the_attenuation():
    truth = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0)) * LEVELS[-1]
    shares = level_shares(truth)
    assert int((shares > 0).sum(dim=1).max()) <= 2
    torch.testing.assert_close(shares.sum(dim=1), torch.ones_like(truth))
    mixed = torch.einsum("blzyx,l->bzyx", shares, torch.tensor(LEVELS))
    torch.testing.assert_close(mixed, truth)


def test_beyond_the_levels_counts_as_the_last():
    shares = level_shares(torch.tensor([-0.1, 9.0]).reshape(1, 1, 1, 2))
    assert shares[0, 0, 0, 0, 0] == 1 and shares[0, -1, 0, 0, 1] == 1


def test_cross_entropy_without_weights_is_that_of_torch():
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(2, len(LEVELS), 3, 4, 5, generator=generator)
    truth = torch.rand(2, 3, 4, 5, generator=generator) * LEVELS[-1]
    expected = torch.nn.functional.cross_entropy(scores, level_shares(truth))
    torch.testing.assert_close(level_cross_entropy(scores, truth, 1.0), expected)


def test_bone_counts_more():
    truth = torch.tensor([1.0, 2.0]).reshape(1, 1, 1, 2)
    wrong_in_bone = torch.zeros(1, len(LEVELS), 1, 1, 2)
    wrong_in_bone[..., 0] = 5.0 * level_shares(truth)[..., 0]
    wrong_in_muscle = torch.zeros(1, len(LEVELS), 1, 1, 2)
    wrong_in_muscle[..., 1] = 5.0 * level_shares(truth)[..., 1]
    losses = [
        float(level_cross_entropy(scores, truth, 4.0))
        for scores in (wrong_in_bone, wrong_in_muscle)
    ]
    assert losses[0] > 1.3 * losses[1]
