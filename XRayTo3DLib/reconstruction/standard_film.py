"""Any film on the detector that the networks know."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from XRayTo3DLib.imaging.geometry import ViewGeometry
from XRayTo3DLib.imaging.normalisation import normalise_film
from XRayTo3DLib.reconstruction.finding_geometry import pixels_between

_PLACE, _STEP = 3, 6
"""Decimals of a pixel in the place and in the steps of a picture on its film: whoever works out the
same place in another way gets the same picture, to the last bit, and it need not be looked at
twice."""


class FilmSampler:
    """Pictures of a film on any detector in its plane.

    Args:
        pixels: ``(rows, columns)`` float, bone bright.
    """

    def __init__(self, pixels: np.ndarray) -> None:
        image = torch.from_numpy(np.ascontiguousarray(pixels, dtype=np.float32))
        self._pooled = {(1, 1): (image - image.min())[None, None]}
        self.shape = (pixels.shape[0], pixels.shape[1])

    def at(self, affine: np.ndarray, shape: tuple[int, int]) -> Tensor:
        """What the networks see there: resampled, and normalised as a film of its own.

        Args:
            affine: ``(2, 3)``; the film's pixel (row, column) under a pixel of the picture is
                ``affine @ (row, column, 1)``.
            shape: of the picture.

        Returns:
            ``(rows, columns)`` float32 in [0, 1]; beside the film it is as dark as the film's
            darkest pixel.
        """
        steps, place = np.round(affine[:, :2], _STEP), np.round(affine[:, 2], _PLACE)
        # Averaging blocks first keeps fine detail from turning into false coarse detail.
        block = np.maximum(1, (np.linalg.norm(steps, axis=1) + 1e-6).astype(int))
        image = self._blocks((int(block[0]), int(block[1])))
        last = np.maximum(np.array(image.shape[-2:]) - 1, 1)
        steps = steps / block[:, None] * (2.0 / last)[:, None]
        place = (place - (block - 1) / 2) / block * (2.0 / last) - 1.0
        rows, columns = (torch.arange(size, dtype=torch.float64) for size in shape)
        y, x = (steps[k, 0] * rows[:, None] + steps[k, 1] * columns + place[k] for k in range(2))
        grid = torch.stack([x, y], dim=-1).float()
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
        ``(rows, columns)`` of the detector, as of :meth:`FilmSampler.at`.
    """
    return FilmSampler(pixels).at(pixels_between(detector, view), detector.shape)


def standard_film(pixels: np.ndarray, view: ViewGeometry, spacing: float, size: int) -> Tensor:
    """Resample a film onto a square detector centred on the isocentre, and normalise it.

    Args:
        pixels: ``(rows, columns)`` float, bone bright.
        view: where they were taken.
        spacing: mm between the new pixels, at the isocentre.
        size: new pixels a side.

    Returns:
        ``(size, size)`` float32 in [0, 1], on the detector ``view.resampled(spacing, size)``, as
        of :meth:`FilmSampler.at`.
    """
    return film_on_detector(pixels, view, view.resampled(spacing, size))
