"""Pictures of the bones in 3D, rendered off screen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import vtk
from scipy.ndimage import gaussian_filter
from vtk.util.numpy_support import vtk_to_numpy

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.imaging.geometry import ViewGeometry

_BOTTOM = (0.10, 0.11, 0.13)
_TOP = (0.24, 0.26, 0.29)
_CAMERA_DISTANCE = 1000.0
_SUPERSAMPLING = 2
_SHADE_REACH = 3.0
_SHADE_DEPTH = 12.0
_SHADE_STRENGTH = 0.65


def render_bones(
    surfaces: dict[Bone, Surface],
    view: ViewGeometry,
    *,
    size: int,
    span: float,
    centre: np.ndarray,
) -> np.ndarray:
    """The bones as seen along the central ray of a view, lying as they lie on its film.

    Parallel projection on a neutral background. No display is needed.

    Args:
        surfaces: RAS mm.
        view: its rows and columns are those of the picture.
        size: pixels a side.
        span: mm a side.
        centre: RAS mm of the middle of the picture, ``(3,)``.

    Returns:
        ``(size, size, 3)`` uint8 sRGB, row 0 at the top.
    """
    renderer = vtk.vtkRenderer()
    renderer.SetBackground(*_BOTTOM)
    renderer.SetBackground2(*_TOP)
    renderer.GradientBackgroundOn()
    for bone, surface in sorted(surfaces.items()):
        renderer.AddActor(_actor(surface, bone.style.rgb))
    _light(renderer)
    _aim(renderer, view, span, centre)
    colour, depth = _rendered(renderer, _SUPERSAMPLING * size)
    millimetre = _SUPERSAMPLING * size / span
    shaded = colour * _depth_shade(depth * _depth_range(span), depth < 1, millimetre)[..., None]
    blocks = shaded.reshape(size, _SUPERSAMPLING, size, _SUPERSAMPLING, 3)
    return np.rint(blocks.mean(axis=(1, 3))).astype(np.uint8)


def _actor(surface: Surface, rgb: tuple[float, float, float]) -> vtk.vtkActor:
    normals = vtk.vtkPolyDataNormals()
    normals.SetInputData(surface.to_vtk())
    # Cut ends keep their edge; everything rounder is shaded smoothly.
    normals.SetFeatureAngle(60.0)
    mapper = vtk.vtkPolyDataMapper()
    mapper.SetInputConnection(normals.GetOutputPort())
    actor = vtk.vtkActor()
    actor.SetMapper(mapper)
    looks = actor.GetProperty()
    looks.SetColor(*rgb)
    looks.SetInterpolationToPhong()
    looks.SetAmbient(0.05)
    looks.SetDiffuse(0.95)
    looks.SetSpecular(0.15)
    looks.SetSpecularPower(20)
    return actor


def _light(renderer: vtk.vtkRenderer) -> None:
    kit = vtk.vtkLightKit()
    kit.SetKeyLightIntensity(0.9)
    kit.SetKeyToFillRatio(2.5)
    kit.SetKeyToHeadRatio(4.0)
    kit.AddLightsToRenderer(renderer)


def _aim(renderer: vtk.vtkRenderer, view: ViewGeometry, span: float, centre: np.ndarray) -> None:
    up = -view.row_step / np.linalg.norm(view.row_step)
    right = view.column_step / np.linalg.norm(view.column_step)
    forward = np.cross(up, right)
    camera = renderer.GetActiveCamera()
    camera.ParallelProjectionOn()
    camera.SetParallelScale(span / 2)
    camera.SetFocalPoint(*centre)
    camera.SetPosition(*(centre - _CAMERA_DISTANCE * forward))
    camera.SetViewUp(*up)
    camera.SetClippingRange(
        _CAMERA_DISTANCE - _depth_range(span) / 2, _CAMERA_DISTANCE + _depth_range(span) / 2
    )


def _depth_range(span: float) -> float:
    """mm from the nearest to the farthest that is shown; a knee is less deep than high."""
    return 2 * span


def _depth_shade(depth: np.ndarray, bone: np.ndarray, millimetre: float) -> np.ndarray:
    """What to multiply the colours with, so that joint space and notch read as depth.

    Unsharp masking of the depth buffer (Luft, Colditz and Deussen, ACM Trans. Graph. 25(3), 2006):
    what lies behind its surroundings is darkened. VTK's own ambient occlusion differs from run to
    run.

    Args:
        depth: mm from the near plane, ``(rows, columns)``.
        bone: which pixels show bone; the background has no depth and casts no shade.
        millimetre: in pixels.
    """
    weight = _blurred(bone, millimetre)
    surroundings = _blurred(np.where(bone, depth, 0), millimetre)
    behind = depth - surroundings / np.maximum(weight, 1e-6)
    dark = _SHADE_STRENGTH * np.clip(behind / _SHADE_DEPTH, 0, 1)
    return 1 - np.where(bone, dark, 0)


def _blurred(values: np.ndarray, millimetre: float) -> np.ndarray:
    """Gaussian blur of ``(rows, columns)``, worked out before supersampling, for speed."""
    step = _SUPERSAMPLING
    coarse = values[::step, ::step].astype(np.float32)
    blurred = gaussian_filter(coarse, _SHADE_REACH * millimetre / step)
    return blurred.repeat(step, axis=0).repeat(step, axis=1)


def _rendered(renderer: vtk.vtkRenderer, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Colours ``(size, size, 3)`` uint8 and depth ``(size, size)``, 0 (near) to 1 (nothing)."""
    with _quiet_vtk():
        window = vtk.vtkRenderWindow()
        window.SetOffScreenRendering(1)
        window.SetMultiSamples(0)
        window.SetSize(size, size)
        window.AddRenderer(renderer)
        window.Render()
        colour, depth = _grabbed(window, depth=False), _grabbed(window, depth=True)
        window.Finalize()
    return colour, depth[..., 0]


def _grabbed(window: vtk.vtkRenderWindow, *, depth: bool) -> np.ndarray:
    """One buffer of a rendered window, ``(rows, columns, channels)``, row 0 at the top."""
    grab = vtk.vtkWindowToImageFilter()
    grab.SetInput(window)
    grab.ReadFrontBufferOff()
    grab.ShouldRerenderOff()
    if depth:
        grab.SetInputBufferTypeToZBuffer()
    grab.Update()
    image = grab.GetOutput()
    columns, rows, _ = image.GetDimensions()
    scalars = vtk_to_numpy(image.GetPointData().GetScalars())
    return scalars.reshape(rows, columns, -1)[::-1].copy()


@contextmanager
def _quiet_vtk() -> Iterator[None]:
    """VTK warns that there is no X server before it renders without one; nobody need read it."""
    shown = vtk.vtkObject.GetGlobalWarningDisplay()
    vtk.vtkObject.GlobalWarningDisplayOff()
    try:
        yield
    finally:
        vtk.vtkObject.SetGlobalWarningDisplay(shown)
