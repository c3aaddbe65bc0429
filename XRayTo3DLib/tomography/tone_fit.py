"""Which line integral a grey of a film stands for.

Nobody knows the tone curve of a film: exposure, logarithm, window and the maker's look-up table lie
between the rays and the greys. But more attenuation is brighter, so that the greys and the line
integrals of an estimate of the leg are tied by a rising curve, which isotonic regression finds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from XRayTo3DLib.errors import XRayTo3DError

_BINS = 96
_LEAST_RISE = 1e-4
"""Rise of the line integral from node to node that keeps the curve invertible."""


@dataclass(frozen=True)
class ToneCurve:
    """A rising curve between the greys of a film and line integrals.

    Attributes:
        greys: ``(n,)`` rising.
        integrals: ``(n,)`` rising, dimensionless (attenuation × length).
    """

    greys: np.ndarray
    integrals: np.ndarray

    def integral_of(self, greys: np.ndarray) -> np.ndarray:
        """Line integrals of greys, any shape; beyond the ends that of the end."""
        return np.interp(greys, self.greys, self.integrals).astype(np.float32)

    def grey_of(self, integrals: np.ndarray) -> np.ndarray:
        """Greys of line integrals, any shape; beyond the ends that of the end."""
        return np.interp(integrals, self.integrals, self.greys).astype(np.float32)


def fit_tone(greys: np.ndarray, integrals: np.ndarray) -> ToneCurve:
    """The rising curve that predicts the line integrals of an estimate from a film's greys.

    Medians of groups of alike greys, so that markers and borders do not bend the curve, then
    isotonic regression of the medians.

    Args:
        greys: ``(n,)`` of pixels.
        integrals: ``(n,)`` of the rays to the same pixels.

    Raises:
        XRayTo3DError: the greys do not tell anything apart.
    """
    order = np.argsort(greys, kind="stable")
    greys, integrals = greys[order].astype(float), integrals[order].astype(float)
    cuts = np.unique(np.searchsorted(greys, np.quantile(greys, np.linspace(0, 1, _BINS + 1)[1:-1])))
    groups = np.split(np.arange(len(greys)), cuts[(cuts > 0) & (cuts < len(greys))])
    nodes = np.array([np.median(greys[group]) for group in groups])
    medians = np.array([np.median(integrals[group]) for group in groups])
    nodes, first = np.unique(nodes, return_index=True)
    if len(nodes) < 2:
        raise XRayTo3DError("The film shows nothing but one grey; use another film.")
    weights = np.array([len(group) for group in groups], dtype=float)[first]
    rising = isotonic(medians[first], weights)
    return ToneCurve(nodes, rising + _LEAST_RISE * np.arange(len(nodes)))


def isotonic(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The never falling sequence nearest to ``values`` in weighted least squares.

    Pool adjacent violators (Ayer et al., Annals of Mathematical Statistics 26(4):641–647, 1955).
    """
    pools: list[tuple[float, float, int]] = []
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        count = 1
        while pools and pools[-1][0] > value:
            last, of_last, more = pools.pop()
            value = (last * of_last + value * weight) / (of_last + weight)
            weight, count = of_last + weight, count + more
        pools.append((value, weight, count))
    return np.repeat([pool[0] for pool in pools], [pool[2] for pool in pools])
