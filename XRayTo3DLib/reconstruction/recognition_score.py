"""How likely each way of looking at a film is, from what its silhouettes look like.

A conditional logit (McFadden 1974): the ways of looking at a film and "no knee" compete, and

    score(way) = − Σ weight(group) · misfit(group),    score(no knee) = a constant,

of which the softmax gives probabilities. A misfit is the mean over a group's features of the
squared standardised difference from the right silhouettes of that view, each bounded, so that no
single feature decides alone. What the numbers were fitted on, and how, is said in
``Testing/benchmarks/fit_recognition.py``; they stand in ``recognition_table.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.reconstruction.recognition_features import (
    DOUBT_FEATURES,
    EDGE_FEATURES,
    SHAPE_FEATURES,
    doubt,
    edges,
    shape_features,
)

FEATURES = (*SHAPE_FEATURES, *DOUBT_FEATURES, *EDGE_FEATURES)
GROUPS = ("area", "solidity", "place", "overlap", "parting", "doubt", "edge")

_MOST = 9.0
"""Bound of a squared standardised difference: three spreads."""

_BESIDE = 0.03
"""Share of a bone in the outermost two columns on either side from which it is cut off."""

_OF_GROUP = {
    "area": "area",
    "solidity": "solidity",
    "sideways": "place",
    "up": "place",
    "on": "overlap",
    "parting": "parting",
    "doubt": "doubt",
    "edge": "edge",
}


def feature_groups() -> np.ndarray:
    """Which group each feature belongs to, ``(features, groups)``; columns sum to one."""
    belongs = np.array(
        [
            [group in {_OF_GROUP.get(word) for word in name.split()} for group in GROUPS]
            for name in FEATURES
        ],
        dtype=float,
    )
    return belongs / belongs.sum(axis=0)


_GROUPS = feature_groups()


@dataclass(frozen=True)
class Scoring:
    """What the scores are worked out with.

    Attributes:
        middles: ``(2, features)`` of the right silhouettes of frontal and lateral films.
        spreads: ``(2, features)`` their standard deviations.
        weights: ``(groups,)``.
        no_knee: score of there being no knee.
    """

    middles: np.ndarray
    spreads: np.ndarray
    weights: np.ndarray
    no_knee: float

    def misfits(self, features: np.ndarray) -> np.ndarray:
        """How far from right silhouettes these are, group by group.

        Args:
            features: ``(2, N, features)``: N ways of looking at a film as a frontal one, and the
                same as a lateral one; what could not be measured is NaN and does not count.

        Returns:
            ``(2, N, groups)``, from 0 to 9.
        """
        differences = (features - self.middles[:, None]) / self.spreads[:, None]
        known = np.isfinite(differences)
        squares = np.minimum(np.where(known, differences, 0.0) ** 2, _MOST)
        return squares @ _GROUPS / np.maximum(known @ _GROUPS, 1e-9)

    def scores(self, features: np.ndarray) -> np.ndarray:
        """``(2, N)``: the scores of the ways, above :attr:`no_knee` where it is a knee."""
        return -(self.misfits(features) @ self.weights)


def measured(silhouettes: Tensor, pictures: Tensor, step: float) -> np.ndarray:
    """All features of silhouettes.

    Args:
        silhouettes: ``(N, 4, rows, columns)``, 0–1, of the bones in label order.
        pictures: ``(N, rows, columns)``, 0–1, bone bright, in which they were seen.
        step: mm between pixels, at the isocentre.

    Returns:
        ``(N, features)``; NaN of a fibula that a side of the picture cuts off, as it does where the
        joint is far off the middle.
    """
    parts = (
        shape_features(silhouettes, step),
        doubt(silhouettes),
        edges(silhouettes, pictures, step),
    )
    features = np.concatenate(parts, axis=1)
    of_fibula = np.array([Bone.FIBULA.key in name for name in FEATURES])
    features[_is_cut(silhouettes[:, Bone.FIBULA - 1])[:, None] & of_fibula] = np.nan
    return features


def _is_cut(silhouettes: Tensor) -> np.ndarray:
    """Whether each bone of ``(N, rows, columns)`` goes on beside the picture."""
    beside = silhouettes[..., [0, 1, -2, -1]].sum(dim=(1, 2))
    return (beside > _BESIDE * silhouettes.sum(dim=(1, 2)) + 1e-9).numpy()
