"""Which voxel of a density volume belongs to which bone, from a segmentation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.labelled_ct import read_volume
from XRayTo3DLib.errors import InputFileError, XRayTo3DError
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.tomography.density import DensityVolume


@dataclass(frozen=True)
class SegmentedDensity:
    """A density volume whose bones are known.

    Attributes:
        volume: attenuation.
        labels: ``(z, y, x)`` uint8 on the same grid, 0 or a :class:`Bone`.
    """

    volume: DensityVolume
    labels: np.ndarray

    def __post_init__(self) -> None:
        """Check that both are on one grid."""
        if self.labels.shape != self.volume.grid.shape:
            raise ValueError(
                f"labels have the shape {self.labels.shape}, not {self.volume.grid.shape}"
            )

    def mask(self, bone: Bone) -> np.ndarray:
        """The bone's voxels, ``(z, y, x)`` bool.

        Raises:
            XRayTo3DError: it has none.
        """
        mask = self.labels == bone
        if not mask.any():
            raise XRayTo3DError(
                f"The segments hold no {bone.key} within the density volume; give --segments of "
                "the same knee."
            )
        return mask


def read_segments(path: str | Path, grid: VolumeGrid) -> np.ndarray:
    """Read a segmentation or label map of bones and lay it on a grid.

    The bones are told by the names of the segments, as in the ``knee.seg.nrrd`` of a
    reconstruction; where the file names none, by the label values of :class:`Bone`.

    Args:
        path: NRRD, NIfTI or MHA; segments do not overlap.
        grid: that of the density volume; voxels beside the file belong to no bone.

    Returns:
        ``(z, y, x)`` uint8, 0 or a :class:`Bone`.

    Raises:
        InputFileError: it cannot be read, holds no bone, or none on the grid.
    """
    path = Path(path)
    image = read_volume(path)
    values = _label_values(path, image)
    reference = grid.image(np.zeros(grid.shape, dtype=np.float32))
    labels = np.zeros(grid.shape, dtype=np.uint8)
    best = np.full(grid.shape, 0.5, dtype=np.float32)
    for bone, value in values.items():
        share = sitk.Resample(
            sitk.Cast(image == float(value), sitk.sitkFloat32), reference, sitk.Transform()
        )
        covered = sitk.GetArrayViewFromImage(share)
        labels[covered > best] = bone
        best = np.maximum(best, covered)
    if not labels.any():
        raise InputFileError(
            path, "has no bone within the density volume; give the segments of the same knee."
        )
    return labels


def _label_values(path: Path, image: sitk.Image) -> dict[Bone, int]:
    """The value of each bone that the file holds."""
    header = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys()}
    named = {
        key.removesuffix("_Name"): name.strip().lower()
        for key, name in header.items()
        if key.startswith("Segment") and key.endswith("_Name")
    }
    if not named:
        return {bone: int(bone) for bone in Bone}
    keys = {bone.key: bone for bone in Bone}
    try:
        values = {
            keys[name]: int(header[f"{segment}_LabelValue"])
            for segment, name in named.items()
            if name in keys
        }
    except (KeyError, ValueError) as error:
        raise InputFileError(
            path, f"does not say the label value of a segment ({error}); export it again."
        ) from error
    if not values:
        raise InputFileError(
            path,
            f"names no segment {', '.join(keys)} (it has {', '.join(sorted(named.values()))}); "
            "rename its segments.",
        )
    return values
