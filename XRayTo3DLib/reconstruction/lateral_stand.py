"""How a lateral view stands otherwise than stated, as numbers that a search may change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from XRayTo3DLib.imaging.geometry import BiplanarGeometry, ViewGeometry
from XRayTo3DLib.reconstruction.registration_pose import turn_matrix

STAND_NUMBERS = 4


class LateralStand(NamedTuple):
    """By how much source and detector of a view stand otherwise than stated, as one body.

    Attributes:
        turn: rad about the long axis (z) of the leg.
        roll: rad about the beam.
        nearer: mm along the beam, which magnifies the more.
        higher: mm.
    """

    turn: float = 0.0
    roll: float = 0.0
    nearer: float = 0.0
    higher: float = 0.0

    def times(self, factors: Sequence[float]) -> LateralStand:
        """Each number times its factor."""
        return LateralStand(
            *(number * factor for number, factor in zip(self, factors, strict=True))
        )

    def of(self, geometry: BiplanarGeometry) -> BiplanarGeometry:
        """The geometry with a lateral view that stands so."""
        motion = stand_motion(torch.tensor(self, dtype=torch.float64), geometry.lateral).numpy()
        return replace(geometry, lateral=geometry.lateral.moved(motion[:, :3], motion[:, 3]))


AS_STATED = LateralStand()


def stand_motion(numbers: Tensor, view: ViewGeometry) -> Tensor:
    """The 3×4 rigid motion of source and detector, RAS mm, by the numbers ``(4,)`` of a stand.

    The view is moved along its beam and upwards, rolled, and turned about the leg, in this order.
    """
    turn, roll, nearer, higher = numbers.unbind()
    beam = torch.as_tensor(view.normal, dtype=numbers.dtype)
    up = beam.new_tensor([0.0, 0.0, 1.0])
    rotation = turn_matrix(turn * up) @ turn_matrix(roll * beam)
    shift = rotation @ (nearer * beam + higher * up)
    return torch.cat([rotation, shift[:, None]], dim=1)
