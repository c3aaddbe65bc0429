"""The outlines of the bones on both films, which follow the segmentation as it is corrected."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import slicer
import vtk

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.imaging.geometry import ViewGeometry
from XRayTo3DLib.reconstruction.outlines import Contours, agreement
from XRayTo3DLib.reconstruction.projected import outline, silhouette
from XRayTo3DLib.slicer.films import film_of
from XRayTo3DLib.slicer.knee_nodes import KneeNodes
from XRayTo3DLib.slicer.layout import AP, LATERAL, bones_view, slice_view
from XRayTo3DLib.slicer.nodes import PREFIX, Node, Scene
from XRayTo3DLib.slicer.segments import segment_id, surfaces_of

_BONE = PREFIX + "outline.bone"
_VIEW = PREFIX + "outline.view"
_VIEWS = ("frontal", "lateral")

_BEFORE_FILM = 0.5
"""mm by which lines lie before the film, that it does not hide them in 3D."""

Agreement = dict[Bone, tuple[float | None, float | None]]
"""How well each bone's outline lies on edges of the frontal and the lateral film, 0–1."""


class LiveOutlines:
    """Eight models, an outline a bone and film, drawn anew whenever the segmentation changes.

    Args:
        nodes: of the knee; they are read again at each change.
        changed: called after each drawing with the agreement, as to show it.
    """

    def __init__(
        self, nodes: KneeNodes, changed: Callable[[Agreement], None] | None = None
    ) -> None:
        self._nodes, self._changed = nodes, changed
        self._tags: list[tuple[Node, int]] = []
        self.agreement: Agreement = {}
        self._drawing = False
        self.draw()
        segmentation = nodes.segmentation.GetSegmentation()
        for event in (
            slicer.vtkSegmentation.SourceRepresentationModified,
            slicer.vtkSegmentation.SegmentAdded,
            slicer.vtkSegmentation.SegmentRemoved,
        ):
            self._observe(segmentation, event)
        self._observe(nodes.segmentation.GetDisplayNode(), vtk.vtkCommand.ModifiedEvent, True)

    def draw(self) -> None:
        """Project every bone as it is now on both films."""
        if self._drawing:  # making surfaces of the segments tells that they changed
            return
        self._drawing = True
        try:
            # Slicer tells of a correction before it has made the surface of it anew.
            self._nodes.segmentation.GetSegmentation().CreateRepresentation("Closed surface", True)
            surfaces = surfaces_of(self._nodes.segmentation)
            films = [film_of(node) for node in self._nodes.films]
            views = self._nodes.geometry.views
            for bone in Bone:
                contours = [_contours(surfaces.get(bone), view) for view in views]
                for number, view in enumerate(views):
                    model = _model(self._nodes, bone, number)
                    model.SetAndObserveMesh(_lines(contours[number], view))
                self.agreement[bone] = (
                    agreement(films[0], contours[0]),
                    agreement(films[1], contours[1]),
                )
            self._show_like_segments()
        finally:
            self._drawing = False
        if self._changed:
            self._changed(self.agreement)

    def stop(self) -> None:
        """Follow the segmentation no longer; the lines stay."""
        for node, tag in self._tags:
            node.RemoveObserver(tag)
        self._tags = []

    def _observe(self, node: Node, event: int, display_only: bool = False) -> None:
        def react(_caller: object, _event: str) -> None:
            if display_only:
                self._show_like_segments()
            else:
                self.draw()

        self._tags.append((node, node.AddObserver(event, react)))

    def _show_like_segments(self) -> None:
        """Colour and visibility of the lines are those of their segments."""
        node = self._nodes.segmentation
        display = node.GetDisplayNode()
        for bone in Bone:
            identifier = segment_id(node, bone)
            shown = identifier is not None and display.GetVisibility() == 1
            shown = shown and display.GetSegmentVisibility(identifier)
            colour = bone.style.rgb
            if identifier is not None:
                colour = node.GetSegmentation().GetSegment(identifier).GetColor()
            for number in range(2):
                lines = _model(self._nodes, bone, number).GetDisplayNode()
                lines.SetColor(*colour)
                lines.SetVisibility(bool(shown))


def outline_models(scene: Scene) -> list[Node]:
    """The models of outlines in a scene."""
    models = scene.GetNodesByClass("vtkMRMLModelNode")
    models.UnRegister(None)
    found = [models.GetItemAsObject(index) for index in range(models.GetNumberOfItems())]
    return [model for model in found if model.GetAttribute(_BONE)]


def remove_outlines(scene: Scene) -> None:
    """Take the outlines out of a scene."""
    for model in outline_models(scene):
        scene.RemoveNode(model)


def _contours(surface: Surface | None, view: ViewGeometry) -> Contours:
    return [] if surface is None else outline(silhouette(surface, view))


def _lines(contours: Contours, view: ViewGeometry) -> vtk.vtkPolyData:
    """Contours of pixels as lines in RAS mm, a hair before the film."""
    points, cells = vtk.vtkPoints(), vtk.vtkCellArray()
    first = view.first_pixel - _BEFORE_FILM * view.normal
    for contour in contours:
        places = first + contour @ np.stack([view.row_step, view.column_step])
        cells.InsertNextCell(len(places))
        for place in places:
            cells.InsertCellPoint(points.InsertNextPoint(place))
    polydata = vtk.vtkPolyData()
    polydata.SetPoints(points)
    polydata.SetLines(cells)
    return polydata


def _model(nodes: KneeNodes, bone: Bone, number: int) -> Node:
    """The model of a bone's outline on a film, made when there is none."""
    scene = nodes.segmentation.GetScene()
    for model in outline_models(scene):
        if (model.GetAttribute(_BONE), model.GetAttribute(_VIEW)) == (bone.key, _VIEWS[number]):
            return model
    model = scene.AddNewNodeByClass(
        "vtkMRMLModelNode", f"{bone.title} outline, {_VIEWS[number]} film"
    )
    model.SetAttribute(_BONE, bone.key)
    model.SetAttribute(_VIEW, _VIEWS[number])
    model.CreateDefaultDisplayNodes()
    display = model.GetDisplayNode()
    display.SetColor(*bone.style.rgb)
    display.SetLineWidth(2)
    display.SetLighting(False)
    display.SetVisibility2D(True)
    display.SetSliceDisplayModeToProjection()
    display.SetSliceIntersectionThickness(2)
    # A projection onto the other film would be lines without a meaning.
    film_view = slice_view(scene, (AP, LATERAL)[number])
    display.SetViewNodeIDs([film_view.GetID(), bones_view(scene).GetID()])
    return model
