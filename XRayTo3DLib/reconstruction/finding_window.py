"""A square cut out of a film, turned and scaled: what the network is shown of a large film."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from XRayTo3DLib.imaging.centres import Pixel
from XRayTo3DLib.imaging.geometry import ViewGeometry
from XRayTo3DLib.imaging.normalisation import normalise_film


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

    def on_film(self, pixels: np.ndarray) -> np.ndarray:
        """Film pixels (row, column) ``(..., 2)`` of the window's own pixels ``(..., 2)``."""
        offset = (np.asarray(pixels, dtype=float) - (self.size - 1) / 2) * self.step
        return np.array(self.centre) + offset @ _turn(self.roll).T / np.array(self.film_step)

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


class FilmSampler:
    """Pictures of a film on any detector in its plane.

    Args:
        pixels: ``(rows, columns)`` float, bone bright.
    """

    def __init__(self, pixels: np.ndarray) -> None:
        image = torch.from_numpy(np.ascontiguousarray(pixels, dtype=np.float32))
        self._pooled = {(1, 1): (image - image.min())[None, None]}
        self.shape = (pixels.shape[0], pixels.shape[1])

    def at(self, positions: np.ndarray) -> Tensor:
        """What the networks see there: resampled, and normalised as a film of its own.

        Args:
            positions: ``(rows, columns, 2)`` film pixels (row, column), evenly spaced.

        Returns:
            ``(rows, columns)`` float32 in [0, 1]; beside the film it is as dark as the film's
            darkest pixel.
        """
        across, down = positions[0, 1] - positions[0, 0], positions[1, 0] - positions[0, 0]
        # Averaging blocks first keeps fine detail from turning into false coarse detail.
        block = tuple(max(1, int(s + 1e-6)) for s in np.hypot(across, down))
        image = self._blocks((block[0], block[1]))
        inner = (positions - (np.array(block) - 1) / 2) / block
        last = np.maximum(np.array(image.shape[-2:]) - 1, 1)
        grid = torch.from_numpy((inner * (2.0 / last) - 1.0).astype(np.float32)).flip(-1)
        return normalise_film(F.grid_sample(image, grid[None], align_corners=True)[0, 0])

    def shows(self, positions: np.ndarray) -> Tensor:
        """Which positions ``(..., 2)`` lie on the film, bool ``(...)``."""
        inside = (positions >= 0) & (positions <= np.array(self.shape) - 1)
        return torch.from_numpy(inside.all(axis=-1))

    def _blocks(self, block: tuple[int, int]) -> Tensor:
        if block not in self._pooled:
            whole = self._pooled[1, 1]
            self._pooled[block] = F.avg_pool2d(
                whole, block, ceil_mode=True, count_include_pad=False
            )
        return self._pooled[block]


def film_on_detector(pixels: np.ndarray, view: ViewGeometry, detector: ViewGeometry) -> Tensor:
    """What a network sees of a film on any detector in the film's plane.

    Args:
        pixels: ``(rows, columns)``, bone bright.
        view: where they were taken.
        detector: in the same plane, such as of
            :func:`XRayTo3DLib.reconstruction.finding_geometry.upright_detector`.

    Returns:
        as of :func:`~XRayTo3DLib.reconstruction.standard_film.standard_film`.
    """
    return FilmSampler(pixels).at(view.project(detector.pixel_positions()))
