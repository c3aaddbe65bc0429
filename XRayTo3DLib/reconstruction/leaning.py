"""By how much a leg leans on a film that shows the knee about a known pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from XRayTo3DLib.imaging.centres import Pixel
from XRayTo3DLib.imaging.radiograph import Radiograph, Side, View
from XRayTo3DLib.reconstruction.finding_search import KneeSearch
from XRayTo3DLib.reconstruction.joint_scale import stated_scale
from XRayTo3DLib.reconstruction.weights import Model


@dataclass(frozen=True)
class Lean:
    """How a leg leans on a film.

    Attributes:
        degrees: by which the leg as a whole leans to the right of the film: the weighted mean of
            what both shafts lean more than those of people who stand upright.
        confidence: 0–1 that it is a knee that leans so; 0 where a shaft is not seen.
    """

    degrees: float
    confidence: float


def lean_on(film: Radiograph, model: Model, centre: Pixel) -> Lean:
    """Measure how the leg leans, by the silhouettes of femur and tibia.

    Args:
        film: with a scale to believe.
        model: with a network that estimates silhouettes.
        centre: pixel (row, column) of the middle of the joint.
    """
    left = film.side.value is Side.LEFT
    pixels = film.pixels[:, ::-1] if left else film.pixels
    row, column = centre
    if left:
        column = film.pixels.shape[1] - 1 - column
    lateral = film.view.value is View.LATERAL
    search = KneeSearch(pixels, lateral, stated_scale(film).step, model)
    sight = search.upright_at((row, column))
    if sight.femur is None or sight.tibia is None:
        return Lean(0.0, 0.0)
    degrees = sight.window.roll + sight.lean(lateral)
    confidence = 1.0 / (1.0 + np.exp(-sight.score))
    return Lean(-degrees if left else degrees, float(confidence))
