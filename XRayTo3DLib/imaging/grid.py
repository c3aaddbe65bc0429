"""A cube of voxels in RAS millimetres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk


@dataclass(frozen=True)
class VolumeGrid:
    """Isotropic voxels, axes along RAS, centred on a point (by default the isocentre).

    Arrays on the grid are ``(z, y, x)``: index 0 of each axis is the most inferior, posterior and
    left voxel, so that x grows to the patient's right, y to the front and z upwards.

    Attributes:
        shape: voxels along (z, y, x).
        spacing: edge of a voxel, mm.
        centre: RAS mm of the middle of the grid.
    """

    shape: tuple[int, int, int]
    spacing: float
    centre: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @classmethod
    def cube(cls, size: int, field_of_view: float) -> VolumeGrid:
        """``size`` voxels a side that span ``field_of_view`` mm."""
        return cls((size, size, size), field_of_view / size)

    @property
    def first(self) -> np.ndarray:
        """RAS mm ``(x, y, z)`` of the centre of voxel ``[0, 0, 0]``."""
        extent = np.array(self.shape[::-1], dtype=float) - 1
        return np.asarray(self.centre) - 0.5 * extent * self.spacing

    def axes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """RAS mm of the voxel centres along x, y and z, float64."""
        x, y, z = (
            start + self.spacing * np.arange(count)
            for start, count in zip(self.first, self.shape[::-1], strict=True)
        )
        return x, y, z

    def to_ras(self, index_zyx: np.ndarray) -> np.ndarray:
        """RAS mm ``(..., xyz)`` of (fractional) voxel indices ``(..., zyx)``."""
        return self.first + self.spacing * np.asarray(index_zyx, dtype=float)[..., ::-1]

    def to_index(self, points: np.ndarray) -> np.ndarray:
        """Fractional voxel indices ``(..., zyx)`` of RAS mm ``(..., xyz)``."""
        return ((np.asarray(points, dtype=float) - self.first) / self.spacing)[..., ::-1]

    def contains(self, points: np.ndarray) -> np.ndarray:
        """Which RAS points ``(..., 3)`` lie within the outer faces of the grid, bool ``(...)``."""
        half = 0.5 * self.spacing * np.array(self.shape[::-1])
        return np.all(np.abs(np.asarray(points) - np.asarray(self.centre)) <= half, axis=-1)

    def image(self, array: np.ndarray) -> sitk.Image:
        """The array ``(z, y, x)`` as a SimpleITK image, which is LPS, in the same place."""
        image = sitk.GetImageFromArray(array)
        image.SetSpacing((self.spacing,) * 3)
        image.SetOrigin(tuple(self.first * (-1.0, -1.0, 1.0)))
        image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
        return image
