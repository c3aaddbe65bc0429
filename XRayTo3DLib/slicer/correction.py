"""The segment editor, set up for a reconstructed knee."""

from __future__ import annotations

import slicer

from XRayTo3DLib.slicer.knee_nodes import KneeNodes
from XRayTo3DLib.slicer.nodes import PREFIX, Node, Scene
from XRayTo3DLib.slicer.segments import segmentations_logic

_TAG = PREFIX + "editor"


def editor_node(scene: Scene) -> Node:
    """The segment editor node of this program, made anew where a closed scene took it away.

    Bones do not overlap: what is painted into one is taken from the others.
    """
    segmentations_logic(scene)  # without it the scene does not know the class
    node = scene.GetSingletonNode(_TAG, "vtkMRMLSegmentEditorNode")
    if node is None:
        node = slicer.vtkMRMLSegmentEditorNode()
        node.SetSingletonTag(_TAG)
        node = scene.AddNode(node)
        node.SetOverwriteMode(slicer.vtkMRMLSegmentEditorNode.OverwriteAllSegments)
        node.SetMaskMode(slicer.vtkMRMLSegmentationNode.EditAllowedEverywhere)
    return node


def correct(knee: KneeNodes) -> Node:
    """Point the editor at a knee: its segmentation, and its probability as the source volume."""
    node = editor_node(knee.record.GetScene())
    node.SetAndObserveSegmentationNode(knee.segmentation)
    node.SetAndObserveSourceVolumeNode(knee.probability)
    ids = knee.segmentation.GetSegmentation()
    if ids.GetNumberOfSegments() and not node.GetSelectedSegmentID():
        node.SetSelectedSegmentID(ids.GetNthSegmentID(0))
    return node
