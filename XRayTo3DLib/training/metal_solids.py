"""mm of metal along the rays through simple solids, as seen on a film."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from XRayTo3DLib.imaging.centres import Pixel


@dataclass(frozen=True)
class Sheet:
    """A film's pixels in the frame of a piece that lies on it.

    Attributes:
        along: ``(rows, columns)`` mm from the piece's middle along it.
        across: the same across it.
        step: mm between pixels.
    """

    along: np.ndarray
    across: np.ndarray
    step: float

    @classmethod
    def of(cls, shape: tuple[int, int], step: float) -> Sheet:
        """A film's own frame: along is down, across is right, from its middle."""
        down, right = np.mgrid[: shape[0], : shape[1]].astype(np.float32) * np.float32(step)
        return cls(down - down[-1, 0] / 2, right - right[0, -1] / 2, step)

    def at(self, place: Pixel, turn: float = 0.0) -> Sheet:
        """The frame of a piece of this one.

        Args:
            place: mm (along, across) of its middle in this frame.
            turn: radians from this frame's along towards its across.
        """
        along, across = self.along - place[0], self.across - place[1]
        cosine, sine = np.float32(np.cos(turn)), np.float32(np.sin(turn))
        return Sheet(cosine * along + sine * across, cosine * across - sine * along, self.step)

    def share(self, depth: np.ndarray) -> np.ndarray:
        """Of each pixel, that lies in an outline which is ``depth`` mm away (positive inside)."""
        return np.clip(depth / self.step + 0.5, 0.0, 1.0)

    def box(self, length: float, width: float, rounding: float = 0.0) -> np.ndarray:
        """Share of each pixel in a rectangle with rounded corners (mm)."""
        over = np.abs(self.along) - (length / 2 - rounding)
        beside = np.abs(self.across) - (width / 2 - rounding)
        outside = np.hypot(np.maximum(over, 0), np.maximum(beside, 0))
        return self.share(rounding - outside - np.minimum(np.maximum(over, beside), 0))

    def ellipse(self, length: float, width: float) -> np.ndarray:
        """Share of each pixel in an ellipse of these axes (mm); near its outline to first order."""
        half = max(length, 1e-3) / 2, max(width, 1e-3) / 2
        radius = np.hypot(self.along / half[0], self.across / half[1])
        slope = np.hypot(self.along / half[0] ** 2, self.across / half[1] ** 2)
        return self.share((1.0 - radius) * radius / np.maximum(slope, 1e-6))

    def rod(self, length: float, radius: float | np.ndarray, hollow: float = 0.0) -> np.ndarray:
        """mm through a round rod that lies in the film's plane.

        Args:
            length: mm; beyond its ends the rod is cut off.
            radius: mm, also one for each pixel, as of a thread.
            hollow: radius of the bore as a share of the rod's.
        """
        thick = self._chord(radius) - (self._chord(hollow * radius) if hollow else 0.0)
        return self.share(length / 2 - np.abs(self.along)) * np.maximum(thick, 0.0)

    def _chord(self, radius: float | np.ndarray) -> np.ndarray:
        """mm through a disc, averaged over the width of a pixel."""
        near, far = (np.clip(self.across + side, -radius, radius) for side in self._sides)
        return (_disc_area(far, radius) - _disc_area(near, radius)) / np.float32(self.step)

    @property
    def _sides(self) -> tuple[float, float]:
        return -self.step / 2, self.step / 2

    def wire(self, points: np.ndarray, radius: float) -> np.ndarray:
        """mm through a wire along straight pieces between points ``(n, 2)``, mm (along, across)."""
        thick = np.zeros_like(self.along)
        reach = radius + 2 * self.step
        for start, end in zip(points[:-1], points[1:], strict=True):
            low, high = np.minimum(start, end) - reach, np.maximum(start, end) + reach
            near = np.argwhere(
                (self.along >= low[0])
                & (self.along <= high[0])
                & (self.across >= low[1])
                & (self.across <= high[1])
            )
            if not len(near):
                continue
            (top, left), (bottom, right) = near.min(axis=0), near.max(axis=0) + 1
            part = np.s_[top:bottom, left:right]
            piece = Sheet(self.along[part], self.across[part], self.step)
            run = end - start
            turn = float(np.arctan2(run[1], run[0]))
            middle = (start + end) / 2
            lying = piece.at((float(middle[0]), float(middle[1])), turn)
            length = float(np.hypot(*run)) + radius
            thick[part] = np.maximum(thick[part], lying.rod(length, radius))
        return thick


def _disc_area(to: np.ndarray, radius: float | np.ndarray) -> np.ndarray:
    """mm² of a disc between its middle and a chord ``to`` mm away."""
    radius = np.maximum(radius, 1e-6)
    return to * np.sqrt(np.maximum(radius**2 - to**2, 0)) + radius**2 * np.arcsin(
        np.clip(to / radius, -1, 1)
    )
