"""The layout: each film whole and upright in its view, bones in 3D, outlines where they belong."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
import slicer
import vtk
from PIL import Image

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.imaging.radiograph import Side
from XRayTo3DLib.slicer.knee_nodes import KneeNodes
from XRayTo3DLib.slicer.layout import (
    AP,
    BONES,
    FREE,
    LATERAL,
    LAYOUT_ID,
    aim_camera,
    bones_view,
    layout_xml,
    register_layout,
    show_in_layout,
    slice_view,
)
from XRayTo3DLib.slicer.nodes import nodes_of
from XRayTo3DLib.slicer.outlines import LiveOutlines, outline_models


def test_the_layout_has_four_views_of_its_own() -> None:
    views = ElementTree.fromstring(layout_xml()).iter("view")
    tags = {view.get("singletontag"): view.get("class") for view in views}
    assert tags == {
        AP: "vtkMRMLSliceNode",
        LATERAL: "vtkMRMLSliceNode",
        FREE: "vtkMRMLSliceNode",
        BONES: "vtkMRMLViewNode",
    }


def test_slicer_knows_the_layout_once_it_is_registered(scene: slicer.vtkMRMLScene) -> None:
    node = scene.AddNewNodeByClass("vtkMRMLLayoutNode")
    for _ in range(2):
        register_layout(node)
        assert node.IsLayoutDescription(LAYOUT_ID)
        assert BONES in node.GetLayoutDescription(LAYOUT_ID)


def test_the_views_are_made_once(knee: KneeNodes) -> None:
    scene = knee.record.GetScene()
    show_in_layout(knee)
    show_in_layout(knee)
    names = [node.GetLayoutName() for node in nodes_of(scene, "vtkMRMLSliceNode")]
    assert sorted(names) == sorted([AP, LATERAL, FREE])


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("size", [(300, 300), (500, 200)])
def test_a_film_is_upright_and_whole_in_its_view(
    knee: KneeNodes, number: int, size: tuple[int, int]
) -> None:
    node = slice_view(knee.record.GetScene(), (AP, LATERAL)[number])
    node.SetDimensions(*size, 1)
    show_in_layout(knee)
    view = knee.geometry.views[number]
    to_xy = vtk.vtkMatrix4x4()
    vtk.vtkMatrix4x4.Invert(node.GetXYToRAS(), to_xy)

    def on_screen(row: float, column: float) -> np.ndarray:
        place = view.first_pixel + row * view.row_step + column * view.column_step
        return np.array(to_xy.MultiplyPoint([*place, 1.0])[:3])

    rows, columns = view.shape
    first, right, down = on_screen(0, 0), on_screen(0, columns - 1), on_screen(rows - 1, 0)
    assert right[1] == pytest.approx(first[1], abs=0.01)  # rows run across the screen
    assert right[0] > first[0]
    assert down[1] < first[1]  # and downwards
    for corner in (first, right, down, on_screen(rows - 1, columns - 1)):
        assert 0 <= corner[0] <= size[0]
        assert 0 <= corner[1] <= size[1]
        assert corner[2] == pytest.approx(0.0, abs=1e-6)


def test_outlines_show_on_their_own_film_only(knee: KneeNodes) -> None:
    scene = knee.record.GetScene()
    LiveOutlines(knee).stop()
    show_in_layout(knee)
    views = {name: slice_view(scene, name).GetID() for name in (AP, LATERAL, FREE)}
    models = outline_models(scene)
    assert len(models) == 2 * len(Bone)
    for model in models:
        frontal = model.GetAttribute("XRayTo3D.outline.view") == "frontal"
        display = model.GetDisplayNode()
        seen = {name for name, node in views.items() if display.IsDisplayableInView(node)}
        assert seen == {AP if frontal else LATERAL}
        assert display.IsDisplayableInView(bones_view(scene).GetID())


def test_segments_show_in_the_free_slice_and_in_3d(knee: KneeNodes) -> None:
    show_in_layout(knee)
    display = knee.segmentation.GetDisplayNode()
    scene = knee.record.GetScene()
    assert display.IsDisplayableInView(slice_view(scene, FREE).GetID())
    assert display.IsDisplayableInView(bones_view(scene).GetID())
    assert not display.IsDisplayableInView(slice_view(scene, AP).GetID())


@pytest.mark.parametrize("side", list(Side))
def test_the_camera_sees_both_films_behind_the_bones(
    scene: slicer.vtkMRMLScene, knee: KneeNodes, side: Side
) -> None:
    camera = scene.AddNewNodeByClass("vtkMRMLCameraNode")
    aim_camera(camera, side)
    geometry = knee.geometry if side is knee.side else knee.geometry.mirrored()
    towards = -np.array(camera.GetPosition())
    for view in geometry.views:
        middle = view.first_pixel + (np.array(view.shape) / 2) @ [view.row_step, view.column_step]
        assert middle @ towards > 0


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """The views of the known sample knee, drawn in a process of its own, with EGL."""
    folder = tmp_path_factory.mktemp("pictures")
    environment = {**os.environ, "VTK_DEFAULT_OPENGL_WINDOW": "vtkEGLRenderWindow"}
    probe = "import vtk; w = vtk.vtkRenderWindow(); w.SetOffScreenRendering(1); w.Render()"
    command = [sys.executable, "-c", probe + "; assert w.GetClassName() == 'vtkEGLRenderWindow'"]
    if subprocess.run(command, env=environment, capture_output=True).returncode:
        pytest.skip("no EGL to draw with off screen (apt install libegl1 libgl1-mesa-dri)")
    script = Path(__file__).with_name("draw_layout.py")
    command = [sys.executable, str(script), str(folder), "--truth"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {path.stem: np.asarray(Image.open(path)) for path in folder.glob("*.png")}


@pytest.mark.parametrize("name", ["ap", "lateral", "bones", "free"])
def test_the_views_look_as_they_did_when_they_were_looked_at(
    pictures: dict[str, np.ndarray], name: str
) -> None:
    reference = np.asarray(Image.open(Path(__file__).parent / "references" / f"{name}.png"))
    found = pictures[name].astype(float)
    assert found.shape == reference.shape
    # Drivers draw edges differently by a pixel: compare blocks of 4 × 4.
    side = found.shape[0] // 4

    def blocks(picture: np.ndarray) -> np.ndarray:
        return picture.astype(float).reshape(side, 4, side, 4, 3).mean(axis=(1, 3))

    assert np.abs(blocks(found) - blocks(reference)).mean() < 2.0
    assert np.abs(blocks(found) - blocks(found)[:, ::-1]).mean() > 4.0  # a mirrored knee would fail


@pytest.mark.parametrize("name", ["ap", "lateral", "bones"])
def test_every_bone_is_seen(pictures: dict[str, np.ndarray], name: str) -> None:
    pixels = pictures[name].reshape(-1, 3) / 255.0
    hues = pixels / (np.linalg.norm(pixels, axis=1, keepdims=True) + 1e-6)
    for bone in Bone:
        colour = np.array(bone.style.rgb) / np.linalg.norm(bone.style.rgb)
        assert ((hues @ colour) > 0.985).sum() > 40, bone
