"""Films as a registration compares them: at one resolution, without what varies slowly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from XRayTo3DLib.imaging.blur import gaussian_blur
from XRayTo3DLib.imaging.geometry import BiplanarGeometry, ViewGeometry
from XRayTo3DLib.reconstruction.standard_film import standard_film


@dataclass(frozen=True)
class Resolution:
    """Of films that are compared.

    Attributes:
        spacing: mm between pixels, at the isocentre.
        blur: mm, standard deviation of a Gaussian over films and radiographs alike.
        background: mm, that of a wider one that is taken away from both: soft tissue varies
            slowly, and the model has none.
    """

    spacing: float
    blur: float
    background: float

    def band(self, pictures: Tensor) -> Tensor:
        """Pictures ``(..., rows, columns)`` without what is finer or slower than wanted."""
        background = gaussian_blur(pictures, self.background / self.spacing)
        return gaussian_blur(pictures, self.blur / self.spacing) - background


def films_at(
    pictures: tuple[np.ndarray, np.ndarray],
    geometry: BiplanarGeometry,
    resolution: Resolution,
    field: float,
) -> Iterator[tuple[Tensor, ViewGeometry]]:
    """Each film, ``(size, size)`` within its band, and the detector on which it lies."""
    size = round(field / resolution.spacing)
    for picture, view in zip(pictures, geometry.views, strict=True):
        film = standard_film(picture, view, resolution.spacing, size)
        yield resolution.band(film), view.resampled(resolution.spacing, size)
