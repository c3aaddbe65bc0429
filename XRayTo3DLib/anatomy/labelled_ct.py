"""Knees from labelled CTs: surfaces, and what an X-ray passes through, by Hounsfield unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
import torch.nn.functional as F
from skimage.measure import marching_cubes

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.distance import signed_depth
from XRayTo3DLib.anatomy.knee import Knee
from XRayTo3DLib.anatomy.separate_knees import centre_of, separate_knees
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.anatomy.tissue import OUTSIDE_REACH, Tissues
from XRayTo3DLib.errors import InputFileError, XRayTo3DError
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.materials import Material, from_hounsfield, linear_attenuation
from XRayTo3DLib.imaging.radiograph import Side

CT_ENERGY_KEV = 70.0
"""Effective energy of a CT at 120 kV, at which Hounsfield units are taken for attenuation."""

_MASK_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])

_AIR = -1000.0
_BESIDE_THE_CT = -1e5
"""What a voxel beside the CT is given; lower than scanners' own padding."""

_BONE_UNITS = (100.0, 2500.0)
_SOFT_UNITS = (-1024.0, 300.0)
"""Hounsfield units between which the mean of bone and the median of what surrounds it lie (a dry
bone lies in air). A CT stored with an offset of 1024, or between 0 and 1, has neither."""

_MOST_BESIDE = 0.02
"""Share of the bones that may lie beside the CT."""

_WIDEST_GAP = 40.0
_SHORTEST_BONE = 60.0
_CUT = 180.0
"""mm: between femur and tibia at most; of each that must be seen; and beyond which both end."""


@dataclass(frozen=True)
class LabelledKnee:
    """One knee of a CT.

    Attributes:
        knee: its surfaces, RAS mm, aligned, on its own side.
        placing: 4×4 from the scanner's RAS to the frame of ``knee``.
    """

    knee: Knee
    placing: np.ndarray


def read_volume(path: str | Path) -> sitk.Image:
    """Read NIfTI, NRRD, MHA, or the DICOM series in a folder.

    Raises:
        InputFileError: it is missing, unreadable or not a volume.
    """
    path = Path(path)
    if not path.exists():
        raise InputFileError(path, "does not exist; check the path.")
    try:
        if path.is_dir():
            series = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(path))
            if len(series) != 1:
                raise InputFileError(
                    path, f"holds {len(series) or 'no'} DICOM series; name a folder with just one."
                )
            image = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(path)))
        else:
            image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise InputFileError(path, "is no volume that can be read; convert it to NIfTI.") from error
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise InputFileError(path, "is not a volume of one value per voxel; give a 3D image.")
    return image


def read_masks(path: str | Path, labels: Mapping[Bone, int]) -> dict[str, dict[Bone, sitk.Image]]:
    """Masks of the bones, by side where the files say it.

    Args:
        path: a label map, or a folder with one mask a structure, named like ``femur_left.nii.gz``
            (as TotalSegmentator names them) or ``femur.nii.gz``.
        labels: value of each bone in a label map.

    Returns:
        under ``"left"``, ``"right"`` or ``""`` (not said) the binary mask of each bone; of two
        legs in one mask, each is under its side.

    Raises:
        InputFileError: no knee with all four bones, or values that are no labels.
    """
    path = Path(path)
    if path.is_dir():
        found = _masks_of_folder(path)
        wanted = "femur_left, femur, … as NIfTI, NRRD or MHA"
    else:
        found = {"": _masks_of_map(path, labels)}
        wanted = ", ".join(f"{bone.key}={labels[bone]}" for bone in Bone)
    legs = separate_knees(found)
    complete = {said: masks for said, masks in legs.items() if set(masks) == set(Bone)}
    if not complete:
        seen = sorted({bone for masks in legs.values() for bone in masks})
        raise InputFileError(
            path,
            f"does not hold all four bones of a knee (looked for {wanted}; found "
            f"{', '.join(bone.key for bone in seen) or 'none'}); use --label or name the masks so.",
        )
    return complete


def _masks_of_map(path: Path, labels: Mapping[Bone, int]) -> dict[Bone, sitk.Image]:
    chosen = list(labels.values())
    if 0 in chosen or len(set(chosen)) < len(chosen):
        raise XRayTo3DError(
            "Every bone needs a label of its own, and 0 is the background; give other --label "
            f"values than {', '.join(f'{bone.key}={labels[bone]}' for bone in labels)}."
        )
    image = read_volume(path)
    values = sitk.GetArrayViewFromImage(image)
    if values.dtype.kind == "f" and not np.array_equal(values, np.round(values)):
        raise InputFileError(path, "holds no whole numbers as labels; give a label map.")
    masks = {bone: image == float(value) for bone, value in labels.items()}
    return {bone: mask for bone, mask in masks.items() if _is_filled(mask)}


def _is_filled(mask: sitk.Image) -> bool:
    return bool(sitk.GetArrayViewFromImage(mask).any())


def _masks_of_folder(folder: Path) -> dict[str, dict[Bone, sitk.Image]]:
    found: dict[str, dict[Bone, sitk.Image]] = {}
    for side in ("left", "right", ""):
        for bone in Bone:
            stem = f"{bone.key}_{side}" if side else bone.key
            files = [folder / f"{stem}{suffix}" for suffix in _MASK_SUFFIXES]
            file = next((file for file in files if file.is_file()), None)
            if file is not None:
                mask = read_volume(file) > 0
                if _is_filled(mask):
                    found.setdefault(side, {})[bone] = mask
    return found


def labelled_knee(masks: Mapping[Bone, sitk.Image], side: Side, name: str) -> LabelledKnee:
    """Surfaces of one knee, aligned as for films and cut 180 mm above and below the joint.

    Raises:
        XRayTo3DError: femur and tibia do not lie above one another, too little of them is
            there, or the fibula lies on the inner side.
    """
    joint = _joint_line(masks, name)
    surfaces = {bone: _surface(_cut(mask, joint), bone, name) for bone, mask in masks.items()}
    placing = np.eye(4)
    placing[2, 3] = -_middle_of_gap(surfaces)
    middle = surfaces[Bone.FEMUR].vertices.mean(axis=0)
    placing[:2, 3] = -middle[:2]
    knee = Knee(name, name, side, surfaces).transformed(placing)
    placing = knee.alignment() @ placing
    knee = Knee(name, name, side, surfaces).transformed(placing)
    tibia, fibula = (knee.surfaces[bone].vertices for bone in (Bone.TIBIA, Bone.FIBULA))
    if (fibula[:, 0].mean() > tibia[:, 0].mean()) != (side is Side.RIGHT):
        raise XRayTo3DError(
            f"{name}: this should be a {side.value} knee, but its fibula lies on the side of the "
            "other; check --side, the names of the masks and the orientation in the files."
        )
    return LabelledKnee(knee, placing)


def _middle_of_gap(surfaces: Mapping[Bone, Surface]) -> float:
    lowest = surfaces[Bone.FEMUR].vertices[:, 2].min()
    highest = surfaces[Bone.TIBIA].vertices[:, 2].max()
    return float((lowest + highest) / 2.0)


def _joint_line(masks: Mapping[Bone, sitk.Image], name: str) -> float:
    """RAS z between femur and tibia, mm, to a voxel."""
    femur, tibia = (_heights(masks[bone]) for bone in (Bone.FEMUR, Bone.TIBIA))
    gap = femur.min() - tibia.max()
    if abs(gap) > _WIDEST_GAP:
        raise XRayTo3DError(
            f"{name}: femur and tibia are {abs(gap):.0f} mm {'apart' if gap > 0 else 'into'}"
            f"{'' if gap > 0 else ' one another'}; check the labels."
        )
    for bone, heights in ((Bone.FEMUR, femur), (Bone.TIBIA, tibia)):
        if np.ptp(heights) < _SHORTEST_BONE:
            raise XRayTo3DError(
                f"{name}: only {np.ptp(heights):.0f} mm of the {bone.key} are labelled; at least "
                f"{_SHORTEST_BONE:g} mm must be seen, so give a CT that shows more of the leg."
            )
    return float((femur.min() + tibia.max()) / 2.0)


def _height_field(mask: sitk.Image) -> np.ndarray:
    """RAS z of every voxel, mm, ``(z, y, x)``."""
    steps = np.array(mask.GetDirection())[6:] * mask.GetSpacing()
    i, j, k = (step * np.arange(n) for step, n in zip(steps, mask.GetSize(), strict=True))
    return mask.GetOrigin()[2] + k[:, None, None] + j[:, None] + i


def _heights(mask: sitk.Image) -> np.ndarray:
    return _height_field(mask)[sitk.GetArrayViewFromImage(mask) > 0]


def _cut(mask: sitk.Image, joint: float) -> sitk.Image:
    """The mask without what lies so far from the joint that no film of a knee shows it."""
    near = np.abs(_height_field(mask) - joint) <= _CUT
    kept = sitk.GetImageFromArray((near & (sitk.GetArrayViewFromImage(mask) > 0)).astype(np.uint8))
    kept.CopyInformation(mask)
    return kept


def _surface(mask: sitk.Image, bone: Bone, name: str) -> Surface:
    """Marching cubes of a mask, smoothed by less than a voxel, RAS mm."""
    padded = sitk.ConstantPad(sitk.Cast(mask, sitk.sitkFloat32), [2] * 3, [2] * 3)
    smooth = sitk.DiscreteGaussian(padded, [0.5] * 3, 7, 0.01, False)
    values = sitk.GetArrayFromImage(smooth)
    if values.max() <= 0.5:
        raise XRayTo3DError(f"{name}: the {bone.key} has too few voxels; check the labels.")
    index, faces, _, _ = marching_cubes(values, 0.5)
    direction = np.array(padded.GetDirection()).reshape(3, 3)
    points = index[:, ::-1] * padded.GetSpacing() @ direction.T + padded.GetOrigin()
    surface = Surface(points * (-1.0, -1.0, 1.0), faces.astype(np.int64))
    return surface if surface.volume > 0 else Surface(surface.vertices, surface.faces[:, ::-1])


def side_by_fibula(masks: Mapping[Bone, sitk.Image]) -> Side:
    """Which knee it is: the fibula lies on the outer side of the tibia."""
    tibia, fibula = (centre_of(masks[bone]) for bone in (Bone.TIBIA, Bone.FIBULA))
    return Side.RIGHT if fibula[0] > tibia[0] else Side.LEFT


def tissues_of(ct: sitk.Image, labelled: LabelledKnee, grid: VolumeGrid) -> Tissues:
    """The materials of a knee by Hounsfield unit, as a right knee.

    At :data:`CT_ENERGY_KEV` they attenuate as the CT says. Inside the labels bone is a mixture of
    marrow fat, spongiosa and cortex; outside, of air, fat and muscle.

    Args:
        ct: Hounsfield units, in the scanner's frame.
        labelled: one of its knees.
        grid: fine, of even shape, and wide enough for the leg.

    Raises:
        XRayTo3DError: the CT does not show the joint, or is not in Hounsfield units.
    """
    knee, placing = labelled.knee, labelled.placing
    if knee.side is Side.LEFT:
        knee, placing = knee.mirrored(), np.diag([-1.0, 1.0, 1.0, 1.0]) @ placing
    units = _resampled(ct, grid, placing)
    depth = np.stack([signed_depth(knee.surfaces[bone], grid, OUTSIDE_REACH) for bone in Bone])
    nearest = depth.max(axis=0)
    _check_field_and_units(units, nearest, knee.name)
    attenuation = from_hounsfield(np.where(units == _BESIDE_THE_CT, _AIR, units), CT_ENERGY_KEV)
    cortex, spongy, muscle, fat = _shares(attenuation, nearest > -0.5 * grid.spacing)
    bone = torch.from_numpy(np.stack([cortex, spongy]).astype(np.float32))
    soft = torch.from_numpy(np.stack([muscle, fat]).astype(np.float32))
    z, y, x = grid.shape
    soft_grid = VolumeGrid((z // 2, y // 2, x // 2), 2 * grid.spacing, grid.centre)
    return Tissues(depth, bone, grid, F.avg_pool3d(soft[None], 2)[0], soft_grid)


def _check_field_and_units(units: np.ndarray, depth: np.ndarray, name: str) -> None:
    bone = depth > 0.0
    shown = units > _BESIDE_THE_CT
    beside = 1.0 - float(shown[bone].mean()) if bone.any() else 1.0
    if beside > _MOST_BESIDE:
        raise XRayTo3DError(
            f"{name}: {beside:.0%} of the labelled bones lie outside the CT; give the labels "
            "that belong to it."
        )
    mean = float(units[bone & shown].mean())
    around = units[(depth < -1.0) & (depth > -0.9 * OUTSIDE_REACH) & shown]
    soft = float(np.median(around)) if around.size else 0.0
    if not (_BONE_UNITS[0] < mean < _BONE_UNITS[1] and _SOFT_UNITS[0] <= soft < _SOFT_UNITS[1]):
        raise XRayTo3DError(
            f"{name}: the CT is not in Hounsfield units (bone has {mean:.4g} on average, what "
            f"surrounds it {soft:.4g}); give the CT itself, not a rescaled copy."
        )


def _resampled(ct: sitk.Image, grid: VolumeGrid, placing: np.ndarray) -> np.ndarray:
    """The CT on a grid of the knee's own frame, ``(z, y, x)``; marked where there is none."""
    back = _LPS_TO_RAS @ np.linalg.inv(placing) @ _LPS_TO_RAS
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(back[:3, :3].ravel())
    transform.SetTranslation(back[:3, 3])
    reference = grid.image(np.zeros(grid.shape, dtype=np.float32))
    values = sitk.Resample(
        sitk.Cast(ct, sitk.sitkFloat32), reference, transform, sitk.sitkLinear, _BESIDE_THE_CT
    )
    return sitk.GetArrayFromImage(values)


def _shares(attenuation: np.ndarray, bone: np.ndarray) -> tuple[np.ndarray, ...]:
    """Volume shares of cortex, spongiosa, muscle and fat that attenuate as given, 1/mm."""
    cortex_mu, spongy_mu, muscle_mu, fat_mu = (
        float(linear_attenuation(material, CT_ENERGY_KEV)) for material in Material
    )
    dense = np.clip((attenuation - spongy_mu) / (cortex_mu - spongy_mu), 0.0, None)
    loose = np.clip((attenuation - fat_mu) / (spongy_mu - fat_mu), 0.0, 1.0)
    cortex = np.where(bone, dense, 0.0)
    spongy = np.where(bone, loose * np.clip(1.0 - dense, 0.0, None), 0.0)
    marrow = np.where(bone, np.minimum(attenuation / fat_mu, 1.0) * (1.0 - loose), 0.0)
    lean = np.clip((attenuation - fat_mu) / (muscle_mu - fat_mu), 0.0, 1.0)
    above = np.maximum(attenuation / muscle_mu, 1.0)
    muscle = np.where(bone, 0.0, lean * above)
    fat = np.where(bone, marrow, np.minimum(attenuation / fat_mu, 1.0) * (1.0 - lean))
    return cortex, spongy, muscle, fat
