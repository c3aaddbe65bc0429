"""The bones as segments, and the probability that stands behind them as a volume."""

from __future__ import annotations

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.radiograph import Side
from XRayTo3DLib.reconstruction.result import Reconstruction
from XRayTo3DLib.reconstruction.segmentation_file import terminology_entry
from XRayTo3DLib.slicer.nodes import Node, Scene, vtk_matrix

EDITING_SPACING = 0.6
"""mm between the voxels in which segments are corrected: half of what the network computes, so
that the surface keeps its sub-voxel shape when it becomes a label map."""

_SMOOTHING = "0.2"
"""Slicer's smoothing of surfaces made from label maps; its own 0.5 rounds a kneecap visibly."""


def add_segmentation(scene: Scene, reconstruction: Reconstruction, name: str) -> Node:
    """A segmentation node with Femur, Tibia, Patella and Fibula, in that order.

    Each is named, coloured and coded; the label map (which the segment editor edits) is made of
    the reconstruction's surfaces on a grid of 0.6 mm. A bone that was not found is an empty
    segment, which can be painted.
    """
    logic = segmentations_logic(scene)
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    segmentation = node.GetSegmentation()
    segmentation.SetConversionParameter(
        "Reference image geometry", _geometry_text(editing_grid(reconstruction.grid))
    )
    for bone in Bone:
        surface = reconstruction.surfaces.get(bone)
        _add_segment(node, bone, surface, reconstruction.side)
    segmentation.CreateRepresentation("Binary labelmap")
    segmentation.SetSourceRepresentationName("Binary labelmap")
    segmentation.SetConversionParameter("Smoothing factor", _SMOOTHING)
    # From here on the shown surface is that of the label map, as it is after every correction.
    segmentation.RemoveRepresentation("Closed surface")
    node.CreateClosedSurfaceRepresentation()
    display = node.GetDisplayNode()
    display.SetPreferredDisplayRepresentationName3D("Closed surface")
    display.SetPreferredDisplayRepresentationName2D("Binary labelmap")
    display.SetOpacity2DFill(0.25)
    logic.SetMRMLScene(scene)
    return node


def segmentations_logic(scene: Scene) -> slicer.vtkSlicerSegmentationsModuleLogic:
    """Slicer's logic of segmentations for a scene; it also makes their nodes known to it."""
    module = getattr(getattr(slicer, "modules", None), "segmentations", None)
    if module is not None:  # the application has one already, of its own scene
        return module.logic()
    logic = slicer.vtkSlicerSegmentationsModuleLogic()
    logic.SetMRMLScene(scene)
    return logic


def editing_grid(grid: VolumeGrid) -> VolumeGrid:
    """The grid on which segments are corrected; it spans the same cube."""
    z, y, x = (round(n * grid.spacing / EDITING_SPACING) for n in grid.shape)
    return VolumeGrid((z, y, x), EDITING_SPACING, grid.centre)


def add_probability(scene: Scene, reconstruction: Reconstruction, name: str) -> Node:
    """The probability of bone, 0–100 %, as a volume: what a free slice shows, and what is edited.

    It is not a CT: it says how sure the network is, not how dense the bone is.
    """
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    percent = 100.0 * (1.0 - reconstruction.probabilities[0])
    z, y, x = percent.shape
    image = vtk.vtkImageData()
    image.SetDimensions(x, y, z)
    flat = np.round(percent).astype(np.uint8).ravel()
    image.GetPointData().SetScalars(numpy_to_vtk(flat, deep=True))
    node.SetAndObserveImageData(image)
    node.SetIJKToRASMatrix(vtk_matrix(_ijk_to_ras(reconstruction.grid)))
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetAndObserveColorNodeID("vtkMRMLColorTableNodeGrey")
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(0.0, 100.0)
    return node


def segment_id(node: Node, bone: Bone) -> str | None:
    """Identifier of a bone's segment, by its name; None when it was deleted."""
    return node.GetSegmentation().GetSegmentIdBySegmentName(bone.title) or None


def surfaces_of(node: Node) -> dict[Bone, Surface]:
    """The closed surface of each bone as it is now, RAS mm; absent where there is none."""
    node.CreateClosedSurfaceRepresentation()
    surfaces = {}
    for bone in Bone:
        identifier = segment_id(node, bone)
        if identifier is None:
            continue
        polydata = vtk.vtkPolyData()
        node.GetClosedSurfaceRepresentation(identifier, polydata)
        if polydata.GetNumberOfPolys():
            surfaces[bone] = Surface.from_vtk(polydata)
    return surfaces


def volumes_of(node: Node) -> dict[Bone, float]:
    """Volume of each bone as it is now, cm³; 0 where there is none."""
    surfaces = surfaces_of(node)
    return {bone: abs(surfaces[bone].volume) / 1000.0 if bone in surfaces else 0.0 for bone in Bone}


def _add_segment(node: Node, bone: Bone, surface: Surface | None, side: Side) -> None:
    segment = slicer.vtkSegment()
    segment.SetName(bone.title)
    segment.SetColor(*bone.style.rgb)
    segment.SetNameAutoGenerated(False)
    segment.SetColorAutoGenerated(False)
    segment.SetTag("TerminologyEntry", terminology_entry(bone, side))
    if surface is not None:
        segment.AddRepresentation("Closed surface", surface.to_vtk())
    else:
        segment.AddRepresentation("Closed surface", vtk.vtkPolyData())
    node.GetSegmentation().AddSegment(segment, bone.key)


def _ijk_to_ras(grid: VolumeGrid) -> np.ndarray:
    matrix = np.diag([grid.spacing, grid.spacing, grid.spacing, 1.0])
    matrix[:3, 3] = grid.first
    return matrix


def _geometry_text(grid: VolumeGrid) -> str:
    """A grid as Slicer serialises the geometry of label maps: matrix, then extent."""
    matrix = ";".join(f"{value:.10g}" for value in _ijk_to_ras(grid).ravel())
    extent = ";".join(f"0;{count - 1}" for count in grid.shape[::-1])
    return f"{matrix};{extent};"
