"""Bones taken out of a density volume, and put back elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from scipy import ndimage
from torch.nn import functional

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.materials import from_hounsfield
from XRayTo3DLib.tomography.density import REFERENCE_KEV, DensityVolume
from XRayTo3DLib.tomography.segments import SegmentedDensity

_SOFT_UNITS = (-300.0, 150.0)
"""Hounsfield units of what surrounds a bone and may fill its place: neither air nor bone."""

_RIM = 1.0
_EDGE = 0.4
"""mm around a label that hold part of the bone, and the softness of its edge, mm."""

_FILL_VOXEL = 3.0
_FILL_REACH = 4.0
"""mm: voxels on which a filling is computed, and how far it first looks for soft tissue."""

Box = tuple[slice, slice, slice]


def without(knee: SegmentedDensity, bones: Iterable[Bone]) -> SegmentedDensity:
    """The knee without some bones, their places filled with the surrounding soft tissue.

    The filling is the mean of the soft tissue around, near tissue counting most (normalised
    convolution: H. Knutsson and C.-F. Westin, CVPR 1993), at the finest scale that reaches.

    Args:
        knee: with those bones.
        bones: which.

    Raises:
        XRayTo3DError: a bone is not there, or nothing soft surrounds it.
    """
    bones = tuple(bones)
    share = np.maximum.reduce([share_of(knee, bone) for bone in bones])
    attenuation = knee.volume.attenuation
    filling = _filling(knee)
    filled = attenuation + share * (filling - attenuation)
    labels = np.where(np.isin(knee.labels, bones), 0, knee.labels).astype(np.uint8)
    return SegmentedDensity(DensityVolume(filled.astype(np.float32), knee.volume.grid), labels)


def moved(knee: SegmentedDensity, motions: Mapping[Bone, np.ndarray]) -> SegmentedDensity:
    """The knee with some bones moved; where they were is filled, where they go they displace.

    Args:
        knee: with those bones.
        motions: 4×4 rigid motion of each, RAS mm.

    Raises:
        XRayTo3DError: a bone is not there, leaves the volume, or nothing soft surrounds it.
    """
    return with_bones(without(knee, motions), knee, motions)


def with_bones(
    onto: SegmentedDensity, source: SegmentedDensity, motions: Mapping[Bone, np.ndarray]
) -> SegmentedDensity:
    """Bones of one volume laid, moved, into another on the same grid.

    Args:
        onto: what receives them.
        source: whose bones they are.
        motions: 4×4 rigid motion of each, RAS mm.

    Raises:
        XRayTo3DError: a bone is not there or leaves the volume.
    """
    grid = source.volume.grid
    attenuation, labels = onto.volume.attenuation.copy(), onto.labels.copy()
    for bone, motion in motions.items():
        share, mask = share_of(source, bone), source.mask(bone).astype(np.float32)
        box = _box(share > 0)
        target = _target(box, motion, grid)
        if target is None:
            raise XRayTo3DError(f"The {bone.key} would leave the volume; move it less far.")
        # Attenuation weighted by the share: at its edge the bone brings nothing of its own
        # surroundings along.
        weighted = share * source.volume.attenuation
        moved_share, brought, covered = (
            _carried(values, box, target, motion, grid) for values in (share, weighted, mask)
        )
        attenuation[target] = attenuation[target] * (1.0 - moved_share) + brought
        labels[target] = np.where(covered > 0.5, int(bone), labels[target])
    return SegmentedDensity(DensityVolume(attenuation, grid), labels)


def share_of(knee: SegmentedDensity, bone: Bone) -> np.ndarray:
    """Share of each voxel, 0–1, that goes with the bone, ``(z, y, x)`` float32.

    The label with the rim of voxels that hold a part of it, softened, without the other bones.

    Raises:
        XRayTo3DError: the bone is not there.
    """
    mask, spacing = knee.mask(bone), knee.volume.grid.spacing
    near = _grown(_box(mask), int(np.ceil((_RIM + 4.0 * _EDGE) / spacing)), mask.shape)
    inner = mask[near]
    away = ndimage.distance_transform_edt(~inner, sampling=spacing)
    rim = (away <= max(_RIM, spacing)).astype(np.float32)
    soft = ndimage.gaussian_filter(rim, _EDGE / spacing)
    others = (knee.labels[near] != 0) & ~inner
    share = np.zeros(mask.shape, dtype=np.float32)
    share[near] = np.where(inner, 1.0, np.where(others, 0.0, soft))
    return share


def _filling(knee: SegmentedDensity) -> np.ndarray:
    """What soft tissue would be at every voxel, 1/mm, ``(z, y, x)`` float32."""
    attenuation, grid = knee.volume.attenuation, knee.volume.grid
    low, high = from_hounsfield(_SOFT_UNITS, REFERENCE_KEV)
    rim = max(1, int(np.ceil(_RIM / grid.spacing)))
    bone = ndimage.binary_dilation(knee.labels != 0, iterations=rim)
    soft = ((attenuation > low) & (attenuation < high) & ~bone).astype(np.float32)
    if not soft.any():
        raise XRayTo3DError("No soft tissue surrounds the bones; nothing can fill their places.")
    factor = max(1, round(_FILL_VOXEL / grid.spacing))
    weight, total = (_pooled(values, factor) for values in (soft, soft * attenuation))
    filling, done = np.zeros_like(weight), np.zeros(weight.shape, dtype=bool)
    reach = _FILL_REACH / (factor * grid.spacing)
    while not done.all():
        near, sums = (ndimage.gaussian_filter(values, reach) for values in (weight, total))
        new = (near > 1e-3) & ~done
        filling[new] = sums[new] / near[new]
        done |= new
        reach *= 2.0
    fine = functional.interpolate(
        torch.from_numpy(filling)[None, None],
        scale_factor=float(factor),
        mode="trilinear",
        align_corners=False,
    )[0, 0].numpy()
    z, y, x = grid.shape
    return fine[:z, :y, :x]


def _pooled(values: np.ndarray, factor: int) -> np.ndarray:
    """Means over blocks of voxels, zeros beyond the edge."""
    padding = [(0, -size % factor) for size in values.shape]
    padded = torch.from_numpy(np.pad(values, padding))
    return functional.avg_pool3d(padded[None, None], factor)[0, 0].numpy()


def _box(mask: np.ndarray) -> Box:
    first, second, third = ndimage.find_objects(mask.astype(np.uint8))[0]
    return first, second, third


def _grown(box: Box, margin: int, shape: tuple[int, ...]) -> Box:
    a, b, c = (
        slice(max(part.start - margin, 0), min(part.stop + margin, size))
        for part, size in zip(box, shape, strict=True)
    )
    return a, b, c


def _target(box: Box, motion: np.ndarray, grid: VolumeGrid) -> Box | None:
    """The part of the grid that a moved box can reach; None when it is none."""
    ends = np.array(np.meshgrid(*[(part.start - 1, part.stop) for part in box]))
    corners = grid.to_ras(ends.reshape(3, -1).T) @ motion[:3, :3].T + motion[:3, 3]
    index = grid.to_index(corners)
    low = np.maximum(np.floor(index.min(axis=0)), 0).astype(int)
    high = np.minimum(np.ceil(index.max(axis=0)) + 1, grid.shape).astype(int)
    if np.any(high <= low):
        return None
    z, y, x = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return z, y, x


def _carried(
    values: np.ndarray, box: Box, target: Box, motion: np.ndarray, grid: VolumeGrid
) -> np.ndarray:
    """Values of ``box`` after a motion, on the voxels of ``target``; 0 where nothing came."""
    back = np.linalg.inv(motion)
    # From RAS (x, y, z) to voxels (z, y, x), relative to the corners of the two boxes.
    turn = back[:3, :3][::-1, ::-1]
    corner = np.array([part.start for part in target], dtype=float)
    start = grid.to_index(grid.to_ras(corner) @ back[:3, :3].T + back[:3, 3])
    offset = start - [part.start for part in box]
    shape = tuple(part.stop - part.start for part in target)
    return ndimage.affine_transform(values[box], turn, offset, shape, order=1, prefilter=False)
