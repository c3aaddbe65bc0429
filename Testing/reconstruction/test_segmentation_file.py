from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.errors import InputFileError
from XRayTo3DLib.imaging.radiograph import Side
from XRayTo3DLib.reconstruction.result import Reconstruction
from XRayTo3DLib.reconstruction.segmentation_file import terminology_entry, write_segmentation

slicer = pytest.importorskip("slicer", reason="slicer-core reads the file as 3D Slicer does")


@pytest.fixture(scope="module")
def path(knee: Reconstruction, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("segmentation") / "knee.seg.nrrd"
    write_segmentation(knee, path)
    return path


def read_in_slicer(path: Path):
    """The segmentation node, read by Slicer's own storage node, and what keeps it alive."""
    scene = slicer.vtkMRMLScene()
    logic = slicer.vtkSlicerSegmentationsModuleLogic()  # registers what makes surfaces of segments
    logic.SetMRMLScene(scene)
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(path))
    assert storage.ReadData(node) == 1
    node.CreateDefaultDisplayNodes()
    return (scene, logic), node


def test_labels_are_where_they_were(knee: Reconstruction, path: Path) -> None:
    image = sitk.ReadImage(str(path))
    assert np.array_equal(sitk.GetArrayFromImage(image), knee.labels)
    # The patella's centre, RAS to LPS.
    index = image.TransformPhysicalPointToIndex((0.0, -42.0, 32.0))
    assert image[index] == Bone.PATELLA


def test_slicer_sees_four_named_coloured_segments(path: Path) -> None:
    _alive, node = read_in_slicer(path)
    segmentation = node.GetSegmentation()
    segments = [segmentation.GetNthSegment(k) for k in range(segmentation.GetNumberOfSegments())]
    assert [segment.GetName() for segment in segments] == ["Femur", "Tibia", "Patella", "Fibula"]
    assert list(segmentation.GetSegmentIDs()) == [bone.key for bone in Bone]
    for segment, bone in zip(segments, Bone, strict=True):
        assert segment.GetColor() == pytest.approx(bone.style.rgb, abs=1e-6)
        assert segment.GetLabelValue() == bone


@pytest.mark.parametrize("bone", Bone)
def test_slicer_finds_a_bone_where_its_surface_is(
    knee: Reconstruction, path: Path, bone: Bone
) -> None:
    _alive, node = read_in_slicer(path)
    assert node.CreateClosedSurfaceRepresentation()
    polydata = slicer.vtkMRMLSegmentationNode.GetClosedSurfaceInternalRepresentation(node, bone.key)
    found = np.array(polydata.GetBounds()).reshape(3, 2)
    vertices = knee.surfaces[bone].vertices.clip(-90, 90)
    expected = np.stack([vertices.min(axis=0), vertices.max(axis=0)], axis=1)
    assert np.abs(found - expected).max() < knee.grid.spacing


@pytest.mark.parametrize(
    ("side", "code"), [(Side.RIGHT, ("24028007", "Right")), (Side.LEFT, ("7771000", "Left"))]
)
@pytest.mark.parametrize(
    ("bone", "concept"),
    [
        (Bone.FEMUR, ("71341001", "Femur")),
        (Bone.TIBIA, ("12611008", "Tibia")),
        (Bone.PATELLA, ("64234005", "Patella")),
        (Bone.FIBULA, ("87342007", "Fibula")),
    ],
)
def test_slicer_understands_the_codes(
    side: Side, code: tuple[str, str], bone: Bone, concept: tuple[str, str]
) -> None:
    entry = slicer.vtkSlicerTerminologyEntry()
    logic = slicer.vtkSlicerTerminologiesModuleLogic()
    assert logic.DeserializeTerminologyEntry(terminology_entry(bone, side), entry)
    category, kind, modifier = (
        entry.GetCategoryObject(),
        entry.GetTypeObject(),
        entry.GetTypeModifierObject(),
    )
    assert (category.GetCodeValue(), category.GetCodeMeaning()) == (
        "123037004",
        "Anatomical Structure",
    )
    assert (kind.GetCodeValue(), kind.GetCodeMeaning()) == concept
    assert (modifier.GetCodeValue(), modifier.GetCodeMeaning()) == code


def test_the_codes_survive_reading_and_writing_by_slicer(path: Path, tmp_path: Path) -> None:
    _alive, node = read_in_slicer(path)
    copy = tmp_path / "copy.seg.nrrd"
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(copy))
    assert storage.WriteData(node) == 1
    ours, theirs = (sitk.ReadImage(str(file)) for file in (path, copy))
    for position in range(4):
        for key in ("ID", "Name", "Color", "LabelValue", "Layer", "Tags"):
            name = f"Segment{position}_{key}"
            assert ours.GetMetaData(name) == theirs.GetMetaData(name), name


def test_extents_are_those_of_simpleitk(path: Path) -> None:
    image = sitk.ReadImage(str(path))
    shapes = sitk.LabelShapeStatisticsImageFilter()
    shapes.Execute(image)
    for position, bone in enumerate(Bone):
        box = np.array(shapes.GetBoundingBox(int(bone)))
        expected = np.stack([box[:3], box[:3] + box[3:] - 1], axis=1).ravel()
        found = image.GetMetaData(f"Segment{position}_Extent").split()
        assert [int(number) for number in found] == expected.tolist()


def test_a_bone_that_was_not_found_is_an_empty_segment(
    knee: Reconstruction, tmp_path: Path
) -> None:
    probabilities = knee.probabilities.copy()
    probabilities[Bone.PATELLA] = 0
    path = tmp_path / "knee.seg.nrrd"
    write_segmentation(replace(knee, probabilities=probabilities), path)
    _alive, node = read_in_slicer(path)
    segmentation = node.GetSegmentation()
    assert segmentation.GetNumberOfSegments() == 4
    voxels = {
        bone: np.array(
            slicer.util.arrayFromSegmentInternalBinaryLabelmap(node, bone.key) == bone
        ).sum()
        for bone in Bone
    }
    assert voxels[Bone.PATELLA] == 0
    assert voxels[Bone.FEMUR] == (knee.labels == Bone.FEMUR).sum()


def test_same_bytes_again(knee: Reconstruction, path: Path, tmp_path: Path) -> None:
    again = tmp_path / "knee.seg.nrrd"
    write_segmentation(knee, again)
    assert again.read_bytes() == path.read_bytes()


def test_a_folder_that_is_not_there_is_named(knee: Reconstruction, tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="knee.seg.nrrd: could not be written"):
        write_segmentation(knee, tmp_path / "missing" / "knee.seg.nrrd")
