"""The generators begin at the identity; tone curves keep the order of greys; losses have limits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from XRayTo3DLib.reconstruction.losses import ngcc
from XRayTo3DLib.style.cycle_losses import anatomy_loss, least_squares
from XRayTo3DLib.style.discriminator import PatchDiscriminator
from XRayTo3DLib.style.history import History
from XRayTo3DLib.style.residual_generator import ResidualGenerator
from XRayTo3DLib.style.style_weights import new_generator, parameter_count
from XRayTo3DLib.style.tone_generator import ToneGenerator


def smooth_films(count: int = 2, size: int = 256, seed: int = 0) -> torch.Tensor:
    noise = np.random.default_rng(seed).standard_normal((count, 1, size, size))
    smooth = ndimage.gaussian_filter(noise, (0, 0, 4, 4))
    low, high = smooth.min(), smooth.max()
    return torch.from_numpy((smooth - low) / (high - low)).float()


def wild(generator: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """A generator with any weights, far from where it starts."""
    torch.manual_seed(seed)
    for parameter in generator.parameters():
        parameter.data.normal_(0.0, 0.5)
    return generator.eval()


@pytest.mark.parametrize(("method", "close"), [("cyclegan", 1e-6), ("curves", 5e-3)])
@pytest.mark.parametrize("size", [64, 128, 256])
def test_an_untrained_generator_is_the_identity(method: str, close: float, size: int) -> None:
    films = smooth_films(size=size)
    with torch.no_grad():
        styled = new_generator(method)(films)
    assert styled.shape == films.shape
    assert torch.allclose(styled, films, atol=close)


@pytest.mark.parametrize("method", ["cyclegan", "curves"])
def test_a_generator_is_small(method: str) -> None:
    assert parameter_count(new_generator(method)) < 1_500_000


def test_curves_never_fall_whatever_the_weights() -> None:
    generator = wild(ToneGenerator())
    with torch.no_grad():
        heights = generator.curves(smooth_films())
    assert heights.shape == (2, 9, 8, 8)
    assert (heights.diff(dim=1) >= 0).all()
    assert heights.min() >= 0
    assert heights.max() <= 1 + 1e-6


def test_a_curve_is_linear_between_its_heights() -> None:
    generator = ToneGenerator(steps=4)
    heights = torch.tensor([0.1, 0.2, 0.6, 0.65, 0.95])
    with torch.no_grad():
        shares = torch.diff(heights, prepend=torch.zeros(1), append=torch.ones(1))
        generator.last.bias.copy_(shares.log())  # the weights are zero: the same curve everywhere
        films = smooth_films(1)
        styled = generator(films)
    expected = np.interp(films.numpy(), np.linspace(0, 1, 5), heights.numpy())
    assert np.allclose(styled.numpy(), expected, atol=1e-5)


def test_curves_change_the_order_of_neighbours_hardly_ever_even_with_wild_weights() -> None:
    films = smooth_films(1)
    with torch.no_grad():
        styled = wild(ToneGenerator(), 3)(films)
    before, after = films[0, 0].diff(dim=1), styled[0, 0].diff(dim=1)
    strong = before.abs() > 0.01
    assert strong.sum() > 1000
    # The film's own slope against that of the curves from place to place.
    assert (before[strong] * after[strong] >= -1e-4).float().mean() > 0.99


def test_the_residual_generator_can_change_a_film() -> None:
    films = smooth_films(1, 64)
    with torch.no_grad():
        styled = wild(ResidualGenerator())(films)
    assert (styled - films).abs().mean() > 0.05


@pytest.mark.parametrize("size", [64, 128, 256])
def test_the_adversary_judges_patches(size: int) -> None:
    assert PatchDiscriminator()(torch.zeros(2, 1, size, size)).shape == (
        (2, 1, size // 4 - 2, size // 4 - 2)
    )


def test_the_adversary_sees_34_pixels() -> None:
    judge = PatchDiscriminator().eval()
    for module in judge.modules():
        if isinstance(module, torch.nn.InstanceNorm2d):  # which sees the whole film
            module.forward = lambda features: features
    film = torch.rand(1, 1, 128, 128, requires_grad=True)
    judge(film)[0, 0, 15, 15].backward()
    rows = film.grad[0, 0].abs().sum(dim=1).nonzero()
    assert int(rows.max() - rows.min()) + 1 == 34


def test_least_squares() -> None:
    scores = torch.tensor([0.0, 1.0, 3.0])
    assert least_squares(scores, True) == pytest.approx((1 + 0 + 4) / 3)
    assert least_squares(scores, False) == pytest.approx((0 + 1 + 9) / 3)


def test_tone_costs_no_anatomy_and_a_shift_does() -> None:
    films = smooth_films(2, 128)
    assert anatomy_loss(films, 0.3 * films + 0.2) == pytest.approx(0.0, abs=1e-3)
    assert anatomy_loss(films, -films) == pytest.approx(2.0, abs=1e-3)
    one, two = (anatomy_loss(films, torch.roll(films, shift, -1)) for shift in (1, 2))
    assert 0.01 < one < two


def test_the_anatomy_is_compared_in_tiles() -> None:
    film = smooth_films(1, 64)
    turned = film.clone()
    turned[..., :32, :32] = 1.0 - turned[..., :32, :32]
    parts = [film[0, 0, r : r + 32, c : c + 32] for r in (0, 32) for c in (0, 32)]
    strength = [np.sqrt(np.std(part.numpy(), ddof=1)) for part in parts]
    same = [float(ngcc(part, part)) for part in parts]
    expected = strength[0] * (1 + same[0]) + sum(
        s * (1 - g) for s, g in zip(strength[1:], same[1:], strict=True)
    )
    assert anatomy_loss(film, turned) == pytest.approx(expected / sum(strength), rel=1e-4)


def test_a_history_shows_the_newest_until_full_and_then_older_ones_half_the_time() -> None:
    history, rng = History(3), np.random.default_rng(0)
    first = [history.exchange(torch.tensor(float(n)), rng) for n in range(3)]
    assert [float(film) for film in first] == [0, 1, 2]
    later = [(n, float(history.exchange(torch.tensor(float(n)), rng))) for n in range(3, 403)]
    older = [shown for newest, shown in later if shown != newest]
    assert 150 < len(older) < 250
    assert len(set(older)) == len(older)  # what was shown is gone


def test_a_history_is_restored() -> None:
    history, other = History(2), History(2)
    for number in range(2):
        history.exchange(torch.full((1, 4), float(number)), np.random.default_rng(0))
    other.restore(history.state())
    shown = [
        each.exchange(torch.zeros(1, 4) - 1, np.random.default_rng(5)) for each in (history, other)
    ]
    assert torch.equal(*shown)
    assert History(2).state() is None
