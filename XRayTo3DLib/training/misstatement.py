"""Geometry as a header states it: a little wrong, in part of the films.

The frontal film is the frame in which the truth is told. An error that both films shared would
move, turn or scale truth and films alike, and no network could learn it; so what is wrong is how
the lateral stands to the frontal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from XRayTo3DLib.anatomy.knee import rotation
from XRayTo3DLib.training.cases import FILM_SIZE, FILM_SPACING


@dataclass(frozen=True)
class Misstatement:
    """How wrongly the stand of the lateral is stated (standard deviations).

    Attributes:
        turn: degrees by which the lateral beam is turned about z, the leg's long axis.
        roll: degrees by which the lateral film is turned in its plane.
        height: mm at the isocentre by which the films disagree about the height of the joint.
        magnification: share by which the lateral's magnification is off.
    """

    turn: float = 3.5
    roll: float = 2.0
    height: float = 3.0
    magnification: float = 0.025

    def drawn(
        self,
        matrices: np.ndarray,
        rng: np.random.Generator,
        *,
        spacing: float = FILM_SPACING,
        size: int = FILM_SIZE,
    ) -> np.ndarray:
        """What the header of two films may say.

        Args:
            matrices: ``(2, 3, 4)`` true projections of a right knee, RAS mm to (row, column).
            rng: source of randomness.
            spacing: mm between pixels at the isocentre.
            size: pixels a side.

        Returns:
            ``(2, 3, 4)`` in the type of ``matrices``.
        """
        turn, roll, height, magnification = rng.normal(0.0, 1.0, 4) * (
            self.turn,
            self.roll,
            self.height / spacing,
            self.magnification,
        )
        frontal, lateral = matrices.astype(np.float64)
        # The beam that took the film is the stated one turned, so the knee is turned back in it.
        lateral = lateral @ rotation("z", turn) @ rotation("x", roll)
        zoom = _zoom(1.0 + magnification, (size - 1) / 2)
        # Each film is off by half of what they disagree by.
        stated = _lowered(frontal, height / 2), _lowered(zoom @ lateral, -height / 2)
        return np.stack(stated).astype(matrices.dtype)


def stated_matrices(matrices: np.ndarray, share: float, seed: list[int]) -> np.ndarray:
    """The projections as the geometry states them: wrong in a share of the draws.

    Args:
        matrices: ``(2, 3, 4)`` true projections.
        share: of the draws that are wrong, 0 to 1.
        seed: of the draw; the same gives the same.
    """
    rng = np.random.default_rng(seed)
    return Misstatement().drawn(matrices, rng) if rng.random() < share else matrices


def _lowered(matrix: np.ndarray, rows: float) -> np.ndarray:
    """The projection onto a film whose pixels stand some rows further down."""
    shift = np.eye(3)
    shift[0, 2] = rows
    return shift @ matrix


def _zoom(factor: float, middle: float) -> np.ndarray:
    """Pixels further from the middle of the film by a factor, as where the film is magnified."""
    return np.array(
        [
            [factor, 0.0, (1.0 - factor) * middle],
            [0.0, factor, (1.0 - factor) * middle],
            [0.0, 0.0, 1.0],
        ]
    )
