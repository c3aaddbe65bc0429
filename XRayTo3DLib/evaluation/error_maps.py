"""Figures of where on each bone a reconstruction is off, and by how much."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.joint import vertex_normals
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.evaluation.metrics import away_from_faces, signed_distances
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.radiograph import Side
from XRayTo3DLib.reconstruction.z_buffer import nearest_triangles

DEFAULT_LIMIT_MM = 3.0
_UNCOUNTED_RGB = (0.55, 0.55, 0.55)
_PICTURE_PIXELS = 400
_PANEL_ASPECT = 0.85
_BAR_MM = 20
_OVERSAMPLING = 2
_AMBIENT = 0.35


def vertex_errors(
    predicted: Surface, truth: Surface, region: VolumeGrid | None = None
) -> np.ndarray:
    """Signed distance of each predicted vertex to the truth, mm, ``(V,)``; positive outside.

    NaN within a voxel of the region's faces, where the bone was cut.
    """
    errors = signed_distances(predicted.vertices, truth)
    if region is not None:
        errors[~away_from_faces(predicted.vertices, region, region.spacing)] = np.nan
    return errors


def error_map_figure(
    predicted: Mapping[Bone, Surface],
    truth: Mapping[Bone, Surface],
    region: VolumeGrid | None = None,
    *,
    side: Side = Side.RIGHT,
    limit: float = DEFAULT_LIMIT_MM,
    title: str | None = None,
) -> Figure:
    """Each bone from the front and from the outer side, coloured by its signed error.

    Red stands out of the true bone, blue lies within it; grey is not counted (the cut ends).

    Args:
        predicted: surfaces, RAS mm, in the frame of the truth.
        truth: surfaces at full resolution, RAS mm; only bones found in both are drawn.
        region: the field of view.
        side: which knee, to know its outer side.
        limit: mm at the ends of the colour bar.
        title: above the figure.

    Raises:
        XRayTo3DError: no bone is in both.
    """
    bones = [bone for bone in Bone if bone in predicted and bone in truth]
    if not bones:
        raise XRayTo3DError("There is no bone both in the reconstruction and in the truth to draw.")
    outward = 1.0 if side is Side.RIGHT else -1.0
    # Directions in which the picture's columns grow and in which the viewer looks.
    views = {
        "from the front": ((-1.0, 0.0, 0.0), (0.0, -1.0, 0.0)),
        "from the outer side": ((0.0, outward, 0.0), (-outward, 0.0, 0.0)),
    }
    figure = Figure(figsize=(2.4 * len(bones) + 1.4, 6.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(views), len(bones), squeeze=False)
    colours = ScalarMappable(Normalize(-limit, limit), "RdBu_r")
    for column, bone in enumerate(bones):
        errors = vertex_errors(predicted[bone], truth[bone], region)
        rgb = np.where(np.isnan(errors)[:, None], _UNCOUNTED_RGB, colours.to_rgba(errors)[:, :3])
        for row, (right, towards) in enumerate(views.values()):
            picture, extent = render(predicted[bone], rgb, right, towards)
            _show(axes[row, column], picture, extent, _span(predicted[bone]))
        counted = errors[np.isfinite(errors)]
        error = f"mean |error| {np.abs(counted).mean():.2f} mm" if len(counted) else "not counted"
        axes[0, column].set_title(f"{bone.title}\n{error}", fontsize=10)
    for row, name in enumerate(views):
        axes[row, 0].set_ylabel(name)
    figure.colorbar(colours, ax=axes, extend="both", shrink=0.8, label="outside the true bone, mm")
    if title is not None:
        figure.suptitle(title)
    return figure


def _span(surface: Surface) -> float:
    """Height, mm, of a panel into which the bone fits from any side."""
    width, depth, height = np.ptp(surface.vertices, axis=0)
    return 1.04 * max(height, max(width, depth) / _PANEL_ASPECT)


def write_error_maps(figure: Figure, path: str | Path) -> None:
    """Write the figure as PNG; the same figure gives the same bytes."""
    figure.savefig(path, format="png", dpi=150, metadata={"Software": None})


def _show(
    axes: Axes, picture: np.ndarray, extent: tuple[float, float, float, float], span: float
) -> None:
    left, right, bottom, top = extent
    across, along = (left + right) / 2, (bottom + top) / 2
    axes.imshow(picture, extent=extent, interpolation="antialiased")
    half = span * _PANEL_ASPECT / 2
    axes.set_xlim(across - half, across + half)
    axes.set_ylim(along - span / 2, along + span / 2)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    start, low = across - half, along - span / 2
    axes.plot([start, start + _BAR_MM], [low, low], color="0.2", linewidth=2, clip_on=False)
    axes.annotate(f"{_BAR_MM} mm", (start, low), (0, 3), textcoords="offset points", fontsize=7)


def render(
    surface: Surface,
    rgb: np.ndarray,
    right: tuple[float, float, float],
    towards: tuple[float, float, float],
    pixels: int = _PICTURE_PIXELS,
) -> tuple[np.ndarray, tuple[float, float, float, float]]:
    """A shaded picture of a surface in parallel projection, lit from the viewer.

    Args:
        surface: RAS mm, at least one triangle.
        rgb: colour of each vertex, ``(V, 3)``, 0–1.
        right: direction in which columns grow, unit vector.
        towards: direction of view, unit vector at right angles to it.
        pixels: length of the picture's longer side.

    Returns:
        ``(rows, columns, 4)`` RGBA 0–1, transparent where there is no surface, and its extent
        (left, right, bottom, top), mm.
    """
    right_axis, view_axis = np.asarray(right), np.asarray(towards)
    up = np.cross(right_axis, view_axis)
    across, along = surface.vertices @ right_axis, surface.vertices @ up
    extent = (across.min(), across.max(), along.min(), along.max())
    size = max(extent[1] - extent[0], extent[3] - extent[2]) / (pixels * _OVERSAMPLING)
    shape = tuple(
        _OVERSAMPLING * (int(np.ceil((high - low) / (size * _OVERSAMPLING))) + 1)
        for low, high in (extent[2:], extent[:2])
    )
    position = np.stack([(extent[3] - along) / size, (across - extent[0]) / size], axis=1)
    depth = surface.vertices @ view_axis
    light = _AMBIENT + (1 - _AMBIENT) * np.clip(-vertex_normals(surface) @ view_axis, 0, 1)
    seen = nearest_triangles(position, depth, surface.faces, (shape[0], shape[1]))
    picture = np.zeros((*shape, 4))
    picture[seen.row, seen.column, :3] = seen.interpolated(rgb * light[:, None])
    picture[seen.row, seen.column, 3] = 1.0
    coarse = picture.reshape(
        shape[0] // _OVERSAMPLING, _OVERSAMPLING, shape[1] // _OVERSAMPLING, _OVERSAMPLING, 4
    ).mean(axis=(1, 3))
    # Colours were premultiplied by the cover; a picture file wants them plain.
    cover = coarse[..., 3:]
    coarse[..., :3] = np.divide(coarse[..., :3], cover, out=coarse[..., :3], where=cover > 0)
    bottom, far = extent[3] - shape[0] * size, extent[0] + shape[1] * size
    return np.clip(coarse, 0, 1), (float(extent[0]), float(far), float(bottom), float(extent[3]))
