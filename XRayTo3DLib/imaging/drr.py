"""Clean line integrals of attenuation."""

from __future__ import annotations

import torch

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.materials import Material, attenuation_matrix

AIR_MM = 1.0
"""mm of material below which a ray is said to have met nothing."""


def drr(paths: torch.Tensor, energy_kev: float = 60.0) -> torch.Tensor:
    """Clean line integral of attenuation at one photon energy.

    Args:
        paths: ``(4, H, W)`` mm of each `Material` along every ray.
        energy_kev: photon energy, keV, 15–150.

    Returns:
        ``(H, W)`` dimensionless, ``-ln`` of the transmission.
    """
    check_paths(paths)
    attenuation = torch.as_tensor(attenuation_matrix(energy_kev)).to(paths)
    return torch.tensordot(attenuation, paths, dims=1)


def check_paths(paths: torch.Tensor) -> None:
    """Refuse what is not one image for each material, ``(4, H, W)``."""
    if paths.ndim != 3 or paths.shape[0] != len(Material):
        raise XRayTo3DError(
            f"Path images have the shape {tuple(paths.shape)}; expected ({len(Material)}, H, W)."
        )
