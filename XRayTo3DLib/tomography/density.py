"""How strongly each place in a leg attenuates X-rays: what a CT would measure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.materials import to_hounsfield

REFERENCE_KEV = 60.0
"""Photon energy at which attenuation is stated, keV: about the mean of a CT's at 120 kVp."""


DENSITY_GRID = VolumeGrid((128, 128, 128), 1.6, (0.0, -30.0, 0.0))
"""Where legs are learnt and estimated: 204.8 mm a side, moved to the back so that whole legs lie in
it (the isocentre is in the front half of a knee)."""


@dataclass(frozen=True)
class DensityVolume:
    """Attenuation on a grid, RAS.

    Attributes:
        attenuation: ``(z, y, x)`` float32, linear attenuation at :data:`REFERENCE_KEV`, 1/mm;
            air is 0.
        grid: where the voxels are.
        deviation: ``(z, y, x)`` float32, 1/mm, how far off the attenuation is expected to be (one
            standard deviation); None where it is known, as of a phantom.
    """

    attenuation: np.ndarray
    grid: VolumeGrid
    deviation: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Check that arrays and grid agree."""
        for name in ("attenuation", "deviation"):
            values = getattr(self, name)
            if values is not None and values.shape != self.grid.shape:
                raise ValueError(f"{name} has the shape {values.shape}, not {self.grid.shape}")

    @property
    def hounsfield(self) -> np.ndarray:
        """``(z, y, x)`` float32, Hounsfield units."""
        return to_hounsfield(self.attenuation, REFERENCE_KEV).astype(np.float32)
