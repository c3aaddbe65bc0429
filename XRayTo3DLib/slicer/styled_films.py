"""Films whose style was translated, laid over the films that they were made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import vtk
from vtk.util.numpy_support import numpy_to_vtk

from XRayTo3DLib.imaging.geometry import BiplanarGeometry, ViewGeometry
from XRayTo3DLib.imaging.radiograph import Side
from XRayTo3DLib.reconstruction.result import Reconstruction, StyledFilms
from XRayTo3DLib.slicer.films import place_film
from XRayTo3DLib.slicer.layout import AP, LATERAL, composite_of
from XRayTo3DLib.slicer.nodes import PREFIX, Node, all_or_nothing

if TYPE_CHECKING:
    from XRayTo3DLib.reconstruction.networks import NetworkSettings

_STYLED = PREFIX + "styled"
_NAMES = ("AP film, translated", "lateral film, translated")
_OPACITY = 0.5


def styled_detectors(
    reconstruction: Reconstruction, network: NetworkSettings
) -> tuple[ViewGeometry, ViewGeometry]:
    """Where the network's own pictures of both films stand, in the patient's frame.

    Pixel for pixel they belong to :class:`StyledFilms`, whose columns run the other way on a left
    knee. A refinement moves them with the films, by as much as it moved the isocentre.

    Args:
        reconstruction: of the films.
        network: which saw them.
    """
    # torch may be missing until the user has agreed to install it.
    from XRayTo3DLib.reconstruction.seeing import RightKnee

    knee = RightKnee.of(
        reconstruction.frontal, reconstruction.lateral, reconstruction.geometry, network
    )
    detectors = BiplanarGeometry(*knee.detectors)
    return (detectors.mirrored() if reconstruction.side is Side.LEFT else detectors).views


def add_styled(
    films: tuple[Node, Node],
    styled: StyledFilms,
    detectors: tuple[ViewGeometry, ViewGeometry],
    side: Side,
) -> tuple[Node, Node]:
    """Add both films as translated to the scene of the films; both or, after an error, none.

    Args:
        films: frontal and lateral, which keep a reference to them.
        styled: the pictures, of a right knee.
        detectors: of :func:`styled_detectors`.
        side: which knee.
    """
    scene = films[0].GetScene()
    pictures = styled.after if side is Side.RIGHT else styled.after[..., ::-1]
    nodes = []
    with all_or_nothing(scene):
        for name, picture, detector in zip(_NAMES, pictures, detectors, strict=True):
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
