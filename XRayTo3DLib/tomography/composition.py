"""What a density volume is made of: bone-like and water-like parts."""

from __future__ import annotations

import numpy as np

from XRayTo3DLib.imaging.materials import Material, linear_attenuation
from XRayTo3DLib.tomography.density import REFERENCE_KEV, DensityVolume

COMPONENTS = (Material.CORTEX, Material.MUSCLE, Material.FAT)
"""The bone-like part, and the water-like one in its two kinds; order of :func:`composition`."""


def composition(volume: DensityVolume) -> np.ndarray:
    """Volume shares of cortical bone, muscle and fat.

    One number a voxel does not say what it is made of, so each is taken for a mixture of the two
    materials between whose attenuations it lies: air and fat below -110 HU, fat and muscle (the
    water-like part) up to 45 HU, muscle and cortical bone (the bone-like part) above; more than
    cortical bone is bone of greater density. The mixture attenuates exactly as the volume says at
    :data:`REFERENCE_KEV`; at other energies the bone-like part follows calcium, the water-like one
    soft tissue. A two-material decomposition by Hounsfield unit as in P. M. Joseph and R. D.
    Spital, J. Comput. Assist. Tomogr. 2(1):100–108, 1978, without its jump at the threshold.

    Returns:
        ``(3, z, y, x)`` float32, in the order of :data:`COMPONENTS`; not above 1 in sum, except
        where bone is denser than nominal.
    """
    cortex_mu, muscle_mu, fat_mu = (
        float(linear_attenuation(material, REFERENCE_KEV)) for material in COMPONENTS
    )
    attenuation = volume.attenuation
    bone = np.maximum((attenuation - muscle_mu) / (cortex_mu - muscle_mu), 0.0)
    # Beyond pure bone the muscle is used up and the rest is bone of greater density.
    bone = np.where(bone > 1.0, attenuation / cortex_mu, bone)
    lean = np.clip((attenuation - fat_mu) / (muscle_mu - fat_mu), 0.0, 1.0)
    muscle = lean * np.clip(1.0 - bone, 0.0, 1.0)
    fat = np.clip(attenuation / fat_mu, 0.0, 1.0) * (1.0 - lean)
    return np.stack([bone, muscle, fat]).astype(np.float32)
