"""Films whose style was translated, laid over the films that they were made of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import vtk
from vtk.util.numpy_support import numpy_to_vtk

from XRayTo3DLib.imaging.geometry import BiplanarGeometry, ViewGeometry
from XRayTo3DLib.reconstruction.result import StyledFilms
from XRayTo3DLib.slicer.films import place_film
from XRayTo3DLib.slicer.layout import AP, LATERAL, composite_of
from XRayTo3DLib.slicer.nodes import PREFIX, Node, all_or_nothing

_STYLED = PREFIX + "styled"
_NAMES = ("AP film, translated", "lateral film, translated")
_OPACITY = 0.5


def styled_detectors(
    styled: StyledFilms, geometry: BiplanarGeometry
) -> tuple[ViewGeometry, ViewGeometry]:
    """Where the translated pictures of both films stand, pixel for pixel, in the patient's frame.

    They lie on the films wherever a refinement has moved these to.

    Args:
        styled: the pictures.
        geometry: where sources and films stand.
    """
    frontal, lateral = (
        _on_film(view, affine, picture.shape)
        for view, affine, picture in zip(geometry.views, styled.affines, styled.after, strict=True)
    )
    return frontal, lateral


def _on_film(film: ViewGeometry, affine: np.ndarray, shape: tuple[int, int]) -> ViewGeometry:
    row, column, first = affine.T @ np.stack([film.row_step, film.column_step])
    return replace(
        film,
        first_pixel=film.first_pixel + first,
        row_step=row,
        column_step=column,
        shape=shape,
    )


def add_styled(
    films: tuple[Node, Node], styled: StyledFilms, geometry: BiplanarGeometry
) -> tuple[Node, Node]:
    """Add both films as translated to the scene of the films; both or, after an error, none.

    Args:
        films: frontal and lateral, which keep a reference to them.
        styled: the pictures.
        geometry: where the films stand.
    """
    scene = films[0].GetScene()
    detectors = styled_detectors(styled, geometry)
    nodes = []
    with all_or_nothing(scene):
        for name, picture, detector in zip(_NAMES, styled.after, detectors, strict=True):
            node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
            node.SetAndObserveImageData(_image(picture))
            node.SetAttribute(_STYLED, styled.name)
            place_film(node, detector)
            _show_grey(node)
            nodes.append(node)
    for film, node in zip(films, nodes, strict=True):
        film.SetNodeReferenceID(_STYLED, node.GetID())
    return nodes[0], nodes[1]


def styled_films(films: tuple[Node, Node]) -> tuple[Node, ...]:
    """What there is of translated films: both or none."""
    found = tuple(film.GetNodeReference(_STYLED) for film in films)
    return () if None in found else found


def remove_styled(films: tuple[Node, Node]) -> None:
    """Take the translated films of these films out of the scene."""
    for film in films:
        node = film.GetNodeReference(_STYLED)
        if node is None:
            continue
        scene = node.GetScene()
        for gone in (node, node.GetDisplayNode(), node.GetStorageNode()):
            if gone is not None:
                scene.RemoveNode(gone)
        film.SetNodeReferenceID(_STYLED, None)


def show_styled(films: tuple[Node, Node], on: bool) -> None:
    """Lay the translated films over the films, half transparent, or take them away.

    What another part of the program, or the user, has laid there is left alone.
    """
    scene = films[0].GetScene()
    for film, view in zip(films, (AP, LATERAL), strict=True):
        node, shown = film.GetNodeReference(_STYLED), composite_of(scene, view)
        if node is not None and on:
            shown.SetForegroundVolumeID(node.GetID())
            shown.SetForegroundOpacity(_OPACITY)
        elif node is not None and shown.GetForegroundVolumeID() == node.GetID():
            shown.SetForegroundVolumeID(None)


def _image(picture: np.ndarray) -> vtk.vtkImageData:
    rows, columns = picture.shape
    image = vtk.vtkImageData()
    image.SetDimensions(columns, rows, 1)
    flat = np.ascontiguousarray(picture, dtype=np.float32).ravel()
    image.GetPointData().SetScalars(numpy_to_vtk(flat, deep=True))
    return image


def _show_grey(node: Node) -> None:
    """Black at 0 and white at 1, as the network takes it."""
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetAndObserveColorNodeID("vtkMRMLColorTableNodeGrey")
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(0.0, 1.0)
    display.SetInterpolate(1)
