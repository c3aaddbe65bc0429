"""Smooth random displacement: samples of a Gaussian process over space."""

from __future__ import annotations

import numpy as np


class SmoothField:
    """A random smooth vector field with zero mean and a squared-exponential covariance.

    Random Fourier features (Rahimi and Recht, NIPS 2007): the field is a sum of cosines whose
    frequencies are drawn from the covariance's spectrum, so it can be evaluated anywhere.

    Args:
        rng: source of randomness.
        length: correlation length, mm.
        amplitude: standard deviation of each component, mm.
        components: of the value (3 for a displacement).
        features: number of cosines; more is nearer to Gaussian.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        length: float,
        amplitude: float,
        components: int = 3,
        features: int = 48,
    ) -> None:
        self._frequency = rng.normal(0.0, 1.0 / length, (3, features))
        self._phase = rng.uniform(0.0, 2.0 * np.pi, features)
        scale = amplitude * np.sqrt(2.0 / features)
        self._weight = rng.normal(0.0, scale, (features, components))

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Values ``(N, components)`` at RAS mm points ``(N, 3)``."""
        return np.cos(points @ self._frequency + self._phase) @ self._weight
