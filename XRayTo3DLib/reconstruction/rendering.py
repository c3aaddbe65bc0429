"""Pictures of the bones in 3D, rendered off screen."""

from __future__ import annotations

import numpy as np
import vtk
from scipy.ndimage import gaussian_filter
from vtk.util.numpy_support import vtk_to_numpy

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.imaging.geometry import ViewGeometry
from XRayTo3DLib.reconstruction.z_buffer import nearest_triangles

_BOTTOM = (0.10, 0.11, 0.13)
_TOP = (0.24, 0.26, 0.29)
_AMBIENT = 0.07
_GLEAM = 0.12
_GLOSS = 24
_LIGHTS = (((-0.7, -0.5, -1.0), 0.68), ((0.4, 0.8, -0.9), 0.26), ((0.0, 0.0, -1.0), 0.18))
"""Key, fill and head light: direction (down, right, forward) towards it, and strength."""
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
        surfaces: RAS mm; one without triangles is left out.
        view: its rows and columns are those of the picture.
        size: pixels a side.
        span: mm a side.
        centre: RAS mm of the middle of the picture, ``(3,)``.

    Returns:
        ``(size, size, 3)`` uint8 sRGB, row 0 at the top.
    """
    fine = _SUPERSAMPLING * size
    picture = _background(fine)
    colour, depth = _drawn(surfaces, _axes(view), fine, span, centre)
    bone = np.isfinite(depth)
    shade = _depth_shade(np.where(bone, depth, 0.0), bone, fine / span)
    picture[bone] = (colour * shade[..., None])[bone]
    blocks = picture.reshape(size, _SUPERSAMPLING, size, _SUPERSAMPLING, 3)
    return np.rint(255.0 * np.clip(blocks.mean(axis=(1, 3)), 0.0, 1.0)).astype(np.uint8)


def _axes(view: ViewGeometry) -> np.ndarray:
    """Unit vectors down, right and forward of the picture, as rows."""
    down = view.row_step / np.linalg.norm(view.row_step)
    right = view.column_step / np.linalg.norm(view.column_step)
    return np.stack([down, right, np.cross(right, down)])


def _background(size: int) -> np.ndarray:
    """Dark below, less dark above."""
    share = np.linspace(0.0, 1.0, size)[:, None, None]
    colour = (1.0 - share) * np.array(_TOP) + share * np.array(_BOTTOM)
    return np.broadcast_to(colour, (size, size, 3)).copy()


def _drawn(
    surfaces: dict[Bone, Surface], axes: np.ndarray, size: int, span: float, centre: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Colours ``(size, size, 3)`` and depth ``(size, size)`` in mm, infinite where nothing is."""
    colour, depth = np.zeros((size, size, 3)), np.full((size, size), np.inf)
    for bone, surface in sorted(surfaces.items()):
        if len(surface.faces) == 0:
            continue
        vertices, normals, faces = _with_normals(surface)
        place = (vertices - centre) @ axes.T
        position = place[:, :2] * (size / span) + (size - 1) / 2.0
        seen = nearest_triangles(position, place[:, 2], faces, (size, size))
        distance = seen.interpolated(place[:, 2])
        front = distance < depth[seen.row, seen.column]
        row, column = seen.row[front], seen.column[front]
        depth[row, column] = distance[front]
        lit = _lit(seen.interpolated(normals @ axes.T)[front], np.array(bone.style.rgb))
        colour[row, column] = lit
    return colour, depth


def _with_normals(surface: Surface) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices, their normals, faces: cut ends keep their edge, all else is shaded smoothly."""
    split = vtk.vtkPolyDataNormals()
    split.SetInputData(surface.to_vtk())
    split.SetFeatureAngle(60.0)
    split.ConsistencyOff()
    split.Update()
    output = split.GetOutput()
    normals = vtk_to_numpy(output.GetPointData().GetNormals()).astype(float)
    shown = Surface.from_vtk(output)
    return shown.vertices, normals, shown.faces


def _lit(normals: np.ndarray, rgb: np.ndarray) -> np.ndarray:
    """Phong's reflection under the lights of :data:`_LIGHTS`, ``(N, 3)``."""
    unit = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    result = np.full((len(unit), 3), _AMBIENT) * rgb
    for direction, strength in _LIGHTS:
        towards = np.array(direction) / np.linalg.norm(direction)
        facing = np.clip(unit @ towards, 0.0, 1.0)
        # Half-way between light and viewer, who looks along +forward.
        half = towards + (0.0, 0.0, -1.0)
        gleam = np.clip(unit @ (half / np.linalg.norm(half)), 0.0, 1.0) ** _GLOSS
        result += strength * (facing[:, None] * rgb + _GLEAM * (facing * gleam)[:, None])
    return np.clip(result, 0.0, 1.0)


def _depth_shade(depth: np.ndarray, bone: np.ndarray, millimetre: float) -> np.ndarray:
    """What to multiply the colours with, so that joint space and notch read as depth.

    Unsharp masking of the depth buffer (Luft, Colditz and Deussen, ACM Trans. Graph. 25(3), 2006):
    what lies behind its surroundings is darkened.

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
