"""The knee of a density volume bent, with the flesh around it."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from scipy import ndimage
from scipy.spatial.transform import Rotation

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.joint import JointPose, bend, joint_gaps
from XRayTo3DLib.anatomy.knee import Knee, condyle_box
from XRayTo3DLib.anatomy.labelled_ct import labelled_knee, side_by_fibula
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.radiograph import Side
from XRayTo3DLib.tomography.density import DensityVolume
from XRayTo3DLib.tomography.edited import with_bones, without
from XRayTo3DLib.tomography.segments import SegmentedDensity

FLEXION_RANGE = (-10.0, 60.0)
"""Degrees by which a knee may be bent; further, the hollow of the knee would have no room."""

_AXIS_HEIGHT = 0.45
"""Height of the flexion axis above the femur's lowest point, share of the condyles' depth."""

_SHIN = 40.0
_THIGH = 120.0
"""Degrees from straight down, about the axis, up to which flesh goes with the shin, and from
which it stays with the thigh."""

_MIRROR = np.diag([-1.0, 1.0, 1.0, 1.0])


def flexed(knee: SegmentedDensity, degrees: float) -> SegmentedDensity:
    """The knee bent further by an angle about its flexion axis; the femur stays.

    Tibia, fibula and patella move as rigid bodies as :func:`XRayTo3DLib.anatomy.joint.bend` moves
    them, and stay as far apart as they were. Flesh below the joint turns with the shin, flesh
    above it stays, and what is between is stretched in front and compressed behind in proportion
    to the angle about the axis. The leg ends where the volume ends.

    Args:
        knee: all four bones, about upright (z along the leg).
        degrees: positive bends the shin backwards.

    Raises:
        XRayTo3DError: an angle out of range, or bones that make no knee.
    """
    low, high = FLEXION_RANGE
    if not low <= degrees <= high:
        raise XRayTo3DError(
            f"The knee cannot be bent by {degrees:g}°; give from {low:g}° to {high:g}°."
        )
    surfaces, placing = _aligned(knee)
    bent = bend(surfaces, JointPose(flexion=degrees), joint_gaps(surfaces))
    back = np.linalg.inv(placing)
    motions = {
        bone: back @ _motion(surfaces, bent, bone) @ placing
        for bone in (Bone.TIBIA, Bone.FIBULA, Bone.PATELLA)
    }
    flesh = without(knee, tuple(Bone))
    axis = _axis(surfaces)
    tibia = _motion(surfaces, bent, Bone.TIBIA)
    warped = _warped(flesh.volume, placing, axis, degrees, tibia)
    empty = np.zeros_like(knee.labels)
    return with_bones(SegmentedDensity(warped, empty), knee, {Bone.FEMUR: np.eye(4), **motions})


def _aligned(knee: SegmentedDensity) -> tuple[Knee, np.ndarray]:
    """A right knee of surfaces, placed as for films, and the 4×4 motion (or mirror) to it."""
    grid = knee.volume.grid
    masks: dict[Bone, sitk.Image] = {
        bone: grid.image(knee.mask(bone).astype(np.uint8)) for bone in Bone
    }
    labelled = labelled_knee(masks, side_by_fibula(masks), "The segments")
    if labelled.knee.side is Side.RIGHT:
        return labelled.knee, labelled.placing
    return labelled.knee.mirrored(), _MIRROR @ labelled.placing


def _motion(before: Knee, after: Knee, bone: Bone) -> np.ndarray:
    """The 4×4 rigid motion that took a bone's vertices from one pose to the other."""
    old, new = (knee.surfaces[bone].vertices for knee in (before, after))
    middle, target = old.mean(axis=0), new.mean(axis=0)
    rotation, _ = Rotation.align_vectors(new - target, old - middle)
    motion = np.eye(4)
    motion[:3, :3] = rotation.as_matrix()
    motion[:3, 3] = target - motion[:3, :3] @ middle
    return motion


def _axis(knee: Knee) -> np.ndarray:
    """A point of the flexion axis, which runs along x, mm."""
    femur = knee.surfaces[Bone.FEMUR].vertices
    low, high = condyle_box(femur)
    depth = high[1] - low[1]
    return np.array([0.0, low[1] + _AXIS_HEIGHT * depth, femur[:, 2].min() + _AXIS_HEIGHT * depth])


def _warped(
    volume: DensityVolume, placing: np.ndarray, axis: np.ndarray, degrees: float, shin: np.ndarray
) -> DensityVolume:
    """The flesh after bending; each voxel looks up where it came from."""
    grid = volume.grid
    back = np.linalg.inv(placing)
    # What the shin slides besides turning about the axis.
    slide = shin[:3, :3] @ axis + shin[:3, 3] - axis
    attenuation = np.empty_like(volume.attenuation)
    z, y, x = grid.shape
    plane = np.stack(np.meshgrid(np.arange(y), np.arange(x), indexing="ij"), axis=-1)
    for level in range(z):
        index = np.concatenate([np.full((y, x, 1), level), plane], axis=-1)
        here = grid.to_ras(index) @ placing[:3, :3].T + placing[:3, 3]
        origin = _origin(here, axis, degrees, slide) @ back[:3, :3].T + back[:3, 3]
        attenuation[level] = ndimage.map_coordinates(
            volume.attenuation, np.moveaxis(grid.to_index(origin), -1, 0), order=1
        )
    return DensityVolume(attenuation, grid)


def _origin(points: np.ndarray, axis: np.ndarray, degrees: float, slide: np.ndarray) -> np.ndarray:
    """Where flesh was before the knee was bent, ``(..., 3)`` of ``(..., 3)``, aligned frame."""
    # Angle about the axis from straight down, growing backwards, which is how a shin flexes.
    before = np.array([-180.0, -_THIGH, -_SHIN, _SHIN, _THIGH, 180.0])
    share = np.array([0.0, 0.0, 1.0, 1.0, 0.0, 0.0])
    after = before + degrees * share
    offset = points - axis
    angle = np.degrees(np.arctan2(-offset[..., 1], -offset[..., 2]))
    offset = offset - np.interp(angle, after, share)[..., None] * slide
    angle = np.degrees(np.arctan2(-offset[..., 1], -offset[..., 2]))
    turned = np.radians(np.interp(angle, after, before))
    radius = np.hypot(offset[..., 1], offset[..., 2])
    return axis + np.stack(
        [offset[..., 0], -radius * np.sin(turned), -radius * np.cos(turned)], axis=-1
    )
