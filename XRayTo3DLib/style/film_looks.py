"""The looks of other makers' films, laid over a simulated one."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

_CURVES = (0.65, 1.5)
"""Exponents between which a tone curve bends."""


def random_look(film: np.ndarray, spacing: float, rng: np.random.Generator) -> np.ndarray:
    """Another console's processing: edges, tone and grain, drawn anew for each film.

    Applied to films of gVirtualXRay, whose simulation knows three makers
    (:class:`XRayTo3DLib.evaluation.gvxr_film.Manufacturer`), so that a set shows more than three.

    Args:
        film: ``(rows, columns)`` in 0–1, bone bright.
        spacing: mm between pixels at the detector.
        rng: source of chance.

    Returns:
        ``(rows, columns)`` float32 in 0–1.
    """
    film = _sharpened(np.asarray(film, dtype=float), spacing, rng)
    film = _toned(np.clip(film, 0.0, 1.0), rng)
    grain = rng.uniform(0.0, 0.012) * _grain(film.shape, rng.uniform(0.0, 0.3) / spacing, rng)
    return np.clip(film + grain, 0.0, 1.0).astype(np.float32)


def _sharpened(film: np.ndarray, spacing: float, rng: np.random.Generator) -> np.ndarray:
    """Unsharp masking, by nothing up to as much as the detail itself."""
    amount, radius = rng.uniform(0.0, 1.0), rng.uniform(0.5, 3.0)
    return film + amount * (film - gaussian_filter(film, radius / spacing, mode="nearest"))


def _toned(film: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An exponent, and a share of an S-shaped curve about a middle grey."""
    film = film ** np.exp(rng.uniform(*np.log(_CURVES)))
    slope, centre, share = rng.uniform(3.0, 8.0), rng.uniform(0.3, 0.7), rng.uniform(0.0, 1.0)
    low, high = (np.tanh(slope / 2 * (end - centre)) for end in (0.0, 1.0))
    bent = (np.tanh(slope / 2 * (film - centre)) - low) / (high - low)
    return film + share * (bent - film)


def _grain(shape: tuple[int, ...], width: float, rng: np.random.Generator) -> np.ndarray:
    """Noise of unit deviation, correlated over ``width`` pixels."""
    noise = gaussian_filter(rng.standard_normal(shape), width)
    return noise / noise.std()
