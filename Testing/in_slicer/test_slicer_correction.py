"""Correcting bones with Slicer's segment editor, and the outlines that follow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.slicer.correction import correct, editor_node
from XRayTo3DLib.slicer.knee_nodes import KneeNodes
from XRayTo3DLib.slicer.outlines import LiveOutlines, outline_models
from XRayTo3DLib.slicer.segments import segment_id, surfaces_of, volumes_of


@pytest.fixture
def logic(knee: KneeNodes) -> slicer.vtkSlicerSegmentEditorLogic:
    logic = slicer.vtkSlicerSegmentEditorLogic()
    logic.SetMRMLScene(knee.record.GetScene())
    logic.SetSegmentEditorNode(correct(knee))
    return logic


def ball(
    logic: slicer.vtkSlicerSegmentEditorLogic, centre: np.ndarray, radius: float
) -> slicer.vtkOrientedImageData:
    """A modifier label map with a ball, RAS mm, in the geometry in which the editor works."""
    logic.UpdateReferenceGeometryImage()
    logic.ResetModifierLabelmapToDefault()
    labels = logic.GetModifierLabelmap()
    to_world = vtk.vtkMatrix4x4()
    labels.GetImageToWorldMatrix(to_world)
    extent = labels.GetExtent()
    i, j, k = (np.arange(extent[2 * axis], extent[2 * axis + 1] + 1) for axis in range(3))
    spacing = labels.GetSpacing()
    origin = labels.GetOrigin()
    x, y, z = (origin[axis] + spacing[axis] * n for axis, n in enumerate((i, j, k)))
    inside = (
        (x - centre[0]) ** 2 + (y[:, None] - centre[1]) ** 2 + (z[:, None, None] - centre[2]) ** 2
    ) < radius**2
    vtk_to_numpy(labels.GetPointData().GetScalars())[:] = inside.ravel()
    labels.Modified()
    return labels


def paint(
    logic: slicer.vtkSlicerSegmentEditorLogic,
    knee: KneeNodes,
    bone: Bone,
    centre: np.ndarray,
    radius: float,
) -> None:
    identifier = segment_id(knee.segmentation, bone)
    logic.GetSegmentEditorNode().SetSelectedSegmentID(identifier)
    logic.SetCurrentSegmentID(identifier)
    labels = ball(logic, centre, radius)
    logic.SaveStateForUndo()
    mode = slicer.vtkSlicerSegmentEditorLogic.ModificationModeAdd
    logic.ModifySegmentByLabelmap(knee.segmentation, identifier, labels, mode, False, False)


def middle(knee: KneeNodes, bone: Bone) -> np.ndarray:
    return surfaces_of(knee.segmentation)[bone].vertices.mean(axis=0)


def test_the_editor_edits_this_knee(
    knee: KneeNodes, logic: slicer.vtkSlicerSegmentEditorLogic
) -> None:
    node = logic.GetSegmentEditorNode()
    assert node.GetSegmentationNode() is knee.segmentation
    assert node.GetSourceVolumeNode() is knee.probability
    assert node.GetSelectedSegmentID() == "femur"
    assert editor_node(knee.record.GetScene()) is node


def test_the_editor_comes_back_after_the_scene_was_closed(knee: KneeNodes) -> None:
    scene = knee.record.GetScene()
    first = correct(knee)
    scene.Clear(True)
    again = editor_node(scene)
    assert again is not None
    assert again is not first
    assert again.GetSegmentationNode() is None


def test_painted_bone_is_bone_and_undo_takes_it_back(
    knee: KneeNodes, logic: slicer.vtkSlicerSegmentEditorLogic
) -> None:
    before = volumes_of(knee.segmentation)
    where = np.array([0.0, -60.0, 40.0])  # behind the knee, in no bone
    paint(logic, knee, Bone.FEMUR, where, 6.0)
    painted = volumes_of(knee.segmentation)
    expected = 4 / 3 * np.pi * 6.0**3 / 1000
    assert painted[Bone.FEMUR] - before[Bone.FEMUR] == pytest.approx(expected, rel=0.1)
    assert logic.CanUndo()
    logic.Undo()
    assert volumes_of(knee.segmentation)[Bone.FEMUR] == pytest.approx(before[Bone.FEMUR])
    logic.Redo()
    assert volumes_of(knee.segmentation)[Bone.FEMUR] == pytest.approx(painted[Bone.FEMUR])


def test_bones_do_not_overlap(knee: KneeNodes, logic: slicer.vtkSlicerSegmentEditorLogic) -> None:
    before = volumes_of(knee.segmentation)
    paint(logic, knee, Bone.FEMUR, middle(knee, Bone.TIBIA), 8.0)
    after = volumes_of(knee.segmentation)
    taken = before[Bone.TIBIA] - after[Bone.TIBIA]
    assert taken > 1.0
    assert after[Bone.FEMUR] - before[Bone.FEMUR] == pytest.approx(taken, rel=0.15)


def test_a_mask_keeps_paint_out_of_other_bones(
    knee: KneeNodes, logic: slicer.vtkSlicerSegmentEditorLogic
) -> None:
    before = volumes_of(knee.segmentation)
    node = logic.GetSegmentEditorNode()
    node.SetMaskMode(slicer.vtkMRMLSegmentationNode.EditAllowedOutsideAllSegments)
    paint(logic, knee, Bone.FEMUR, middle(knee, Bone.TIBIA), 8.0)
    after = volumes_of(knee.segmentation)
    assert after[Bone.TIBIA] == pytest.approx(before[Bone.TIBIA])


def test_outlines_lie_on_the_films_around_what_the_ray_meets(knee: KneeNodes) -> None:
    LiveOutlines(knee)
    models = outline_models(knee.record.GetScene())
    assert len(models) == 8
    surfaces = surfaces_of(knee.segmentation)
    for model in models:
        number = ("frontal", "lateral").index(model.GetAttribute("XRayTo3D.outline.view"))
        bone = Bone[model.GetAttribute("XRayTo3D.outline.bone").upper()]
        view = knee.geometry.views[number]
        points = vtk_to_numpy(model.GetPolyData().GetPoints().GetData())
        off_plane = (points - view.first_pixel) @ view.normal
        np.testing.assert_allclose(off_plane, -0.5, atol=1e-3)
        drawn = view.project(points)
        bone_pixels = view.project(surfaces[bone].vertices)
        inside = np.clip(bone_pixels, 0, np.array(view.shape) - 1)
        np.testing.assert_allclose(drawn.min(axis=0), inside.min(axis=0), atol=2.5)
        np.testing.assert_allclose(drawn.max(axis=0), inside.max(axis=0), atol=2.5)


def test_outlines_follow_a_correction_and_stop_when_told(
    knee: KneeNodes, logic: slicer.vtkSlicerSegmentEditorLogic
) -> None:
    heard: list[dict] = []
    outlines = LiveOutlines(knee, lambda agreement: heard.append(dict(agreement)))
    assert set(heard[0]) == set(Bone)
    lowest = middle(knee, Bone.PATELLA) + (0, 0, 40.0)
    paint(logic, knee, Bone.PATELLA, lowest, 8.0)
    assert len(heard) > 1
    assert heard[-1][Bone.PATELLA] != heard[0][Bone.PATELLA]
    assert heard[-1][Bone.FIBULA] == pytest.approx(heard[0][Bone.FIBULA], abs=1e-6)
    outlines.stop()
    count = len(heard)
    logic.Undo()
    assert len(heard) == count


def test_outlines_look_like_their_segments(knee: KneeNodes) -> None:
    outlines = LiveOutlines(knee)
    display = knee.segmentation.GetDisplayNode()
    display.SetSegmentVisibility("tibia", False)
    shown = {
        model.GetAttribute("XRayTo3D.outline.bone"): model.GetDisplayNode().GetVisibility()
        for model in outline_models(knee.record.GetScene())
    }
    assert shown == {"femur": 1, "tibia": 0, "patella": 1, "fibula": 1}
    outlines.stop()


def test_outlines_of_a_deleted_bone_are_empty(knee: KneeNodes) -> None:
    outlines = LiveOutlines(knee)
    knee.segmentation.GetSegmentation().RemoveSegment("patella")
    assert outlines.agreement[Bone.PATELLA] == (None, None)
    outlines.stop()


def test_a_reopened_scene_does_not_get_outlines_twice(knee: KneeNodes, tmp_path: Path) -> None:
    LiveOutlines(knee).stop()
    LiveOutlines(knee).stop()
    assert len(outline_models(knee.record.GetScene())) == 8
