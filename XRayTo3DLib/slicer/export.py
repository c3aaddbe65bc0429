"""Files of a knee as it is now: surfaces, segmentation, report, scene."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.surface import Surface, write_surface
from XRayTo3DLib.errors import InputFileError, XRayTo3DError
from XRayTo3DLib.slicer.knee_nodes import KneeNodes
from XRayTo3DLib.slicer.nodes import Node, Scene, array_of
from XRayTo3DLib.slicer.outlines import Agreement
from XRayTo3DLib.slicer.segments import segment_id, surfaces_of


class FileThereError(XRayTo3DError):
    """A file of that name is there, and nobody has allowed to replace it."""


SURFACE_FORMATS = ("stl", "obj", "ply")
SEGMENTATION_ENDINGS = (".seg.nrrd", ".nii.gz", ".nii")


def export_surfaces(
    segmentation: Node,
    folder: str | Path,
    kind: str = "stl",
    frame: str = "LPS",
    *,
    overwrite: bool = False,
) -> list[Path]:
    """Write ``femur.stl`` and so on, of the segments as they are now.

    Args:
        segmentation: the bones.
        folder: made if need be.
        kind: ``stl``, ``obj`` or ``ply``.
        frame: ``LPS`` (as Slicer and most planning programs expect) or ``RAS``; STL and PLY say
            it in their header.
        overwrite: replace files that are there.

    Raises:
        XRayTo3DError: nothing to write, or a file is there; nothing has been written then.
    """
    if kind not in SURFACE_FORMATS:
        raise XRayTo3DError(f"Surfaces are written as stl, obj or ply, not {kind!r}.")
    surfaces = surfaces_of(segmentation)
    if not surfaces:
        raise XRayTo3DError("The segmentation holds no bone; reconstruct or paint one first.")
    writers = {
        f"{bone.key}.{kind}": _surface_writer(surfaces[bone], frame) for bone in sorted(surfaces)
    }
    return _write_together(Path(folder), writers, overwrite)


def export_segmentation(segmentation: Node, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write the segments as ``.seg.nrrd`` (all of them, named) or as a NIfTI label map.

    In the label map femur is 1, tibia 2, patella 3 and fibula 4, in the geometry of the segments.
    """
    path = Path(path)
    if not path.name.endswith(SEGMENTATION_ENDINGS):
        raise InputFileError(path, "cannot be written; use .seg.nrrd or .nii.gz.")
    write = _write_nrrd if path.name.endswith(".seg.nrrd") else _write_nifti

    def writer(target: Path) -> None:
        write(segmentation, target)

    return write_one(path, writer, overwrite=overwrite)


def export_report(
    knee: KneeNodes, agreement: Agreement, path: str | Path, *, overwrite: bool = False
) -> Path:
    """Write the report of the reconstruction, with volumes and agreement as they are now."""
    report = knee.report
    surfaces = surfaces_of(knee.segmentation)
    report["after_correction"] = {
        bone.key: {
            "volume_cm3": round(surfaces[bone].volume / 1000.0, 2) if bone in surfaces else 0.0,
            "outline_agreement": dict(
                zip(("frontal", "lateral"), agreement.get(bone, (None, None)), strict=True)
            ),
        }
        for bone in Bone
    }
    path = Path(path)

    def writer(target: Path) -> None:
        target.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")

    return write_one(path, writer, overwrite=overwrite)


def save_scene(scene: Scene, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write the whole scene as one ``.mrb``."""
    path = Path(path)
    if path.suffix != ".mrb":
        raise InputFileError(path, "cannot be written; a scene is saved as .mrb.")

    def writer(target: Path) -> None:
        if not scene.WriteToMRB(str(target), None):
            raise XRayTo3DError(
                f"{path.name} could not be written; check the folder and the space left."
            )

    return write_one(path, writer, overwrite=overwrite)


def write_one(path: Path, write: Callable[[Path], None], *, overwrite: bool = False) -> Path:
    """Have a file written beside its place, then moved there: it is whole or not there.

    Args:
        path: its place.
        write: called with where to write it.
        overwrite: replace a file that is there.

    Raises:
        FileThereError: a file is there and may not be replaced.
    """
    return _write_together(path.parent, {path.name: write}, overwrite)[0]


def _surface_writer(surface: Surface, frame: str) -> Callable[[Path], None]:
    def write(target: Path) -> None:
        write_surface(surface, target, frame)

    return write


def _write_nrrd(segmentation: Node, target: Path) -> None:
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetScene(segmentation.GetScene())
    storage.SetFileName(str(target))
    # The node's own storage stays as it is: this is a copy, not where the scene saves it.
    if not storage.WriteData(segmentation):
        raise InputFileError(target, "could not be written; check the folder and the space left.")


def _write_nifti(segmentation: Node, target: Path) -> None:
    names, values = vtk.vtkStringArray(), vtk.vtkIntArray()
    for bone in Bone:
        identifier = segment_id(segmentation, bone)
        if identifier is not None:
            names.InsertNextValue(identifier)
            values.InsertNextValue(int(bone))
    labels = slicer.vtkOrientedImageData()
    whole = slicer.vtkSegmentation.EXTENT_REFERENCE_GEOMETRY
    segmentation.GenerateMergedLabelmapForAllSegments(labels, whole, None, names, values)
    sitk.WriteImage(_as_sitk(labels), str(target))


def _as_sitk(labels: vtk.vtkImageData) -> sitk.Image:
    x, y, z = labels.GetDimensions()
    array = vtk_to_numpy(labels.GetPointData().GetScalars()).reshape(z, y, x)
    to_world = vtk.vtkMatrix4x4()
    labels.GetImageToWorldMatrix(to_world)
    matrix = np.diag([-1.0, -1.0, 1.0, 1.0]) @ array_of(to_world)  # RAS to LPS
    first = matrix @ [*(labels.GetExtent()[axis] for axis in (0, 2, 4)), 1.0]
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    image = sitk.GetImageFromArray(array.astype(np.uint8))
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(first[:3].tolist())
    image.SetDirection((matrix[:3, :3] / spacing).ravel().tolist())
    return image


def _write_together(
    folder: Path, writers: dict[str, Callable[[Path], None]], overwrite: bool
) -> list[Path]:
    """Write all files beside their place first, then move them there."""
    for name in writers:
        if os.path.lexists(folder / name) and not overwrite:
            raise FileThereError(
                f"{folder / name} exists; choose another place or allow to replace it."
            )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=".xrayto3d_", dir=folder))
    except OSError as error:
        raise XRayTo3DError(
            f"{folder} cannot be written ({error.strerror}); choose another folder."
        ) from error
    try:
        for name, write in writers.items():
            write(stage / name)
        for name in writers:
            (stage / name).replace(folder / name)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    return [folder / name for name in writers]
