"""A knee that was moved between its films: each bone from films that agree about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from XRayTo3DLib.imaging.geometry import BiplanarGeometry
from XRayTo3DLib.reconstruction.flexion_between import (
    GROUPS,
    Between,
    between_of,
    group_numbers,
    seen_unmoved,
)
from XRayTo3DLib.reconstruction.seeing import RightKnee

_FOLLOW = 0.6
"""Share of the knee's flexion that the patella turns with the shin: about 0.7 in Amis et al., J.
Orthop. Res. 24(12), 2006; 0.45 to 0.75 in the knees that are generated for training. An estimate of
flexion is off by as much as a patella is off this."""

_PATELLA_SHARE = 0.65
"""Of the patella's turn, that is seen in a network's compromise of two films."""

_TRUST_IN_PATELLA = 0.75
"""Weight of the patella's turn against the shin's own in an estimate of flexion. The shin's own is
good to 4°: only how high the fibula stands against the tibia tells it on a frontal film. That of
the patella, whose height says it, is good to 1.5°, and to how well it follows the shin."""

_PATELLA_GAIN, _SHIN_GAIN = 2.5, 4.0
"""The most by which what a fit still finds is enlarged; what is found of small angles is noise."""

_MOST_FLEXION = np.radians(30.0)
"""Beyond, no network was taught such a lateral."""


def first_guess(about: np.ndarray, found: Between) -> Between:
    """Motions to show the network, from those that fit its compromise.

    Args:
        about: the pivot, RAS mm.
        found: what fits.
    """
    shin, patella = _numbers(about, found)
    patella[0] /= _PATELLA_SHARE
    shin[0] = patella[0] / _FOLLOW
    return _limited(about, shin, patella)


def second_guess(about: np.ndarray, before: Between, shown: Between, after: Between) -> Between:
    """Motions after the network saw films moved by a first guess: a step of the secant method.

    Args:
        about: the pivot, RAS mm.
        before: what was found from the compromise.
        shown: what the network was shown.
        after: what was then found.
    """
    shin, patella = _numbers(about, after)
    (shin_before, patella_before), (shin_shown, patella_shown) = (
        [numbers[0] for numbers in _numbers(about, between)] for between in (before, shown)
    )
    patella[0] = _secant(patella_before, patella_shown, patella[0], _PATELLA_GAIN)
    own = _secant(shin_before, shin_shown, shin[0], _SHIN_GAIN)
    shin[0] = _TRUST_IN_PATELLA * patella[0] / _FOLLOW + (1.0 - _TRUST_IN_PATELLA) * own
    return _limited(about, shin, patella)


def _numbers(about: np.ndarray, between: Between) -> list[np.ndarray]:
    return [group_numbers(about, between.of(group[0])) for group in GROUPS]


def _limited(about: np.ndarray, shin: np.ndarray, patella: np.ndarray) -> Between:
    for numbers in (shin, patella):
        numbers[0] = np.clip(numbers[0], -_MOST_FLEXION, _MOST_FLEXION)
    return between_of(about, {0: shin, 1: patella})


def _secant(before: float, shown: float, after: float, most: float) -> float:
    """Where nothing would be left to be found, if what is left falls evenly.

    Args:
        before: what was left when nothing was shown.
        shown: what was shown.
        after: that and what was then left.
        most: by which what was left is enlarged.
    """
    left = after - shown
    drop = before - left
    gain = shown / drop if abs(drop) > 1e-6 else most
    return shown + left * float(np.clip(gain, 1.0, most))


def seen_by_parts(
    look: Callable[[RightKnee], np.ndarray],
    knee: RightKnee,
    between: Between,
    unmoved: np.ndarray,
) -> np.ndarray:
    """Probabilities of the knee as it lay on the frontal film.

    The network looks once for each group of bones, with the lateral film as it would be had that
    group not moved; of what it sees only that group is kept.

    Args:
        look: the network: probabilities of a knee, ``(5, z, y, x)``.
        knee: its films as they are.
        between: motions from the frontal to the lateral film.
        unmoved: what the network makes of the films as they are, for the bones that lay still.
    """
    bones = unmoved.copy()
    for group in GROUPS:
        lateral = seen_unmoved(knee.geometry.lateral, between.of(group[0]))
        seen = look(replace(knee, geometry=BiplanarGeometry(knee.geometry.frontal, lateral)))
        for bone in group:
            bones[bone] = seen[bone]
    # Bones of several sights may meet in a voxel, which is then shared out among them.
    together = bones[1:].sum(axis=0)
    bones[1:] /= np.maximum(together, 1.0)
    bones[0] = 1.0 - np.minimum(together, 1.0)
    return bones
