"""The sample knee with the tissues of generated legs: a density that is known."""

from __future__ import annotations

import numpy as np
import torch

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.generator import Knee
from XRayTo3DLib.anatomy.surface import read_surface
from XRayTo3DLib.anatomy.tissue import extended, make_tissues
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.radiograph import Side
from XRayTo3DLib.resources import resource_path
from XRayTo3DLib.tomography.density import DensityVolume
from XRayTo3DLib.training.density_cases import attenuation_of


@torch.no_grad()
def sample_density(grid: VolumeGrid, detail: float = 1.2) -> DensityVolume:
    """What a CT of the sample knee might measure.

    Args:
        grid: where it is wanted.
        detail: mm, voxels of the bones.
    """
    surfaces = {
        bone: read_surface(resource_path("SampleData", "truth", f"{bone.key}.ply")) for bone in Bone
    }
    knee = Knee("sample", "sample", Side.RIGHT, surfaces)
    bones = VolumeGrid.cube(2 * round(76.8 / detail), 153.6)
    tissues = make_tissues(knee, extended(bones), np.random.default_rng(3))
    attenuation = attenuation_of(tissues, grid).numpy()
    return DensityVolume(attenuation, grid)
