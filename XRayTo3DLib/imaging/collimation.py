"""The rectangle that the beam was narrowed to."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.pixel_axes import unit_axes


@dataclass(frozen=True)
class Collimation:
    """The rectangle that the beam was narrowed to.

    Attributes:
        margins: width of the unexposed border at top, bottom, left and right, as a fraction of
            the picture's height or width.
        rotation: degrees by which the rectangle is turned on the film.
        grey: what the maker paints over the border: 0 black, 1 white; None leaves it as recorded
            (scatter and leakage alone, nearly white).
    """

    margins: tuple[float, float, float, float]
    rotation: float = 0.0
    grey: float | None = 0.0

    def __post_init__(self) -> None:
        if not all(0 <= margin < 0.5 for margin in self.margins):
            raise XRayTo3DError(
                f"The collimation's margins are {self.margins}; each must be from 0 to below 0.5."
            )


def exposed_field(image: torch.Tensor, collimation: Collimation | None) -> torch.Tensor | None:
    """:func:`exposure_mask`, or None where the beam was not narrowed."""
    return None if collimation is None else exposure_mask(image, collimation)


def exposure_mask(image: torch.Tensor, collimation: Collimation) -> torch.Tensor:
    """1 inside the beam, 0 outside, over a penumbra of about 1 % of the picture."""
    top, bottom, left, right = collimation.margins
    row, column = unit_axes(image)
    aspect = image.shape[1] / image.shape[0]
    cosine, sine = (f(math.radians(collimation.rotation)) for f in (math.cos, math.sin))
    across, down = cosine * aspect * column + sine * row, cosine * row - sine * aspect * column
    inside = torch.minimum(
        torch.minimum(down - (2 * top - 1), (1 - 2 * bottom) - down),
        torch.minimum(across - (2 * left - 1) * aspect, (1 - 2 * right) * aspect - across),
    )
    # The penumbra lies outside, so that a margin of 0 shades nothing.
    return (inside / 0.02 + 1.0).clamp(0.0, 1.0)
