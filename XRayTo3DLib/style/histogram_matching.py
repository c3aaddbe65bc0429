"""The plainest translation of style: give a film the greys of another kind of film."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

_NODES = 129
_AIR = 0.02
"""Grey up to which a pixel of a normalised film is taken as air: how much of it there is says how
large the leg is, nothing of the style."""


def reference_quantiles(films: Tensor) -> Tensor:
    """The greys of a kind of film: quantiles of all pixels that are not air.

    Args:
        films: ``(..., rows, columns)`` in 0–1, normalised.

    Returns:
        ``(129,)`` float32, rising, at equally spaced probabilities from 0 to 1.
    """
    greys = films.detach().cpu().numpy()
    probabilities = np.linspace(0.0, 1.0, _NODES)
    return torch.from_numpy(np.quantile(greys[greys > _AIR], probabilities).astype(np.float32))


def match_histogram(film: Tensor, quantiles: Tensor) -> Tensor:
    """The film with other greys: its own quantiles are moved to those of another kind of film.

    Gonzalez and Woods, Digital Image Processing, 2018, sec. 3.3 ("histogram specification"). Air
    stays as it is; a film of nothing but air comes back unchanged.

    Args:
        film: ``(rows, columns)`` in 0–1, normalised.
        quantiles: of the kind of film wanted, from :func:`reference_quantiles`.

    Returns:
        ``(rows, columns)`` float32 in 0–1; a pixel brighter than another is never darker than it.
    """
    greys = film.detach().cpu().numpy().astype(float)
    leg = greys > _AIR
    if not leg.any():
        return film
    own = np.quantile(greys[leg], np.linspace(0.0, 1.0, len(quantiles)))
    wanted = quantiles.cpu().numpy().astype(float)
    # From black to the darkest of the leg the curve is a straight line.
    matched = np.interp(greys, np.concatenate([[0.0], own]), np.concatenate([[0.0], wanted]))
    return torch.from_numpy(matched.astype(np.float32)).to(film.device)
