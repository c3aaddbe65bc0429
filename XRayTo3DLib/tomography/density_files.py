"""Density volumes as files: Hounsfield units, as any program that knows CT opens them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from XRayTo3DLib.anatomy.labelled_ct import read_volume
from XRayTo3DLib.errors import InputFileError
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.materials import from_hounsfield
from XRayTo3DLib.tomography.density import REFERENCE_KEV, DensityVolume

_AIR = -1000.0
_AIR_BELOW = -500.0
"""A leg is surrounded by air: a volume with nothing below this is not in Hounsfield units."""

_TISSUE_ABOVE = -300.0
_LEAST_VOXELS = 8
_MOST_VOXELS = 100_000_000
"""About 460 mm cubed at 1 mm; more does not fit into the memory of a small machine."""

_SPACING_LIMITS = (0.05, 10.0)
_LARGEST_UNITS = 32767
_STRAIGHT = 1e-3
"""Largest deviation of a direction cosine, and relative of a spacing, that is rounding."""


def write_density(volume: DensityVolume, path: str | Path) -> None:
    """Write Hounsfield units as a compressed int16 NRRD, in LPS as every such file.

    The file appears when it is complete; the same volume gives the same bytes.

    Args:
        volume: on any grid.
        path: ends in ``.nrrd``.

    Raises:
        InputFileError: the file cannot be written.
    """
    path = Path(path)
    units = np.clip(np.round(volume.hounsfield), _AIR, _LARGEST_UNITS).astype(np.int16)
    try:
        with tempfile.TemporaryDirectory(prefix=".xrayto3d-", dir=path.parent) as stage:
            staged = Path(stage) / "density.nrrd"
            sitk.WriteImage(volume.grid.image(units), str(staged), useCompression=True)
            os.replace(staged, path)
    except (OSError, RuntimeError) as error:
        raise InputFileError(
            path, "could not be written; check the folder and the space left."
        ) from error


def read_density(path: str | Path) -> DensityVolume:
    """Read a volume of Hounsfield units: NRRD, NIfTI, MHA, or the DICOM series in a folder.

    A volume whose axes run along those of the patient and whose voxels are cubes is taken as it
    is; an oblique one, or one of other voxels, is resampled linearly to cubes with an edge of its
    finest spacing, and air around it.

    Raises:
        InputFileError: it is missing, no volume, too large, or not in Hounsfield units.
    """
    path = Path(path)
    image = read_volume(path)
    _check_extent(path, image)
    image = sitk.DICOMOrient(sitk.Cast(image, sitk.sitkFloat32), "RAS")
    _check_units(path, sitk.GetArrayViewFromImage(image))
    if not _is_on_grid(image):
        image = _straightened(path, image)
    size, spacing = image.GetSize(), float(image.GetSpacing()[0])
    shape = (size[2], size[1], size[0])
    first = np.array(image.GetOrigin()) * (-1.0, -1.0, 1.0)
    centre = first + 0.5 * spacing * (np.array(size) - 1)
    grid = VolumeGrid(shape, spacing, (float(centre[0]), float(centre[1]), float(centre[2])))
    attenuation = from_hounsfield(sitk.GetArrayViewFromImage(image), REFERENCE_KEV)
    return DensityVolume(attenuation.astype(np.float32), grid)


def _check_extent(path: Path, image: sitk.Image) -> None:
    size = image.GetSize()
    extent = " × ".join(map(str, size))
    if min(size) < _LEAST_VOXELS:
        raise InputFileError(
            path, f"has {extent} voxels, which is a picture and no volume; give a density volume."
        )
    if np.prod(size, dtype=float) > _MOST_VOXELS:
        raise InputFileError(path, f"has {extent} voxels; crop it to the knee or make it coarser.")
    low, high = _SPACING_LIMITS
    if not all(low <= step <= high for step in image.GetSpacing()):
        steps = " × ".join(f"{step:g}" for step in image.GetSpacing())
        raise InputFileError(
            path, f"has voxels of {steps} mm; give a volume with {low:g} to {high:g} mm a side."
        )


def _check_units(path: Path, units: np.ndarray) -> None:
    low, high = float(units.min()), float(units.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise InputFileError(path, "holds values that are no numbers; export it again.")
    if low > _AIR_BELOW or high < _TISSUE_ABOVE:
        raise InputFileError(
            path,
            f"reaches from {low:g} to {high:g}, which are not Hounsfield units of a leg in air "
            "(air is -1000, water 0); give a density volume or a CT.",
        )


def _is_on_grid(image: sitk.Image) -> bool:
    spacing = np.array(image.GetSpacing())
    straight = np.allclose(
        np.array(image.GetDirection()).reshape(3, 3), np.diag([-1.0, -1.0, 1.0]), atol=_STRAIGHT
    )
    return straight and bool(np.ptp(spacing) <= _STRAIGHT * spacing.min())


def _straightened(path: Path, image: sitk.Image) -> sitk.Image:
    """Resampled to cubes along RAS that hold every corner of the volume."""
    size = np.array(image.GetSize())
    ends = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in size])).reshape(3, -1).T
    corners = np.array([image.TransformContinuousIndexToPhysicalPoint(c.tolist()) for c in ends])
    corners = corners * (-1.0, -1.0, 1.0)
    low, high = corners.min(axis=0), corners.max(axis=0)
    spacing = float(min(image.GetSpacing()))
    count = np.maximum(np.round((high - low) / spacing), 1).astype(int)
    if np.prod(count, dtype=float) > _MOST_VOXELS:
        raise InputFileError(
            path,
            f"would need {' × '.join(map(str, count))} voxels of {spacing:g} mm; crop it to the "
            "knee or give voxels that are nearer to cubes.",
        )
    x, y, z = (float(value) for value in 0.5 * (low + high))
    grid = VolumeGrid((int(count[2]), int(count[1]), int(count[0])), spacing, (x, y, z))
    reference = grid.image(np.zeros(grid.shape, dtype=np.float32))
    return sitk.Resample(image, reference, sitk.Transform(), sitk.sitkLinear, _AIR)
