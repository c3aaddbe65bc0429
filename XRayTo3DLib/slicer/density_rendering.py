"""Volume rendering of a density: like a radiograph, or its bone alone."""

from __future__ import annotations

from enum import Enum

import numpy as np
import slicer
import vtk

from XRayTo3DLib.slicer.nodes import PREFIX, Node, Scene

_PRESET = PREFIX + "density.preset"

# HU and attenuation, 1/mm. A ray through a cloud of one colour is seen as 1 - exp(-∫), the law of
# Beer and Lambert: what a radiograph shows, with soft tissue made thin for the eye's sake.
_FILM_LIKE = (
    (-1000.0, 0.0),
    (-200.0, 0.0),
    (-80.0, 0.0015),
    (60.0, 0.003),
    (300.0, 0.009),
    (1200.0, 0.03),
    (3000.0, 0.06),
)

# HU, opacity of a millimetre, and colour: nothing below spongiosa, cortex nearly opaque.
_BONE = (
    (-1000.0, 0.0, (0.0, 0.0, 0.0)),
    (140.0, 0.0, (0.55, 0.25, 0.15)),
    (220.0, 0.12, (0.73, 0.48, 0.30)),
    (500.0, 0.5, (0.90, 0.80, 0.62)),
    (1000.0, 0.85, (1.0, 0.97, 0.90)),
    (3000.0, 0.95, (1.0, 1.0, 1.0)),
)


class Preset(str, Enum):
    """How a density is rendered; the values are what the panel offers."""

    FILM_LIKE = "X-ray-like"
    BONE = "Bone"


def rendering_logic(scene: Scene) -> slicer.vtkSlicerVolumeRenderingLogic:
    """Slicer's logic of volume rendering for a scene; it also makes its nodes known to it."""
    module = getattr(getattr(slicer, "modules", None), "volumerendering", None)
    if module is not None:  # the application has one already, of its own scene
        return module.logic()
    logic = slicer.vtkSlicerVolumeRenderingLogic()
    logic.SetMRMLScene(scene)
    return logic


def add_rendering(volume: Node, preset: Preset = Preset.FILM_LIKE) -> Node:
    """Render a volume of Hounsfield units in 3D; returns the display node."""
    logic = rendering_logic(volume.GetScene())
    display = logic.CreateDefaultVolumeRenderingNodes(volume)
    display.SetVisibility(True)
    display.GetVolumePropertyNode().SetName(f"{volume.GetName()} rendering")
    render_as(display, preset)
    return display


def rendering_of(volume: Node) -> Node | None:
    """The display of a volume's rendering, if it has one."""
    for number in range(volume.GetNumberOfDisplayNodes()):
        display = volume.GetNthDisplayNode(number)
        if display.IsA("vtkMRMLVolumeRenderingDisplayNode"):
            return display
    return None


def render_as(display: Node, preset: Preset) -> None:
    """Give a display the transfer functions of a preset."""
    node = display.GetVolumePropertyNode()
    node.SetAttribute(_PRESET, preset.value)
    modified = node.StartModify()
    node.SetScalarOpacity(scalar_opacity(preset))
    node.SetColor(colours(preset))
    flat = vtk.vtkPiecewiseFunction()
    flat.AddPoint(0.0, 1.0)
    node.SetGradientOpacity(flat)
    prop = node.GetVolumeProperty()
    prop.SetInterpolationTypeToLinear()
    prop.SetShade(preset is Preset.BONE)
    prop.SetAmbient(0.2)
    prop.SetDiffuse(0.9)
    prop.SetSpecular(0.15)
    prop.SetSpecularPower(12.0)
    node.EndModify(modified)


def preset_of(display: Node) -> Preset:
    """The preset that a display was given last."""
    return Preset(display.GetVolumePropertyNode().GetAttribute(_PRESET))


def scalar_opacity(preset: Preset) -> vtk.vtkPiecewiseFunction:
    """Opacity of a millimetre (VTK's unit distance) against Hounsfield units."""
    function = vtk.vtkPiecewiseFunction()
    if preset is Preset.FILM_LIKE:
        for units, attenuation in _FILM_LIKE:
            function.AddPoint(units, float(-np.expm1(-attenuation)))
    else:
        for units, opacity, _ in _BONE:
            function.AddPoint(units, opacity)
    return function


def colours(preset: Preset) -> vtk.vtkColorTransferFunction:
    """Colour against Hounsfield units: white alone, or from marrow to cortex."""
    function = vtk.vtkColorTransferFunction()
    if preset is Preset.FILM_LIKE:
        for units in (_FILM_LIKE[0][0], _FILM_LIKE[-1][0]):
            function.AddRGBPoint(units, 1.0, 1.0, 1.0)
    else:
        for units, _, rgb in _BONE:
            function.AddRGBPoint(units, *rgb)
    return function
