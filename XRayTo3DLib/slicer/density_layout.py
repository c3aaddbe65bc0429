"""The layout of a density: rendered in 3D, as a film from any side, and in a slice."""

from __future__ import annotations

from XRayTo3DLib.imaging.geometry import ViewGeometry
from XRayTo3DLib.slicer.density_nodes import DensityNodes
from XRayTo3DLib.slicer.layout import (
    BONES,
    FREE,
    bones_view,
    composite_of,
    look_at_film,
    slice_view,
)
from XRayTo3DLib.slicer.nodes import PREFIX, Node

DENSITY_LAYOUT_ID = 20180871
"""Of the layout among Slicer's; custom layouts choose a number of their own above 500."""

RERENDERED = "XRayTo3DRerendered"
"""Name of the view of the re-rendered film."""

_COLOUR = "#4F7CAC"
_FREE_COLOUR = "#7A6C9D"
_UNCERTAINTY_OPACITY = 0.6
_SHOWN = PREFIX + "rerendered.shown"


def density_layout_xml() -> str:
    """The layout as Slicer's layout node takes it: the film and a slice left, 3D right.

    The 3D view and the slice are those of the bones' layout, so that bones and density are seen
    together.
    """
    return f"""
<layout type="horizontal" split="true">
 <item splitSize="500"><layout type="vertical" split="true">
  <item splitSize="600">{_slice_view(RERENDERED, "Coronal", "R", _COLOUR)}</item>
  <item splitSize="400">{_slice_view(FREE, "Axial", "F", _FREE_COLOUR)}</item>
 </layout></item>
 <item splitSize="500">
  <view class="vtkMRMLViewNode" singletontag="{BONES}">
   <property name="viewlabel" action="default">B</property>
  </view>
 </item>
</layout>"""


def _slice_view(name: str, orientation: str, label: str, colour: str) -> str:
    return (
        f'<view class="vtkMRMLSliceNode" singletontag="{name}">'
        f'<property name="orientation" action="default">{orientation}</property>'
        f'<property name="viewlabel" action="default">{label}</property>'
        f'<property name="viewcolor" action="default">{colour}</property></view>'
    )


def register_density_layout(layout_node: Node) -> None:
    """Make the layout known to a ``vtkMRMLLayoutNode``; a second call changes nothing."""
    if layout_node.IsLayoutDescription(DENSITY_LAYOUT_ID):
        layout_node.SetLayoutDescription(DENSITY_LAYOUT_ID, density_layout_xml())
    else:
        layout_node.AddLayoutDescription(DENSITY_LAYOUT_ID, density_layout_xml())


def show_density_in_layout(density: DensityNodes) -> None:
    """Put the density into the free slice and the 3D view."""
    scene = density.volume.GetScene()
    slice_view(scene, FREE)
    composite_of(scene, FREE).SetBackgroundVolumeID(density.volume.GetID())
    view = bones_view(scene)
    view.SetBoxVisible(False)
    if density.rendering is not None:
        density.rendering.SetViewNodeIDs([view.GetID()])


def show_uncertainty(density: DensityNodes, shown: bool) -> None:
    """Lay the standard deviation over the density in the free slice, in colours, or take it off."""
    composite = composite_of(density.volume.GetScene(), FREE)
    over = density.deviation if shown else None
    composite.SetForegroundVolumeID(over.GetID() if over is not None else None)
    composite.SetForegroundOpacity(_UNCERTAINTY_OPACITY if over is not None else 0.0)


def show_picture(picture: Node, detector: ViewGeometry) -> None:
    """Show a re-rendered film squarely in its slice view, and standing in 3D.

    It is shown whole when it is new to the view or has another shape; otherwise the view keeps the
    zoom that the user gave it.
    """
    scene = picture.GetScene()
    node = slice_view(scene, RERENDERED)
    columns, rows, _ = picture.GetImageData().GetDimensions()
    shown = f"{picture.GetID()} {columns} {rows}"
    field = node.GetFieldOfView()
    look_at_film(node, detector)
    if node.GetAttribute(_SHOWN) == shown:
        node.SetFieldOfView(*field)
        node.UpdateMatrices()
        return
    composite_of(scene, RERENDERED).SetBackgroundVolumeID(picture.GetID())
    node.SetAttribute(_SHOWN, shown)
    node.SetSliceVisible(True)
