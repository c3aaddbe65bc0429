"""Which line integral a grey of a film stands for.

Nobody knows the tone curve of a film: exposure, logarithm, window and the maker's look-up table lie
between the rays and the greys. But more attenuation is brighter, so that the greys and the line
integrals of an estimate of the leg are tied by a rising curve.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.optimize import lsq_linear

from XRayTo3DLib.errors import XRayTo3DError

_GROUPS = 96
_KNOTS = 17
_NODES = 513

_LEAST_SLOPE = 0.15
"""Share of the mean slope below which the curve never falls. Isotonic regression has level steps;
its inverse jumps, and a re-projection through it has contours like a map."""

_STIFFNESS = 0.1
"""Weight of the curve's bends beside its misfit (root of the ratio of their squares)."""


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

    Medians of groups of alike greys, so that markers and borders do not bend the curve; through
    them a piecewise linear curve whose steps are bounded from below, in penalised least squares
    (as the P-splines of Eilers and Marx, Statistical Science 11(2), 1996); rounded by a monotone
    cubic (Fritsch and Carlson, SIAM J. Numer. Anal. 17(2), 1980).

    Args:
        greys: ``(n,)`` of pixels.
        integrals: ``(n,)`` of the rays to the same pixels.

    Raises:
        XRayTo3DError: the greys do not tell anything apart.
    """
    if not float(greys.max()) > float(greys.min()):
        raise XRayTo3DError("The film shows nothing but one grey; use another film.")
    medians, weights = _grouped(greys, integrals)
    knots = np.linspace(float(greys.min()), float(greys.max()), _KNOTS)
    low, high = np.percentile(integrals, (0.5, 99.5))
    least = _LEAST_SLOPE * max(float(high - low), 1e-3) / (_KNOTS - 1)
    heights = _rising(medians[:, 0], medians[:, 1], weights, knots, least)
    nodes = np.linspace(knots[0], knots[-1], _NODES)
    return ToneCurve(nodes, PchipInterpolator(knots, heights)(nodes))


def _grouped(greys: np.ndarray, integrals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Medians (grey, integral) ``(groups, 2)`` of about equally many pixels, and their shares."""
    order = np.argsort(greys, kind="stable")
    pairs = np.stack([greys[order], integrals[order]], axis=1).astype(float)
    edges = np.quantile(pairs[:, 0], np.linspace(0.0, 1.0, _GROUPS + 1)[1:-1])
    # Pixels of one grey, as all of the air may be, stay in one group.
    cuts = np.unique(np.searchsorted(pairs[:, 0], edges, side="right"))
    groups = np.split(pairs, cuts[(cuts > 0) & (cuts < len(pairs))])
    medians = np.array([np.median(group, axis=0) for group in groups])
    return medians, np.array([len(group) for group in groups]) / len(pairs)


def _rising(
    x: np.ndarray, y: np.ndarray, weights: np.ndarray, knots: np.ndarray, least: float
) -> np.ndarray:
    """Heights at knots of the piecewise linear curve nearest to points, each step at least so."""
    hats = np.stack([np.interp(x, knots, row) for row in np.eye(len(knots))], axis=1)
    steps = np.tril(np.ones((len(knots), len(knots))))  # from first height and steps to heights
    root = np.sqrt(weights)[:, None]
    bends = _STIFFNESS * np.diff(np.eye(len(knots)), n=2, axis=0)
    system = np.concatenate([root * hats, bends]) @ steps
    wanted = np.concatenate([root[:, 0] * y, np.zeros(len(bends))])
    bounds = np.full(len(knots), least)
    bounds[0] = 0.0
    return steps @ lsq_linear(system, wanted, bounds=(bounds, np.inf)).x
