"""Where the knee was found on a film: a box and the joint line to look at and to move."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import vtk

from XRayTo3DLib.imaging.centres import Pixel
from XRayTo3DLib.imaging.geometry import film_geometry
from XRayTo3DLib.imaging.radiograph import Origin, Radiograph, View
from XRayTo3DLib.progress import Progress
from XRayTo3DLib.slicer.alive import run_alive
from XRayTo3DLib.slicer.films import film_of, show_film
from XRayTo3DLib.slicer.layout import AP, LATERAL, composite_of, look_at_film, slice_view
from XRayTo3DLib.slicer.nodes import PREFIX, Node, all_or_nothing

if TYPE_CHECKING:
    from XRayTo3DLib.reconstruction.finding import FoundKnee

_BOX = PREFIX + "found.box"
_LINE = PREFIX + "found.jointLine"
_PLACE = PREFIX + "found.place"
_FOUND = PREFIX + "found"

_MOVED = 0.5
"""Pixels from which a box counts as moved by hand."""


@dataclass(frozen=True)
class FoundOnFilm:
    """The nodes that show what was found on a film.

    Their control points are pixels (column, row, 0) of the film, under a transform that takes
    pixels to RAS: so they stay on the film wherever it is moved.

    Attributes:
        film: the film.
        box: closed curve about what the network sees; its middle is the middle of the joint.
        line: the joint line.
        place: the transform.
    """

    film: Node
    box: Node
    line: Node
    place: Node

    @property
    def centre(self) -> Pixel:
        """The middle of the box as it is now, (row, column)."""
        column, row = _points(self.box)[:, :2].mean(axis=0)
        return float(row), float(column)

    @property
    def lean(self) -> float:
        """Degrees by which the leg was found to lean to the right of the film."""
        return float(json.loads(self.box.GetAttribute(_FOUND))["lean"])

    @property
    def moved(self) -> bool:
        """Whether the user has moved it."""
        there = json.loads(self.box.GetAttribute(_FOUND))["centre"]
        return bool(np.hypot(*np.subtract(self.centre, there)) > _MOVED)

    @property
    def sentence(self) -> str:
        """What was found, for the user."""
        return json.loads(self.box.GetAttribute(_FOUND))["sentence"]


def find_on_films(
    films: list[Node],
    pump: Callable[[str, float], None],
    cancelled: Callable[[], bool] = lambda: False,
) -> list[FoundOnFilm]:
    """Find the knee on films of the scene and show it on them, in place of what was found before.

    Where nobody knows the scale of a film, it is given that by which the knee is as large as
    people's are. An error or a cancel leaves the scene as it was.

    Args:
        films: of :func:`~XRayTo3DLib.slicer.work.load_film`.
        pump: keeps the window alive, see :func:`~XRayTo3DLib.slicer.alive.run_alive`.
        cancelled: whether the user wants to stop.

    Raises:
        XRayTo3DError: the shipped weights cannot be used.
        Cancelled: the user stopped it.
    """
    given = [film_of(node) for node in films]
    found = run_alive(lambda tell: _find(given, tell), pump, cancelled)
    return [show_found(node, knee) for node, knee in zip(films, found, strict=True)]


def show_found(film: Node, found: FoundKnee) -> FoundOnFilm:
    """Show on a film what was found on it."""
    remove_found(film)
    scene = film.GetScene()
    with all_or_nothing(scene):
        place = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", f"{film.GetName()}, pixels")
        box = _markup(film, place, "vtkMRMLMarkupsClosedCurveNode", "knee", found.box)
        box.SetCurveTypeToLinear()
        handles = box.GetDisplayNode()
        handles.SetHandlesInteractive(True)
        handles.SetRotationHandleVisibility(False)
        handles.SetScaleHandleVisibility(False)
        line = _markup(film, place, "vtkMRMLMarkupsLineNode", "joint line", found.joint_line)
        line.SetLocked(True)
        told = {
            "centre": list(found.centre),
            "lean": found.roll,
            "sentence": found_sentence(found),
        }
        box.SetAttribute(_FOUND, json.dumps(told))
    if found.scale.origin is Origin.ASSUMED:
        show_film(film, found.film, film_geometry(found.film))
    for role, node in ((_BOX, box), (_LINE, line), (_PLACE, place)):
        film.SetNodeReferenceID(role, node.GetID())
    follow_film(film)
    return FoundOnFilm(film, box, line, place)


def found_on(film: Node | None) -> FoundOnFilm | None:
    """What is shown as found on a film, if anything is."""
    if film is None:
        return None
    parts = [film.GetNodeReference(role) for role in (_BOX, _LINE, _PLACE)]
    return None if None in parts else FoundOnFilm(film, *parts)


def follow_film(film: Node) -> None:
    """Keep what was found on a film on it, after the film was moved or scaled."""
    found = found_on(film)
    if found is not None:
        matrix = vtk.vtkMatrix4x4()
        film.GetIJKToRASMatrix(matrix)
        found.place.SetMatrixTransformToParent(matrix)


def remove_found(film: Node) -> None:
    """Take what was found on a film out of the scene."""
    scene = film.GetScene()
    for role in (_BOX, _LINE, _PLACE):
        node = film.GetNodeReference(role)
        if node is not None:
            display = node.GetDisplayNode()
            for gone in (node, display, node.GetStorageNode()):
                if gone is not None and scene.IsNodePresent(gone):
                    scene.RemoveNode(gone)
            film.SetNodeReferenceID(role, None)


def look_at_films(films: list[Node]) -> None:
    """Show films squarely and whole, each in its slice view."""
    for node in films:
        film = film_of(node)
        scene, name = node.GetScene(), _view_name(film)
        composite_of(scene, name).SetBackgroundVolumeID(node.GetID())
        look_at_film(slice_view(scene, name), film_geometry(film))


def found_sentence(found: FoundKnee) -> str:
    """How the knee stands on a film, and how large it is, for the user."""
    from XRayTo3DLib.reconstruction.finding import SURE

    name = f"{found.film.view.value.value} film"
    if found.confidence < SURE:
        return f"{name}: no knee was found surely; move the box to it."
    way = "right" if found.roll > 0 else "left"
    parts = [f"the leg leans by {abs(found.roll):.0f}° to the {way} of the film"]
    if found.flexion is not None:
        bent = found.flexion
        parts.append(f"the knee is bent by {bent.value:.0f} ± {bent.uncertainty:.0f}°")
    scale = found.scale
    parts.append(
        f"a pixel is {max(scale.step):.3g} ± {scale.uncertainty:.2g} mm at the joint ({scale.note})"
    )
    return f"{name}: {', '.join(parts)}."


def _find(films: list[Radiograph], tell: Progress) -> list[FoundKnee]:
    # torch may be missing until the user has agreed to install it.
    from XRayTo3DLib.reconstruction.finding import find_knee
    from XRayTo3DLib.reconstruction.weights import load_model

    tell("Loading the network", 0.0)
    model = load_model()
    found = []
    for number, film in enumerate(films):
        tell(f"Finding the knee on the {film.view.value.value} film", number / len(films))
        found.append(find_knee(film, model))
    tell("Finding the knee", 1.0)
    return found


def _view_name(film: Radiograph) -> str:
    return LATERAL if film.view.value is View.LATERAL else AP


def _markup(film: Node, place: Node, kind: str, what: str, pixels: np.ndarray) -> Node:
    """Markups at pixels (row, column), to be seen on their own film only."""
    scene = film.GetScene()
    node = scene.AddNewNodeByClass(kind, f"{film.GetName()}, {what}")
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetPropertiesLabelVisibility(False)
    display.SetPointLabelsVisibility(False)
    display.SetViewNodeIDs([slice_view(scene, _view_name(film_of(film))).GetID()])
    for row, column in np.asarray(pixels, dtype=float):
        node.AddControlPoint(vtk.vtkVector3d(column, row, 0.0))
    node.SetAndObserveTransformNodeID(place.GetID())
    return node


def _points(node: Node) -> np.ndarray:
    """Control points before the transform, ``(n, 3)``."""
    return np.array(
        [node.GetNthControlPointPosition(n) for n in range(node.GetNumberOfControlPoints())]
    )
