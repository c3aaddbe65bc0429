"""From bone surfaces to what an X-ray passes through: cortex, spongiosa, muscle and fat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.distance import signed_depth
from XRayTo3DLib.anatomy.knee import Knee
from XRayTo3DLib.imaging.geometry import ViewGeometry
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.projector import project

OUTSIDE_REACH = 4.0
"""mm outside a bone up to which depths are kept."""

_SHAFT_CORTEX = {Bone.FEMUR: 5.0, Bone.TIBIA: 4.5, Bone.PATELLA: 1.2, Bone.FIBULA: 2.2}
"""Typical thickness of the cortex in the shaft, mm."""

_SHAFT_START = {Bone.FEMUR: 35.0, Bone.TIBIA: 35.0, Bone.PATELLA: 999.0, Bone.FIBULA: 25.0}
"""Distance from the joint line at which the cortex begins to thicken, mm."""


@dataclass(frozen=True)
class TissueVariation:
    """Ranges from which the tissues of a generated knee are drawn (uniformly).

    Attributes:
        end_cortex: mm of cortex at the ends of the long bones.
        shaft_cortex: share of the typical thickness in the shaft.
        trabecular_texture: relative standard deviation of the spongy bone's density.
        marrow_onset: mm from the joint line at which marrow begins to replace spongy bone.
        cover: mm of soft tissue over the bones at the front.
        posterior_cover: mm more of it behind.
        fat_layer: mm of fat under the skin.
        muscle_share: mean share of muscle in the soft tissue under that.
    """

    end_cortex: tuple[float, float] = (0.5, 1.8)
    shaft_cortex: tuple[float, float] = (0.6, 1.3)
    trabecular_texture: tuple[float, float] = (0.05, 0.35)
    marrow_onset: tuple[float, float] = (40.0, 80.0)
    cover: tuple[float, float] = (6.0, 22.0)
    posterior_cover: tuple[float, float] = (5.0, 45.0)
    fat_layer: tuple[float, float] = (2.0, 18.0)
    muscle_share: tuple[float, float] = (0.5, 0.98)


@dataclass(frozen=True)
class Tissues:
    """The materials of a leg.

    Attributes:
        depth: ``(4, z, y, x)`` float32, mm below the surface of each bone in label order.
        bone: ``(2, z, y, x)`` float32, volume share of cortex and spongiosa on ``bone_grid``
            (spongiosa may exceed 1 where it is denser than the reference).
        bone_grid: its grid.
        soft: ``(2, z, y, x)`` float32, volume share of muscle and fat on ``soft_grid``.
        soft_grid: its grid, twice as coarse and wide enough for the whole leg.
    """

    depth: np.ndarray
    bone: torch.Tensor
    bone_grid: VolumeGrid
    soft: torch.Tensor
    soft_grid: VolumeGrid


def extended(grid: VolumeGrid, half_height: float = 105.0, half_width: float = 90.0) -> VolumeGrid:
    """The grid enlarged, voxel for voxel, so that a film sees no bone end that is not one."""
    halves = (half_height, half_width, half_width)
    shape = [
        size + 2 * max(0, int(np.ceil(half / grid.spacing - size / 2)))
        for size, half in zip(grid.shape, halves, strict=True)
    ]
    return VolumeGrid((shape[0], shape[1], shape[2]), grid.spacing, grid.centre)


def make_tissues(
    knee: Knee,
    grid: VolumeGrid,
    rng: np.random.Generator,
    variation: TissueVariation | None = None,
) -> Tissues:
    """Fill a knee with bone of varying density and wrap it in soft tissue.

    Args:
        knee: four bones, RAS mm.
        grid: for the bones; even shape.
        rng: source of randomness.
        variation: ranges to draw from.
    """
    vary = variation or TissueVariation()
    depth = np.stack([signed_depth(knee.surfaces[bone], grid, OUTSIDE_REACH) for bone in Bone])
    bone = _fill_bones(depth, grid, rng, vary)
    soft_grid = _soft_grid(grid)
    occupied = _pooled(bone[0] + bone[1], soft_grid)
    marrow = _pooled(_occupancy(depth.max(axis=0), grid.spacing), soft_grid) - occupied
    soft = _wrap(occupied + marrow, marrow, soft_grid, rng, vary)
    return Tissues(
        depth, torch.from_numpy(bone), grid, torch.from_numpy(soft.astype(np.float32)), soft_grid
    )


def _occupancy(depth: np.ndarray, spacing: float) -> np.ndarray:
    """Share of each voxel that lies inside, for a surface seen as locally flat."""
    return np.clip(0.5 + depth / spacing, 0.0, 1.0)


def _fill_bones(
    depth: np.ndarray, grid: VolumeGrid, rng: np.random.Generator, vary: TissueVariation
) -> np.ndarray:
    """Volume shares of cortex and spongiosa, ``(2, z, y, x)``."""
    cortex = np.zeros(grid.shape, dtype=np.float32)
    spongy = np.zeros(grid.shape, dtype=np.float32)
    away = np.abs(grid.axes()[2])[:, None, None].astype(np.float32)
    uneven = 1.0 + 0.3 * smooth_noise(rng, grid, 20.0)
    texture = 1.0 + rng.uniform(*vary.trabecular_texture) * smooth_noise(rng, grid, 3.0)
    end, shaft_share = rng.uniform(*vary.end_cortex), rng.uniform(*vary.shaft_cortex)
    onset = rng.uniform(*vary.marrow_onset)
    for number, bone in enumerate(Bone):
        rise = _smoothstep((away - _SHAFT_START[bone]) / 80.0)
        shaft = max(_SHAFT_CORTEX[bone] * shaft_share, end)
        thickness = (end + (shaft - end) * rise) * uneven
        inside = _occupancy(depth[number], grid.spacing)
        core = _occupancy(depth[number] - thickness, grid.spacing)
        fade = 1.0 if bone is Bone.PATELLA else 1.0 - 0.92 * _smoothstep((away - onset) / 40.0)
        # Spongy bone is densest under the joint surface, where the load enters.
        load = 1.0 + 0.5 * np.exp(-depth[number] / 6.0)
        cortex = np.maximum(cortex, inside - core)
        spongy = np.maximum(spongy, core * fade * load * texture)
    spongy = np.clip(spongy, 0.0, 1.6) * (1.0 - cortex)
    return np.stack([cortex, spongy]).astype(np.float32)


def _smoothstep(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3.0 - 2.0 * x)


def _soft_grid(grid: VolumeGrid, half_width: float = 117.0) -> VolumeGrid:
    """Voxels of twice the size, aligned with pairs of the bones' voxels, wide enough for a leg."""
    spacing = 2.0 * grid.spacing
    across = [
        size // 2 + 2 * max(0, int(np.ceil((half_width - size * grid.spacing / 2) / spacing)))
        for size in grid.shape[1:]
    ]
    return VolumeGrid((grid.shape[0] // 2, across[0], across[1]), spacing, grid.centre)


def _pooled(volume: np.ndarray, soft_grid: VolumeGrid) -> np.ndarray:
    """Means over 2×2×2 voxels, surrounded by zeros up to the coarse grid's width."""
    pooled = F.avg_pool3d(torch.from_numpy(volume)[None, None].float(), 2)[0, 0].numpy()
    pad = [
        (0, 0),
        *[((a - b) // 2,) * 2 for a, b in zip(soft_grid.shape[1:], pooled.shape[1:], strict=True)],
    ]
    return np.pad(pooled, pad)


def _wrap(
    occupied: np.ndarray,
    marrow: np.ndarray,
    grid: VolumeGrid,
    rng: np.random.Generator,
    vary: TissueVariation,
) -> np.ndarray:
    """Volume shares of muscle and fat around bones and in their marrow, ``(2, z, y, x)``."""
    h = grid.spacing
    away = ndimage.distance_transform_edt(occupied < 0.5, sampling=h).astype(np.float32)
    away = ndimage.gaussian_filter(away, 7.0 / h)
    y, z = grid.axes()[1][:, None], grid.axes()[2][:, None, None]
    cover = rng.uniform(*vary.cover) + 5.0 * smooth_noise(rng, grid, 35.0)
    cover = cover + rng.uniform(*vary.posterior_cover) * _smoothstep((10.0 - y) / 50.0)
    cover = cover + rng.uniform(0.0, 0.35) * np.abs(z) * _smoothstep((40.0 - y) / 40.0)
    skin = np.maximum(cover, 4.0) - away
    body = _occupancy(skin, h)
    fat_layer = rng.uniform(*vary.fat_layer) * (1.0 + 0.4 * smooth_noise(rng, grid, 40.0))
    under_fat = _occupancy(skin - fat_layer, h)
    share = rng.uniform(*vary.muscle_share) + rng.uniform(0.0, 0.35) * smooth_noise(rng, grid, 11.0)
    share = np.clip(share, 0.0, 1.0)
    room = np.clip(1.0 - occupied, 0.0, 1.0)
    muscle = body * under_fat * share * room
    fat = body * room - muscle + np.clip(marrow, 0.0, 1.0)
    return np.stack([muscle, fat])


def smooth_noise(rng: np.random.Generator, grid: VolumeGrid, length: float) -> np.ndarray:
    """Noise of zero mean and unit deviation with structures of about ``length`` mm."""
    coarse = [max(2, int(np.ceil(size * grid.spacing / length)) + 1) for size in grid.shape]
    seeds = torch.from_numpy(rng.normal(0.0, 1.0, coarse).astype(np.float32))
    fine = F.interpolate(seeds[None, None], grid.shape, mode="trilinear", align_corners=True)
    noise = fine[0, 0].numpy()
    return (noise - noise.mean()) / (noise.std() + 1e-6)


def material_paths(tissues: Tissues, view: ViewGeometry) -> torch.Tensor:
    """mm of each material along every ray of a view, ``(4, rows, columns)`` in Material order."""
    bone = project(tissues.bone, tissues.bone_grid, view)
    soft = project(tissues.soft, tissues.soft_grid, view)
    return torch.cat([bone, soft])


def bone_silhouettes(tissues: Tissues, view: ViewGeometry, whole: float = 8.0) -> torch.Tensor:
    """Each bone's silhouette, ``(4, rows, columns)`` from 0 to 1, in label order.

    Args:
        tissues: with the bones.
        view: source and detector.
        whole: mm of bone along a ray that count as bone; less counts in proportion.
    """
    share = torch.from_numpy(_occupancy(tissues.depth, tissues.bone_grid.spacing))
    return project(share, tissues.bone_grid, view).div(whole).clamp(max=1.0)
