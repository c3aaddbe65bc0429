"""A translation that cannot move an edge: a tone curve for every place of the film."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_SEEN = 64
"""Pixels a side of the reduced film from which the curves are estimated."""

_CELLS = 8
"""Places a side at which a curve is estimated; between them it is interpolated."""


class ToneGenerator(nn.Module):
    """Estimates a rising tone curve at 8×8 places and applies them to the film as it is.

    A grid of curves sliced at a pixel's place and grey is a bilateral grid (Chen, Paris and
    Durand, ACM TOG 26(3), 2007; as a network's output: Gharbi et al., ACM TOG 36(4), 2017);
    estimating curves instead of pixels is that of Zero-DCE (Guo et al., CVPR 2020). Each curve
    rises everywhere and its change from place to place is smooth, so whatever the network learns,
    brighter stays brighter in every neighbourhood and detail is neither invented nor moved.

    Args:
        base: channels of the first layer.
        steps: straight pieces of a curve.
    """

    def __init__(self, base: int = 16, steps: int = 8) -> None:
        super().__init__()
        self.steps = steps
        layers: list[nn.Module] = []
        widths = (1, base, 2 * base, 4 * base)
        for channels_in, channels_out in zip(widths[:-1], widths[1:], strict=True):
            layers += [
                nn.Conv2d(channels_in, channels_out, 3, stride=2, padding=1),
                nn.LeakyReLU(0.2, inplace=True),
            ]
        self.local = nn.Sequential(*layers)
        self.whole = nn.Linear(4 * base, 4 * base)
        self.last = nn.Conv2d(4 * base, steps + 2, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        with torch.no_grad():
            # exp(0) a step and nothing at either end is the identity.
            self.last.bias.copy_(torch.tensor([-4.0, *[0.0] * steps, -4.0]))

    def forward(self, films: Tensor) -> Tensor:
        """Films ``(B, 1, rows, columns)`` in 0–1 in the other style; the same shape, in 0–1."""
        curves = self.curves(films)
        heights = F.interpolate(curves, films.shape[-2:], mode="bilinear", align_corners=False)
        position = films.clamp(0.0, 1.0) * self.steps
        result = heights[:, :1]
        for step in range(self.steps):
            rise = heights[:, step + 1 : step + 2] - heights[:, step : step + 1]
            result = result + rise * (position - step).clamp(0.0, 1.0)
        return result

    def curves(self, films: Tensor) -> Tensor:
        """Heights ``(B, steps + 1, 8, 8)`` of the curves at equally spaced greys, rising in 0–1.

        The end pieces say how far the curve stays from black and from white.
        """
        seen = F.interpolate(films, (_SEEN, _SEEN), mode="area")
        features = self.local(seen)
        features = features + self.whole(features.mean(dim=(-2, -1)))[..., None, None]
        shares = F.softmax(self.last(F.leaky_relu(features, 0.2)), dim=1)
        return shares.cumsum(dim=1)[:, :-1]
