"""How much more the lateral film is magnified than stated, from how well other guesses agree.

A network that is shown a film of another size than stated works out a compromise, whose outlines
agree with both films nearly as well as they should: a fit to them sees a quarter of the error. But
the network can be shown the films at several magnifications, and what it makes of each agrees the
better, the nearer that one is to the truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from XRayTo3DLib.imaging.geometry import BiplanarGeometry
from XRayTo3DLib.reconstruction.refine_motion import (
    FILM_MAGNIFICATION,
    VIEW_NUMBERS,
    corrected_view,
)

SPREAD = 0.05
"""Share by which the network is shown the lateral smaller and larger than stated."""


def magnified(geometry: BiplanarGeometry, share: float) -> BiplanarGeometry:
    """The geometry with a lateral magnification that is greater by a share."""
    numbers = np.zeros(VIEW_NUMBERS)
    numbers[3] = share
    return replace(geometry, lateral=corrected_view(geometry.lateral, numbers))


def likeliest(costs: Sequence[float]) -> tuple[float, float]:
    """The magnification that is most probable, by a parabola through three costs and the prior.

    Args:
        costs: twice the negative logarithms of the probabilities of what the network makes of
            films that are magnified by :data:`SPREAD` less, as stated, and by as much more.

    Returns:
        share by which the lateral is magnified more than stated, at most :data:`SPREAD` either
        way, and by how much that lowers the cost, prior included. Nothing where three costs have
        no minimum.
    """
    less, stated, more = costs
    slope = (more - less) / (2.0 * SPREAD)
    curvature = (less - 2.0 * stated + more) / SPREAD**2 + 2.0 / FILM_MAGNIFICATION**2
    if curvature <= 0.0:
        return 0.0, 0.0
    share = float(np.clip(-slope / curvature, -SPREAD, SPREAD))
    return share, -(slope * share + 0.5 * curvature * share**2)
