"""The networks: shapes, what each lifting sees, and that they learn."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.geometry import view_geometry
from XRayTo3DLib.imaging.projector import projection_matrices
from XRayTo3DLib.imaging.radiograph import Side, View
from XRayTo3DLib.reconstruction.networks import (
    CHEN,
    PAPER,
    NetworkSettings,
    ReconstructionNetwork,
)
from XRayTo3DLib.reconstruction.vnet import VNet, voxel_shuffle

SMALL = {"film_size": 32, "film_spacing": 5.0, "base": 4, "levels": 3, "film_base": 8}


def matrices(angle: float = 0.0) -> torch.Tensor:
    views = tuple(
        view_geometry(
            view, Side.RIGHT, sid=1100, sod=1000, spacing=(5.5, 5.5), shape=(32, 32), angle=angle
        )
        for view in (View.AP, View.LATERAL)
    )
    return torch.from_numpy(projection_matrices(views))[None]


@pytest.mark.parametrize(
    ("settings", "channels", "output"),
    [
        (NetworkSettings(lifting="stack", size=16, upscale=1, **SMALL), 2, 16),
        (NetworkSettings(lifting="backproject", size=24, upscale=1, **SMALL), 2, 24),
        (NetworkSettings(lifting="encode", size=16, upscale=2, film_features=6, **SMALL), 12, 32),
        (
            NetworkSettings(
                lifting="encode", size=16, upscale=2, film_features=6, silhouettes=True, **SMALL
            ),
            20,
            32,
        ),
    ],
)
def test_shapes(settings: NetworkSettings, channels: int, output: int) -> None:
    network = ReconstructionNetwork(settings)
    films = torch.rand(2, 2, 32, 32)
    pair = matrices().expand(2, -1, -1, -1)
    assert network.volume.down[0][0].in_channels == channels
    assert network(films, pair).shape == (2, 5, output, output, output)


@pytest.mark.parametrize(("silhouettes", "bones"), [(False, 0), (True, 4)])
def test_silhouettes_come_with_the_scores(silhouettes: bool, bones: int) -> None:
    settings = NetworkSettings(size=16, upscale=1, silhouettes=silhouettes, **SMALL)
    network = ReconstructionNetwork(settings)
    films = torch.rand(1, 2, 32, 32)
    scores, found = network.scores_and_silhouettes(films, matrices())
    assert found.shape == (1, 2, bones, 16, 16)
    torch.testing.assert_close(scores, network(films, matrices()))


def test_the_papers_network_sees_two_channels_of_128_cubed() -> None:
    network = ReconstructionNetwork(PAPER)
    with torch.no_grad():
        volume = network.lifted(torch.rand(1, 2, 1, 256, 256), matrices())
    assert volume.shape == (1, 2, 128, 128, 128)
    first = network.volume.down[0][0]
    assert (first.in_channels, first.kernel_size) == (2, (3, 3, 3))
    assert network.volume.head.out_channels == 5


@pytest.mark.parametrize(("lifting", "knows"), [("stack", False), ("backproject", True)])
def test_only_back_projection_knows_the_geometry(lifting: str, knows: bool) -> None:
    network = ReconstructionNetwork(NetworkSettings(lifting=lifting, size=16, upscale=1, **SMALL))
    films = torch.rand(1, 2, 1, 32, 32)
    same = torch.equal(
        network.lifted(films, matrices()), network.lifted(films, matrices(angle=20.0))
    )
    assert same is not knows


@pytest.mark.parametrize("lifting", ["stack", "backproject", "encode"])
def test_every_lifting_learns(lifting: str) -> None:
    torch.manual_seed(0)
    network = ReconstructionNetwork(
        NetworkSettings(lifting=lifting, size=16, upscale=1, film_features=4, **SMALL)
    )
    truth = torch.zeros(1, 16, 16, 16, dtype=torch.long)
    truth[:, 4:10, 5:12, 6:12] = 2
    films = torch.zeros(1, 2, 32, 32)
    films[..., 10:22, 9:20] = 1.0
    optimiser = torch.optim.AdamW(network.parameters(), lr=5e-3)
    losses = []
    for _ in range(60):
        loss = F.cross_entropy(network(films, matrices()), truth)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]
    assert all(p.grad is not None for p in network.parameters())


def test_sub_voxels_come_from_their_own_channels() -> None:
    scores = torch.arange(8.0).reshape(1, 8, 1, 1, 1)
    fine = voxel_shuffle(scores, 2)[0, 0]
    assert fine.shape == (2, 2, 2)
    assert [float(fine[z, y, x]) for z in (0, 1) for y in (0, 1) for x in (0, 1)] == list(range(8))


def test_volume_network_keeps_the_size() -> None:
    assert VNet(2, 5, 4, 3, 1)(torch.rand(1, 2, 8, 16, 24)).shape == (1, 5, 8, 16, 24)


@pytest.mark.parametrize(
    ("change", "said"), [({"lifting": "guess"}, "guess"), ({"size": 50}, "50")]
)
def test_impossible_settings(change: dict, said: str) -> None:
    with pytest.raises(XRayTo3DError, match=said):
        NetworkSettings(**change)


def test_chens_network_goes_through_one_vector_and_knows_no_geometry() -> None:
    network = ReconstructionNetwork(NetworkSettings(**{**vars(CHEN), "size": 32, "film_size": 64}))
    films = torch.rand(2, 2, 64, 64)
    scores = network(films, matrices().expand(2, -1, -1, -1))
    assert scores.shape == (2, 5, 32, 32, 32)
    assert network.volume.squeeze[0].out_features == CHEN.latent
    torch.testing.assert_close(network(films, None), scores)
    # Each film counts, and the two are not the same to it.
    assert not torch.allclose(network(films.flip(1), None), scores)


@pytest.mark.parametrize("change", [{"size": 48}, {"film_size": 100}])
def test_chens_network_needs_sizes_that_it_can_halve(change: dict) -> None:
    with pytest.raises(XRayTo3DError, match="latent needs films of a multiple of 64"):
        NetworkSettings(**{**vars(CHEN), **change})
