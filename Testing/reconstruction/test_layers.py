"""Convolutions by oneDNN where PyTorch would not ask it: the same numbers, sooner."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from XRayTo3DLib.reconstruction import layers
from XRayTo3DLib.reconstruction.layers import Convolution3d, convolution_pair

SMALL, LARGE = (1, 8, 12, 12, 12), (1, 8, 52, 52, 10)


def both(channels: int) -> tuple[Convolution3d, nn.Conv3d]:
    torch.manual_seed(5)
    ours = Convolution3d(channels, 6, 3, padding=1)
    plain = nn.Conv3d(channels, 6, 3, padding=1)
    plain.load_state_dict(ours.state_dict())
    return ours, plain


@pytest.mark.parametrize("shape", [SMALL, LARGE, (2, 8, 6, 6, 6), (1, 8, 1, 5, 7)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_it_is_a_convolution(shape: tuple[int, ...], layout: torch.memory_format) -> None:
    ours, plain = both(shape[1])
    volume = torch.randn(shape).contiguous(memory_format=layout)
    assert torch.allclose(ours(volume), plain(volume), atol=1e-5)


def test_it_has_the_gradients_of_a_convolution() -> None:
    found = []
    for layer in both(8):
        volume = torch.randn(SMALL, generator=torch.Generator().manual_seed(1), requires_grad=True)
        (layer(volume) ** 2).sum().backward()
        found.append((volume.grad, layer.weight.grad, layer.bias.grad))
    for ours, plain in zip(*found, strict=True):
        assert torch.allclose(ours, plain, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("shape", "asked"), [(SMALL, True), (LARGE, False)])
def test_only_small_volumes_are_given_to_it(
    shape: tuple[int, ...], asked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    real = torch.mkldnn_convolution
    monkeypatch.setattr(torch, "mkldnn_convolution", lambda *a: calls.append(a) or real(*a))
    Convolution3d(8, 6, 3, padding=1)(torch.randn(shape))
    assert bool(calls) is (asked and torch.backends.mkldnn.is_available())


def test_reduced_precision_is_left_to_pytorch() -> None:
    ours, plain = both(8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert ours(torch.ones(SMALL)).dtype == torch.bfloat16
    double = torch.ones(SMALL, dtype=torch.float64)
    assert torch.allclose(ours.double()(double), plain.double()(double))


def test_without_onednn_it_is_a_convolution_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    monkeypatch.delattr(layers.torch, "mkldnn_convolution")
    ours, plain = both(8)
    volume = torch.randn(SMALL)
    assert torch.allclose(ours(volume), plain(volume), atol=1e-5)


def test_a_pair_keeps_the_names_of_its_weights() -> None:
    ours, plain = (convolution_pair(kind, 2, 4, 1) for kind in (Convolution3d, nn.Conv3d))
    assert ours.state_dict().keys() == plain.state_dict().keys()
