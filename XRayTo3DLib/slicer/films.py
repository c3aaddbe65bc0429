"""Radiographs as volumes of one slice, standing where their detectors stood."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.geometry import ViewGeometry, film_geometry
from XRayTo3DLib.imaging.radiograph import Origin, Radiograph, Side, Sourced, View
from XRayTo3DLib.imaging.restating import restated
from XRayTo3DLib.slicer.nodes import PREFIX, Node, Scene, vtk_matrix

_FACTS = PREFIX + "facts"
_THICKNESS = 1.0
"""mm; a film has none, a voxel must."""

_SHOWN = (1.0, 99.5)
"""Percentiles of a film's pixels between which grey runs from black to white."""


def add_film(scene: Scene, film: Radiograph, view: ViewGeometry, name: str) -> Node:
    """A film as a scalar volume of one slice in the plane of its detector.

    The pixel on which a landmark falls (``view.project``) is where the ray from the source
    through the landmark meets the volume.

    Args:
        scene: the film is added to it.
        film: pixels and facts; the facts go with the node, nothing of the patient does.
        view: where its detector stands.
        name: of the node.
    """
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    node.CreateDefaultDisplayNodes()
    show_film(node, film, view)
    return node


def show_film(node: Node, film: Radiograph, view: ViewGeometry) -> None:
    """Make a node of :func:`add_film` show what a film has become."""
    node.SetAndObserveImageData(_image(film.pixels))
    place_film(node, view)
    low, high = np.percentile(film.pixels, _SHOWN)
    display = node.GetDisplayNode()
    display.SetAndObserveColorNodeID("vtkMRMLColorTableNodeGrey")
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(float(low), float(max(high, low + 1e-6)))
    display.SetInterpolate(1)
    node.SetAttribute(_FACTS, json.dumps(_facts_as_json(film)))


def restate_film(node: Node, **said: Any) -> Radiograph:
    """Correct what is known of a film, as :func:`~XRayTo3DLib.imaging.restating.restated` does.

    Raises:
        XRayTo3DError: what is said cannot be; the node is as it was.
    """
    film = restated(film_of(node), **said)
    show_film(node, film, film_geometry(film))
    return film


def is_film(node: Node | None) -> bool:
    """Whether :func:`add_film` made this node."""
    return node is not None and bool(node.GetAttribute(_FACTS))


def place_film(node: Node, view: ViewGeometry) -> None:
    """Move a film to another detector."""
    across = np.cross(view.column_step, view.row_step)
    matrix = np.eye(4)
    matrix[:3, 0], matrix[:3, 1] = view.column_step, view.row_step
    matrix[:3, 2] = across / np.linalg.norm(across) * _THICKNESS
    matrix[:3, 3] = view.first_pixel
    node.SetIJKToRASMatrix(vtk_matrix(matrix))


def film_of(node: Node) -> Radiograph:
    """The radiograph that :func:`add_film` made a node of.

    Raises:
        XRayTo3DError: the node is no such film.
    """
    text = node.GetAttribute(_FACTS) if node is not None else None
    if not text:
        name = node.GetName() if node is not None else "nothing"
        raise XRayTo3DError(f"{name} is not a film of this program; load the radiograph again.")
    facts = json.loads(text)
    return Radiograph(
        pixels=pixels_of(node),
        spacing=_sourced(facts["spacing"], tuple),
        sid=_sourced(facts["sid"], float),
        sod=_sourced(facts["sod"], float),
        view=_sourced(facts["view"], View),
        side=_sourced(facts["side"], Side),
        orientation=_sourced(facts["orientation"], tuple),
        inverted=_sourced(facts["inverted"], bool),
        path=Path(facts["file"]) if facts["file"] else None,
        warnings=tuple(facts["warnings"]),
    )


def pixels_of(node: Node) -> np.ndarray:
    """``(rows, columns)`` float32 of a volume of one slice.

    Raises:
        XRayTo3DError: it has several slices, or none, or colours.
    """
    image = node.GetImageData()
    if image is None or image.GetPointData().GetScalars() is None:
        raise XRayTo3DError(f"{node.GetName()} has no picture; load the radiograph again.")
    columns, rows, slices = image.GetDimensions()
    parts = image.GetNumberOfScalarComponents()
    if slices != 1:
        raise XRayTo3DError(
            f"{node.GetName()} has {slices} slices; choose a radiograph, which has one."
        )
    values = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(rows, columns, parts)
    if parts > 1 and np.ptp(values[..., :3].astype(float), axis=-1).max() > 0:
        raise XRayTo3DError(f"{node.GetName()} is a picture in colours; choose a radiograph.")
    return values[..., 0].astype(np.float32)


def _image(pixels: np.ndarray) -> vtk.vtkImageData:
    rows, columns = pixels.shape
    image = vtk.vtkImageData()
    image.SetDimensions(columns, rows, 1)
    flat = np.ascontiguousarray(pixels, dtype=np.float32).ravel()
    image.GetPointData().SetScalars(numpy_to_vtk(flat, deep=True))
    return image


def _facts_as_json(film: Radiograph) -> dict[str, Any]:
    def told(fact: Sourced[Any], value: Any) -> list[Any]:
        return [value, fact.origin.value, fact.note]

    return {
        "spacing": told(film.spacing, list(film.spacing.value)),
        "sid": told(film.sid, film.sid.value),
        "sod": told(film.sod, film.sod.value),
        "view": told(film.view, film.view.value.value),
        "side": told(film.side, film.side.value.value),
        "orientation": told(film.orientation, list(film.orientation.value)),
        "inverted": told(film.inverted, film.inverted.value),
        "file": film.path.name if film.path else None,
        "warnings": list(film.warnings),
    }


def _sourced(told: list[Any], kind: Any) -> Sourced[Any]:
    value, origin, note = told
    return Sourced(kind(value), Origin(origin), note)
