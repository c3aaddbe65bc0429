"""The layout: both films, the bones in 3D between them, and a free slice to correct in."""

from __future__ import annotations

import numpy as np
import slicer

from XRayTo3DLib.imaging.geometry import ViewGeometry
from XRayTo3DLib.imaging.radiograph import Side
from XRayTo3DLib.slicer.knee_nodes import KneeNodes
from XRayTo3DLib.slicer.nodes import Node, Scene, nodes_of, vtk_matrix

LAYOUT_ID = 20200871
"""Of the layout among Slicer's; custom layouts choose a number of their own above 500."""

AP, LATERAL, FREE, BONES = "XRayTo3DAP", "XRayTo3DLateral", "XRayTo3DFree", "XRayTo3DBones"
"""Names of the views."""

_VIEW_COLOURS = {AP: "#C9A227", LATERAL: "#3E8E7E", FREE: "#7A6C9D"}
_FRAME = 1.05
"""How much larger than the film the field of view of its slice view is."""

_CAMERA_DISTANCE = 700.0
_CAMERA_ANGLE = 30.0


def layout_xml() -> str:
    """The layout as Slicer's layout node takes it: films left, bones right, free slice below."""
    return f"""
<layout type="horizontal" split="true">
 <item splitSize="400"><layout type="vertical" split="true">
  <item>{_slice_view(AP, "Coronal", "AP")}</item>
  <item>{_slice_view(LATERAL, "Sagittal", "L")}</item>
 </layout></item>
 <item splitSize="600"><layout type="vertical" split="true">
  <item splitSize="650">
   <view class="vtkMRMLViewNode" singletontag="{BONES}">
    <property name="viewlabel" action="default">B</property>
   </view>
  </item>
  <item splitSize="350">{_slice_view(FREE, "Axial", "F")}</item>
 </layout></item>
</layout>"""


def _slice_view(name: str, orientation: str, label: str) -> str:
    return (
        f'<view class="vtkMRMLSliceNode" singletontag="{name}">'
        f'<property name="orientation" action="default">{orientation}</property>'
        f'<property name="viewlabel" action="default">{label}</property>'
        f'<property name="viewcolor" action="default">{_VIEW_COLOURS[name]}</property></view>'
    )


def register_layout(layout_node: Node) -> None:
    """Make the layout known to a ``vtkMRMLLayoutNode``; a second call changes nothing."""
    if layout_node.IsLayoutDescription(LAYOUT_ID):
        layout_node.SetLayoutDescription(LAYOUT_ID, layout_xml())
    else:
        layout_node.AddLayoutDescription(LAYOUT_ID, layout_xml())


def show_in_layout(knee: KneeNodes) -> None:
    """Put the films in their views, squarely and whole, and the probability in the free one."""
    scene = knee.record.GetScene()
    geometry = knee.geometry
    for name, film, view in zip((AP, LATERAL), knee.films, geometry.views, strict=True):
        composite_of(scene, name).SetBackgroundVolumeID(film.GetID())
        slice_node = slice_view(scene, name)
        look_at_film(slice_node, view)
        slice_node.SetSliceVisible(True)
    composite_of(scene, FREE).SetBackgroundVolumeID(knee.probability.GetID())
    # Films lie outside the bones: what the segments cut there is nothing, the outlines show it.
    display = knee.segmentation.GetDisplayNode()
    bones = bones_view(scene)
    bones.SetBoxVisible(False)
    display.SetViewNodeIDs([slice_view(scene, FREE).GetID(), bones.GetID()])


def look_at_film(slice_node: Node, view: ViewGeometry) -> None:
    """Turn a slice view squarely to a film, rows downwards, and show it whole."""
    rows, columns = view.shape
    right = view.column_step / np.linalg.norm(view.column_step)
    up = -view.row_step / np.linalg.norm(view.row_step)
    matrix = np.eye(4)
    matrix[:3, 0], matrix[:3, 1], matrix[:3, 2] = right, up, np.cross(right, up)
    matrix[:3, 3] = (
        view.first_pixel + (rows - 1) / 2 * view.row_step + (columns - 1) / 2 * view.column_step
    )
    slice_node.GetSliceToRAS().DeepCopy(vtk_matrix(matrix))
    width, height = columns * view.spacing[1] * _FRAME, rows * view.spacing[0] * _FRAME
    across, down, _ = slice_node.GetDimensions()
    aspect = across / down if across > 1 and down > 1 else 1.0
    height = max(height, width / aspect)
    slice_node.SetFieldOfView(height * aspect, height, 1.0)
    slice_node.UpdateMatrices()


def slice_view(scene: Scene, name: str) -> Node:
    """The slice node of a view; Slicer's layout finds it by its name."""
    return _singleton(scene, "vtkMRMLSliceNode", name)


def bones_view(scene: Scene) -> Node:
    """The node of the 3D view."""
    return _singleton(scene, "vtkMRMLViewNode", BONES)


def aim_camera(camera: Node, side: Side) -> None:
    """Look from the front and the inner side, so that both films stand behind the bones."""
    inner = -1.0 if side is Side.RIGHT else 1.0
    angle = np.radians(_CAMERA_ANGLE)
    direction = np.array([inner * np.sin(angle), np.cos(angle), 0.25])
    camera.SetFocalPoint(0.0, 0.0, 0.0)
    camera.SetPosition(*(_CAMERA_DISTANCE * direction / np.linalg.norm(direction)))
    camera.SetViewUp(0.0, 0.0, 1.0)
    camera.ResetClippingRange()


def composite_of(scene: Scene, name: str) -> Node:
    """What a slice view shows: its backgrounds, foregrounds and labels."""
    for node in nodes_of(scene, "vtkMRMLSliceCompositeNode"):
        if node.GetLayoutName() == name:
            return node
    node = slicer.vtkMRMLSliceCompositeNode()
    node.SetSingletonTag(name)
    node.SetLayoutName(name)
    return scene.AddNode(node)


def _singleton(scene: Scene, class_name: str, name: str) -> Node:
    node = scene.GetSingletonNode(name, class_name)
    if node is None:
        node = scene.CreateNodeByClass(class_name)
        node.UnRegister(None)
        node.SetSingletonTag(name)
        node.SetLayoutName(name)
        node.SetName(name)
        node = scene.AddNode(node)
    return node
