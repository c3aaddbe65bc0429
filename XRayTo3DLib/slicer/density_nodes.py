"""An estimated density in the scene: its volume, how sure it is, and the films it comes from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.materials import from_hounsfield, to_hounsfield
from XRayTo3DLib.slicer.density_rendering import add_rendering, rendering_of
from XRayTo3DLib.slicer.films import place_film
from XRayTo3DLib.slicer.nodes import PREFIX, Node, Scene, all_or_nothing, nodes_of, vtk_matrix
from XRayTo3DLib.slicer.nodes import array_of as array_of_matrix
from XRayTo3DLib.tomography.density import REFERENCE_KEV, DensityVolume

if TYPE_CHECKING:
    from XRayTo3DLib.tomography.density_result import DensityResult

_FACTS = PREFIX + "density"
_FILMS = PREFIX + "density.films"
_DEVIATION = PREFIX + "density.deviation"

_SHOWN = (-300.0, 900.0)
"""HU from black to white in slices: fat, muscle and spongiosa are told apart, cortex is white."""

_SHOWN_DEVIATION = (0.0, 300.0)
_LEAST_SHOWN_DEVIATION = 20.0
_UNITS = (-1000, 32767)
_STRAIGHT = 1e-3


@dataclass(frozen=True)
class DensityNodes:
    """A density in a scene.

    Attributes:
        volume: Hounsfield units; it refers to all the others.
        deviation: standard deviation in HU; None where it is not known.
        films: the one or two that it was estimated from.
    """

    volume: Node
    deviation: Node | None
    films: tuple[Node, ...]

    @property
    def facts(self) -> dict[str, Any]:
        """``model``, ``side``, ``warnings``, and ``agreement``: a film's gradient correlation."""
        return json.loads(self.volume.GetAttribute(_FACTS))

    @property
    def rendering(self) -> Node | None:
        """The display of its volume rendering."""
        return rendering_of(self.volume)


def show_density(
    scene: Scene, result: DensityResult, films: tuple[Node, ...], name: str = "Density"
) -> DensityNodes:
    """Add a density to a scene; all of it or, after an error, nothing.

    Args:
        scene: it is added to it.
        result: the estimate.
        films: the nodes that it was estimated from, in the order of ``result.films``; they are
            moved to where the estimate says they stood.
        name: begins the names of the nodes.
    """
    facts = {
        "model": result.model.name,
        "side": result.side.value,
        "warnings": list(result.all_warnings),
        "agreement": [shown.agreement.ngcc for shown in result.films],
    }
    with all_or_nothing(scene):
        nodes = add_density(scene, result.density, films, facts, name)
    # Last, as it cannot fail: a failure before leaves films of the scene where they were.
    for node, shown in zip(films, result.films, strict=True):
        place_film(node, shown.geometry)
    return nodes


def add_density(
    scene: Scene,
    density: DensityVolume,
    films: tuple[Node, ...],
    facts: dict[str, Any],
    name: str = "Density",
) -> DensityNodes:
    """Add a volume of densities with its deviation and its volume rendering.

    Args:
        scene: they are added to it.
        density: what is shown.
        films: nodes that it was estimated from; none for a phantom.
        facts: see :attr:`DensityNodes.facts`.
        name: begins the names of the nodes.
    """
    volume = _add_volume(scene, density.hounsfield, density.grid, f"{name} (HU)", _SHOWN, "Grey")
    deviation = None
    if density.deviation is not None:
        units = to_hounsfield(density.deviation, REFERENCE_KEV) - to_hounsfield(0.0, REFERENCE_KEV)
        deviation = _add_volume(
            scene, units, density.grid, f"{name} uncertainty (HU)", _SHOWN_DEVIATION, "Iron"
        )
        # Where nothing is uncertain the density below is seen.
        deviation.GetDisplayNode().SetThreshold(_LEAST_SHOWN_DEVIATION, _UNITS[1])
        deviation.GetDisplayNode().ApplyThresholdOn()
        volume.SetNodeReferenceID(_DEVIATION, deviation.GetID())
    for film in films:
        volume.AddNodeReferenceID(_FILMS, film.GetID())
    volume.SetAttribute(_FACTS, json.dumps(facts))
    add_rendering(volume)
    return DensityNodes(volume, deviation, films)


def densities_in(scene: Scene) -> list[DensityNodes]:
    """Every density of a scene, oldest first."""
    return [
        DensityNodes(node, node.GetNodeReference(_DEVIATION), _films(node))
        for node in nodes_of(scene, "vtkMRMLScalarVolumeNode")
        if node.GetAttribute(_FACTS)
    ]


def remove_density(scene: Scene, density: DensityNodes) -> None:
    """Take a density out of a scene, with all that was made to show it; the films stay."""
    gone: list[Node] = []
    for node in (density.volume, density.deviation):
        if node is not None:
            gone += [node, *_shown_by(node)]
    for node in gone:
        scene.RemoveNode(node)


def density_of(volume: Node) -> DensityVolume:
    """The density that a node of :func:`add_density` holds, as it is now.

    Raises:
        XRayTo3DError: it has been turned out of the patient's axes, or is empty.
    """
    image = volume.GetImageData()
    if image is None or image.GetPointData().GetScalars() is None:
        raise XRayTo3DError(f"{volume.GetName()} is empty; estimate the density again.")
    x, y, z = image.GetDimensions()
    units = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(z, y, x)
    attenuation = from_hounsfield(units, REFERENCE_KEV).astype(np.float32)
    return DensityVolume(attenuation, _grid(volume, (z, y, x)))


def _add_volume(
    scene: Scene,
    units: np.ndarray,
    grid: VolumeGrid,
    name: str,
    shown: tuple[float, float],
    colours: str,
) -> Node:
    """Whole Hounsfield units as a scalar volume, as :mod:`density_files` writes them."""
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    whole = np.clip(np.round(units), *_UNITS).astype(np.int16)
    z, y, x = whole.shape
    image = vtk.vtkImageData()
    image.SetDimensions(x, y, z)
    image.GetPointData().SetScalars(numpy_to_vtk(whole.ravel(), deep=True))
    node.SetAndObserveImageData(image)
    matrix = np.diag([grid.spacing] * 3 + [1.0])
    matrix[:3, 3] = grid.first
    node.SetIJKToRASMatrix(vtk_matrix(matrix))
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetAndObserveColorNodeID(f"vtkMRMLColorTableNode{colours}")
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(*shown)
    return node


def _films(volume: Node) -> tuple[Node, ...]:
    count = volume.GetNumberOfNodeReferences(_FILMS)
    found = (volume.GetNthNodeReference(_FILMS, number) for number in range(count))
    return tuple(film for film in found if film is not None)


def _shown_by(node: Node) -> list[Node]:
    """Displays, their properties and the storage, which a scene does not remove by itself."""
    displays = [node.GetNthDisplayNode(number) for number in range(node.GetNumberOfDisplayNodes())]
    others = [node.GetStorageNode()]
    for display in displays:
        if display.IsA("vtkMRMLVolumeRenderingDisplayNode"):
            prop = display.GetVolumePropertyNode()
            others += [prop, prop.GetStorageNode() if prop is not None else None]
            others += [display.GetROINode()]
    return [other for other in (*displays, *others) if other is not None]


def _grid(volume: Node, shape: tuple[int, int, int]) -> VolumeGrid:
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    values = array_of_matrix(matrix)
    steps = values[:3, :3]
    spacing = float(steps[0, 0])
    if not spacing > 0 or not np.allclose(steps, spacing * np.eye(3), atol=_STRAIGHT * spacing):
        raise XRayTo3DError(
            f"{volume.GetName()} has been turned or stretched; estimate the density again."
        )
    centre = values[:3, 3] + 0.5 * spacing * (np.array(shape[::-1]) - 1)
    return VolumeGrid(shape, spacing, (float(centre[0]), float(centre[1]), float(centre[2])))
