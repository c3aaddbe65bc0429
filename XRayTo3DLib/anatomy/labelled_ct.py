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
from XRayTo3DLib.anatomy.grid import VolumeGrid
from XRayTo3DLib.anatomy.knee import Knee
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.anatomy.tissue import OUTSIDE_REACH, Tissues
from XRayTo3DLib.errors import InputFileError, XRayTo3DError
from XRayTo3DLib.imaging.materials import Material, from_hounsfield, linear_attenuation
from XRayTo3DLib.imaging.radiograph import Side

CT_ENERGY_KEV = 70.0
"""Effective energy of a CT at 120 kV, at which Hounsfield units are taken for attenuation."""

_SUFFIXES = ("", ".nii.gz", ".nii", ".nrrd", ".mha")
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


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
            files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(path))
            if not files:
                raise InputFileError(path, "holds no DICOM series; name the folder of one.")
            image = sitk.ReadImage(files)
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
        under ``"left"``, ``"right"`` or ``""`` (not said) the binary mask of each bone.

    Raises:
        InputFileError: no femur and tibia, or values that are no labels.
    """
    path = Path(path)
    if path.is_dir():
        found = _masks_of_folder(path)
    else:
        image = read_volume(path)
        values = np.unique(sitk.GetArrayViewFromImage(image))
        if len(values) > 4096 or not np.array_equal(values, np.round(values)):
            raise InputFileError(path, "holds no whole numbers as labels; give a label map.")
        present = {bone: value for bone, value in labels.items() if value in values}
        found = {"": {bone: image == float(value) for bone, value in present.items()}}
    complete = {side: masks for side, masks in found.items() if set(masks) == set(Bone)}
    if not complete:
        names = ", ".join(f"{bone.key}={labels[bone]}" for bone in Bone)
        raise InputFileError(
            path, f"does not hold all four bones of a knee (looked for {names}); use --label."
        )
    return complete


def _masks_of_folder(folder: Path) -> dict[str, dict[Bone, sitk.Image]]:
    found: dict[str, dict[Bone, sitk.Image]] = {}
    for side in ("left", "right", ""):
        for bone in Bone:
            stem = f"{bone.key}_{side}" if side else bone.key
            files = [folder / f"{stem}{suffix}" for suffix in _SUFFIXES[1:]]
            file = next((file for file in files if file.is_file()), None)
            if file is not None:
                mask = read_volume(file) > 0
                if sitk.GetArrayViewFromImage(mask).any():
                    found.setdefault(side, {})[bone] = mask
    return found


def labelled_knee(masks: Mapping[Bone, sitk.Image], side: Side, name: str) -> LabelledKnee:
    """Surfaces of one knee, aligned as for films.

    Raises:
        XRayTo3DError: femur and tibia do not lie above one another.
    """
    surfaces = {bone: _surface(mask) for bone, mask in masks.items()}
    lowest = surfaces[Bone.FEMUR].vertices[:, 2].min()
    highest = surfaces[Bone.TIBIA].vertices[:, 2].max()
    if abs(lowest - highest) > 40.0:
        raise XRayTo3DError(
            f"{name}: femur and tibia are {abs(lowest - highest):.0f} mm apart; check the labels."
        )
    placing = np.eye(4)
    placing[2, 3] = -(lowest + highest) / 2.0
    middle = surfaces[Bone.FEMUR].vertices.mean(axis=0)
    placing[:2, 3] = -middle[:2]
    knee = Knee(name, name, side, surfaces).transformed(placing)
    placing = knee.alignment() @ placing
    return LabelledKnee(Knee(name, name, side, surfaces).transformed(placing), placing)


def _surface(mask: sitk.Image) -> Surface:
    """Marching cubes of a mask, smoothed by less than a voxel, RAS mm."""
    padded = sitk.ConstantPad(sitk.Cast(mask, sitk.sitkFloat32), [2] * 3, [2] * 3)
    smooth = sitk.DiscreteGaussian(padded, [0.5] * 3, 7, 0.01, False)
    index, faces, _, _ = marching_cubes(sitk.GetArrayFromImage(smooth), 0.5)
    direction = np.array(padded.GetDirection()).reshape(3, 3)
    points = index[:, ::-1] * padded.GetSpacing() @ direction.T + padded.GetOrigin()
    surface = Surface(points * (-1.0, -1.0, 1.0), faces.astype(np.int64))
    return surface if surface.volume > 0 else Surface(surface.vertices, surface.faces[:, ::-1])


def side_by_fibula(masks: Mapping[Bone, sitk.Image]) -> Side:
    """Which knee it is: the fibula lies on the outer side of the tibia."""
    tibia, fibula = (_surface(masks[bone]).vertices for bone in (Bone.TIBIA, Bone.FIBULA))
    return Side.RIGHT if fibula[:, 0].mean() > tibia[:, 0].mean() else Side.LEFT


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
    if not (units > 150).any() or units.min() > -200:
        raise XRayTo3DError(
            f"{knee.name}: the CT is not in Hounsfield units there (it runs from {units.min():g} "
            f"to {units.max():g}); give the CT itself, not a rescaled copy."
        )
    depth = np.stack([signed_depth(knee.surfaces[bone], grid, OUTSIDE_REACH) for bone in Bone])
    attenuation = np.maximum(from_hounsfield(units, CT_ENERGY_KEV), 0.0)
    cortex, spongy, muscle, fat = _shares(attenuation, depth.max(axis=0) > -0.5 * grid.spacing)
    bone = torch.from_numpy(np.stack([cortex, spongy]).astype(np.float32))
    soft = torch.from_numpy(np.stack([muscle, fat]).astype(np.float32))
    z, y, x = grid.shape
    soft_grid = VolumeGrid((z // 2, y // 2, x // 2), 2 * grid.spacing, grid.centre)
    return Tissues(depth, bone, grid, F.avg_pool3d(soft[None], 2)[0], soft_grid)


def _resampled(ct: sitk.Image, grid: VolumeGrid, placing: np.ndarray) -> np.ndarray:
    """The CT on a grid of the knee's own frame, ``(z, y, x)``; air beside it."""
    back = _LPS_TO_RAS @ np.linalg.inv(placing) @ _LPS_TO_RAS
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(back[:3, :3].ravel())
    transform.SetTranslation(back[:3, 3])
    reference = grid.image(np.zeros(grid.shape, dtype=np.float32))
    values = sitk.Resample(
        sitk.Cast(ct, sitk.sitkFloat32), reference, transform, sitk.sitkLinear, -1000.0
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
