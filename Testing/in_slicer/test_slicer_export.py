"""What leaves the scene, read back by others' readers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import vtk

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.slicer.export import (
    export_report,
    export_segmentation,
    export_surfaces,
    save_scene,
)
from XRayTo3DLib.slicer.knee_nodes import KneeNodes
from XRayTo3DLib.slicer.outlines import LiveOutlines
from XRayTo3DLib.slicer.segments import surfaces_of

READERS = {"stl": vtk.vtkSTLReader, "obj": vtk.vtkOBJReader, "ply": vtk.vtkPLYReader}


@pytest.mark.parametrize("kind", ["stl", "obj", "ply"])
@pytest.mark.parametrize(("frame", "sign"), [("LPS", -1.0), ("RAS", 1.0)])
def test_surfaces(knee: KneeNodes, tmp_path: Path, kind: str, frame: str, sign: float) -> None:
    files = export_surfaces(knee.segmentation, tmp_path / "bones", kind, frame)
    assert {file.name for file in files} == {f"{bone.key}.{kind}" for bone in Bone}
    reader = READERS[kind]()
    reader.SetFileName(str(tmp_path / "bones" / f"fibula.{kind}"))
    reader.Update()
    bounds = np.array(reader.GetOutput().GetBounds()).reshape(3, 2)
    vertices = surfaces_of(knee.segmentation)[Bone.FIBULA].vertices * (sign, sign, 1.0)
    np.testing.assert_allclose(bounds[:, 0], vertices.min(axis=0), atol=1e-3)
    np.testing.assert_allclose(bounds[:, 1], vertices.max(axis=0), atol=1e-3)


def test_slicer_reads_an_exported_surface_into_its_place(knee: KneeNodes, tmp_path: Path) -> None:
    export_surfaces(knee.segmentation, tmp_path)
    scene = knee.record.GetScene()
    storage = scene.AddNewNodeByClass("vtkMRMLModelStorageNode")
    storage.SetFileName(str(tmp_path / "femur.stl"))
    model = scene.AddNewNodeByClass("vtkMRMLModelNode", "femur")
    assert storage.ReadData(model)
    vertices = surfaces_of(knee.segmentation)[Bone.FEMUR].vertices
    centre = np.array(model.GetPolyData().GetBounds()).reshape(3, 2)
    np.testing.assert_allclose(centre[:, 0], vertices.min(axis=0), atol=1e-3)


@pytest.mark.parametrize("name", ["knee.nii.gz", "knee.nii"])
def test_a_label_map(knee: KneeNodes, tmp_path: Path, name: str) -> None:
    image = sitk.ReadImage(str(export_segmentation(knee.segmentation, tmp_path / name)))
    statistics = sitk.LabelShapeStatisticsImageFilter()
    statistics.Execute(image)
    assert set(statistics.GetLabels()) == {int(bone) for bone in Bone}
    for bone, surface in surfaces_of(knee.segmentation).items():
        assert statistics.GetPhysicalSize(int(bone)) == pytest.approx(surface.volume, rel=0.03)
        middle = np.array(statistics.GetCentroid(int(bone))) * (-1.0, -1.0, 1.0)
        low, high = surface.vertices.min(axis=0), surface.vertices.max(axis=0)
        assert (middle > low).all()
        assert (middle < high).all()


def test_a_segmentation_file_opens_in_slicer(knee: KneeNodes, tmp_path: Path) -> None:
    path = export_segmentation(knee.segmentation, tmp_path / "knee.seg.nrrd")
    scene = knee.record.GetScene()
    storage = scene.AddNewNodeByClass("vtkMRMLSegmentationStorageNode")
    storage.SetFileName(str(path))
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "again")
    assert storage.ReadData(node)
    again = surfaces_of(node)
    for bone, surface in surfaces_of(knee.segmentation).items():
        assert again[bone].volume == pytest.approx(surface.volume, rel=1e-3)
    assert node.GetSegmentation().GetSegment("tibia").GetName() == "Tibia"


def test_the_report_says_what_is_there_now(knee: KneeNodes, tmp_path: Path) -> None:
    outlines = LiveOutlines(knee)
    outlines.stop()
    path = export_report(knee, outlines.agreement, tmp_path / "report.json")
    report = json.loads(path.read_text(encoding="utf-8"))
    assert report["weights"]["name"] == knee.report["weights"]["name"]
    femur = report["after_correction"]["femur"]
    assert femur["volume_cm3"] == pytest.approx(report["bones"]["femur"]["volume_cm3"], rel=0.02)
    assert 0 <= femur["outline_agreement"]["lateral"] <= 1


def test_the_scene(knee: KneeNodes, tmp_path: Path) -> None:
    path = save_scene(knee.record.GetScene(), tmp_path / "knee.mrb")
    assert path.stat().st_size > 100_000
    assert [file.name for file in tmp_path.iterdir()] == ["knee.mrb"]


@pytest.mark.parametrize("name", ["femur.stl", "knee.seg.nrrd", "knee.mrb"])
def test_nothing_is_replaced_unasked(knee: KneeNodes, tmp_path: Path, name: str) -> None:
    def export(overwrite: bool) -> None:
        if name.endswith(".stl"):
            export_surfaces(knee.segmentation, tmp_path, overwrite=overwrite)
        elif name.endswith(".mrb"):
            save_scene(knee.record.GetScene(), tmp_path / name, overwrite=overwrite)
        else:
            export_segmentation(knee.segmentation, tmp_path / name, overwrite=overwrite)

    (tmp_path / name).write_text("mine")
    with pytest.raises(XRayTo3DError, match=name):
        export(False)
    assert (tmp_path / name).read_text(encoding="utf-8") == "mine"
    assert len(list(tmp_path.iterdir())) == 1
    export(True)
    assert (tmp_path / name).stat().st_size > 1000


def test_what_cannot_be_written_is_said(
    scene: slicer.vtkMRMLScene, knee: KneeNodes, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("x")
    empty = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    for wrong, said in (
        (lambda: export_surfaces(knee.segmentation, tmp_path, "vrml"), "vrml"),
        (lambda: export_surfaces(empty, tmp_path), "no bone"),
        (lambda: export_surfaces(knee.segmentation, tmp_path / "file"), "file"),
        (lambda: export_segmentation(knee.segmentation, tmp_path / "knee.tif"), "knee.tif"),
        (lambda: save_scene(scene, tmp_path / "knee.zip"), "knee.zip"),
    ):
        with pytest.raises(XRayTo3DError, match=said):
            wrong()
    assert [file.name for file in tmp_path.iterdir()] == ["file"]
