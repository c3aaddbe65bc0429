"""Lead letters that radiographers lay on the film."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch.nn import functional

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.pixel_axes import unit_axes

# Capitals of a lead marker, 7 rows of 5.
_LETTERS = {
    "R": ("11110", "10001", "10001", "11110", "10100", "10010", "10001"),
    "L": ("10000", "10000", "10000", "10000", "10000", "10000", "11111"),
    "D": ("11110", "10001", "10001", "10001", "10001", "10001", "11110"),
    "S": ("01111", "10000", "10000", "01110", "00001", "00001", "11110"),
    "X": ("10001", "10001", "01010", "00100", "01010", "10001", "10001"),
    "7": ("11111", "00001", "00010", "00100", "01000", "01000", "01000"),
}


@dataclass(frozen=True)
class Marker:
    """Lead letters on the film.

    Attributes:
        text: one to three of the capitals R, L, D, S, X and the digit 7.
        position: of the middle, fraction of (height, width) from the upper left corner.
        height: of a letter, fraction of the picture's height.
        rotation: degrees.
        mirrored: whether it was laid face down.
        grey: what it is on the film: 1 white, 0 black.
    """

    text: str
    position: tuple[float, float]
    height: float = 0.05
    rotation: float = 0.0
    mirrored: bool = False
    grey: float = 1.0


def marker_mask(image: torch.Tensor, marker: Marker) -> torch.Tensor:
    """1 on the letters, 0 elsewhere."""
    unknown = set(marker.text) - set(_LETTERS)
    if unknown or not marker.text:
        raise XRayTo3DError(
            f"The marker {marker.text!r} cannot be drawn; use some of {''.join(_LETTERS)}."
        )
    rows = ["0".join(_LETTERS[c][k] for c in marker.text) for k in range(7)]
    bitmap = image.new_tensor([[float(bit) for bit in f"0{row}0"] for row in rows])
    bitmap = functional.pad(bitmap, (0, 0, 1, 1))
    height, width = image.shape
    row, column = unit_axes(image)
    # In units of half the picture's height, so that letters keep their shape.
    down = row - (2 * marker.position[0] - 1)
    across = (column - (2 * marker.position[1] - 1)) * (width / height)
    cosine, sine = (f(math.radians(marker.rotation)) for f in (math.cos, math.sin))
    cell = marker.height / 7
    x = (cosine * across + sine * down) / (cell * bitmap.shape[1])
    y = (cosine * down - sine * across) / (cell * bitmap.shape[0])
    places = torch.stack([-x if marker.mirrored else x, y], dim=-1)
    letters = functional.grid_sample(bitmap[None, None], places[None], align_corners=False)[0, 0]
    # Interpolation thins the strokes; this gives them back their width.
    return (2.0 * letters).clamp_max(1.0)
