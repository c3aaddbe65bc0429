"""A training case of densities: what a CT would measure, and what X-rays make of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch

from XRayTo3DLib.anatomy.knee import Knee
from XRayTo3DLib.anatomy.tissue import (
    Tissues,
    TissueVariation,
    extended,
    make_tissues,
    material_paths,
)
from XRayTo3DLib.errors import InputFileError
from XRayTo3DLib.imaging.geometry import BiplanarGeometry
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.materials import Material, linear_attenuation
from XRayTo3DLib.imaging.projector import projection_matrices
from XRayTo3DLib.tomography.density import DENSITY_GRID, REFERENCE_KEV
from XRayTo3DLib.tomography.resampling import resampled
from XRayTo3DLib.training.cases import NETWORK_GRID, GeometryVariation, random_geometry

DENSITY_KIND = "density"
"""Of these cases, as a bank records it."""

_STEP = 2.5e-4
"""1/mm per unit of the stored attenuation (12 HU), up to 0.064/mm: cortical bone has 0.060."""


@dataclass(frozen=True)
class DensityCase:
    """One leg seen in two views.

    Attributes:
        attenuation: ``(z, y, x)`` float32 on :data:`DENSITY_GRID`, 1/mm at the reference energy.
        bone: ``(z, y, x)`` bool, which voxels lie in a bone (marrow included).
        paths: ``(2, 4, rows, columns)`` float32, mm of each material, frontal and lateral.
        matrices: ``(2, 3, 4)`` float32, the projections as the geometry states them.
    """

    attenuation: np.ndarray
    bone: np.ndarray
    paths: np.ndarray
    matrices: np.ndarray

    def save(self, path: Path) -> None:
        """Write to ``path`` (.npz, compressed, about 1.5 MB)."""
        units = np.round(np.clip(self.attenuation / _STEP, 0, 255)).astype(np.uint8)
        np.savez_compressed(
            path,
            attenuation=units,
            bone=np.packbits(self.bone),
            paths=self.paths.astype(np.float16),
            matrices=self.matrices,
        )

    @classmethod
    def load(cls, path: Path) -> DensityCase:
        """Read what :meth:`save` wrote.

        Raises:
            InputFileError: the file is not such a case.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                attenuation = file["attenuation"].astype(np.float32) * np.float32(_STEP)
                bone = np.unpackbits(file["bone"], count=attenuation.size).astype(bool)
                return cls(
                    attenuation=attenuation,
                    bone=bone.reshape(attenuation.shape),
                    paths=file["paths"].astype(np.float32),
                    matrices=file["matrices"],
                )
        except (OSError, KeyError, ValueError, EOFError, BadZipFile) as error:
            raise InputFileError(
                path, "is not a case of densities; generate it again with generate-density."
            ) from error


def attenuation_of(tissues: Tissues, grid: VolumeGrid) -> torch.Tensor:
    """What a CT of the reference energy would measure, 1/mm.

    Args:
        tissues: of a leg, bones and soft tissue on their own grids.
        grid: where it is wanted.

    Returns:
        ``(z, y, x)`` float32.
    """
    cortex, spongiosa, muscle, fat = (float(linear_attenuation(m, REFERENCE_KEV)) for m in Material)
    bone = cortex * tissues.bone[0] + spongiosa * tissues.bone[1]
    soft = muscle * tissues.soft[0] + fat * tissues.soft[1]
    return resampled(bone, tissues.bone_grid, grid) + resampled(soft, tissues.soft_grid, grid)


def bone_mask(tissues: Tissues, grid: VolumeGrid) -> np.ndarray:
    """Which voxels of a grid have their centre in a bone, ``(z, y, x)`` bool."""
    depth = torch.from_numpy(tissues.depth.max(axis=0).astype(np.float32))
    # Moved to be positive wherever it is known: what lies outside the bones' grid becomes 0.
    above = depth - depth.min()
    inside = resampled(above, tissues.bone_grid, grid) > -float(depth.min())
    return inside.numpy()


def case_from_tissues(tissues: Tissues, geometry: BiplanarGeometry) -> DensityCase:
    """Project a leg and keep its truth."""
    with torch.no_grad():
        paths = torch.stack([material_paths(tissues, view) for view in geometry.views])
        attenuation = attenuation_of(tissues, DENSITY_GRID)
    return DensityCase(
        attenuation=attenuation.numpy(),
        bone=bone_mask(tissues, DENSITY_GRID),
        paths=paths.numpy(),
        matrices=projection_matrices(geometry.views),
    )


def make_density_case(
    knee: Knee,
    seed: int,
    geometry: GeometryVariation | None = None,
    tissue: TissueVariation | None = None,
) -> DensityCase:
    """A right knee, wrapped and projected at random; the same seed gives the same case."""
    rng = np.random.default_rng([seed, 17])
    tissues = make_tissues(knee, extended(NETWORK_GRID), rng, tissue)
    return case_from_tissues(tissues, random_geometry(rng, geometry or GeometryVariation()))
