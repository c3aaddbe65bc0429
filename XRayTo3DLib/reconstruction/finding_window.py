"""A square cut out of a film, turned and scaled: what the network is shown of a large film."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from XRayTo3DLib.imaging.centres import Pixel


@dataclass(frozen=True)
class Window:
    """Where a square picture lies on a film.

    Attributes:
        centre: film pixel (row, column) in its middle.
        roll: degrees by which its upward direction leans to the right of the film's.
        film_step: mm at the isocentre between the film's pixels, (row, column).
        step: mm at the isocentre between its own pixels.
        size: its own pixels a side.
    """

    centre: Pixel
    roll: float
    film_step: tuple[float, float]
    step: float
    size: int

    def affine(self) -> np.ndarray:
        """``(2, 3)``; the film's pixel under one of its own is ``affine @ (row, column, 1)``."""
        turn = self.step * _turn(self.roll) / np.array(self.film_step)[:, None]
        middle = np.full(2, (self.size - 1) / 2)
        return np.column_stack([turn, np.array(self.centre) - turn @ middle])

    def on_film(self, pixels: np.ndarray) -> np.ndarray:
        """Film pixels (row, column) ``(..., 2)`` of the window's own pixels ``(..., 2)``."""
        affine = self.affine()
        return np.asarray(pixels, dtype=float) @ affine[:, :2].T + affine[:, 2]

    def positions(self) -> np.ndarray:
        """Film pixels of all its pixels, ``(size, size, 2)``."""
        rows, columns = np.mgrid[: self.size, : self.size]
        return self.on_film(np.stack([rows, columns], axis=-1))

    def corners(self) -> np.ndarray:
        """Film pixels of its outer corners, ``(4, 2)``, clockwise from the upper left."""
        low, high = -0.5, self.size - 0.5
        return self.on_film(np.array([(low, low), (low, high), (high, high), (high, low)]))

    def binned(self, factor: int) -> Window:
        """The same square in fewer pixels, as the network gives silhouettes back."""
        return Window(
            self.centre, self.roll, self.film_step, self.step * factor, self.size // factor
        )


def _turn(roll: float) -> np.ndarray:
    """From (down, right) of a window to (down, right) of its film."""
    cosine, sine = np.cos(np.radians(roll)), np.sin(np.radians(roll))
    return np.array([[cosine, sine], [-sine, cosine]])
