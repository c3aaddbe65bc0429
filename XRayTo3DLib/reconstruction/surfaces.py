"""Closed surfaces of the bones, with sub-voxel accuracy, from class probabilities."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from skimage.measure import marching_cubes

from XRayTo3DLib.anatomy.bones import CLASS_COUNT, Bone
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.grid import VolumeGrid

MINIMUM_VOLUME_MM3 = 200.0
"""A smaller crumb is no bone: the part of a child's fibula in view has ten times as much."""

_PROBABILITY_FLOOR = 0.01
"""Keeps the logarithm finite. At this height the surface is good to a few hundredths of a voxel
both for logits that are linear across it and for shares of voxels covered."""

_LEAST_FIELD = 1e-3
"""Keeps vertices off the voxel centres, where several would fall together."""

_SMOOTHING_ITERATIONS = 20


def extract_surfaces(
    probabilities: np.ndarray,
    grid: VolumeGrid,
    *,
    smoothing_mm: float | None = None,
    minimum_volume_mm3: float = MINIMUM_VOLUME_MM3,
) -> dict[Bone, Surface]:
    """The outer surface of the largest piece of each bone.

    The surface lies where the bone and its strongest rival are equally probable. It is found by
    marching cubes (Lewiner et al., J. Graph. Tools 8(2), 2003) on the logarithm of their ratio,
    which for a softmax is the difference of two logits and nearly linear across a surface. A bone
    that leaves the grid is closed by a flat end on the grid's outer face. Cavities inside a bone
    are filled.

    Smoothing is off by default: on the smooth probabilities of a network it gains nothing.

    Args:
        probabilities: ``(5, z, y, x)``, background and the bones in label order.
        grid: where the voxels are, RAS mm.
        smoothing_mm: wavelength, mm; ripples shorter than this are taken off the surface by a
            windowed sinc filter (Taubin et al., ECCV 1996). None leaves the surface as it is.
        minimum_volume_mm3: a bone whose largest piece is smaller than this, mm³, is not there.

    Returns:
        Closed surfaces, RAS mm, faces outwards. A bone that is not there is absent.

    Raises:
        XRayTo3DError: the array does not fit the grid, or is not finite.
    """
    _check(probabilities, grid)
    surfaces = {}
    for bone in Bone:
        box = _box(probabilities[bone] > 1.0 / CLASS_COUNT)
        if box is None:
            continue
        surface = _largest_piece(_isosurface(probabilities, bone, box, grid))
        if surface.volume < minimum_volume_mm3:
            continue
        surfaces[bone] = surface if smoothing_mm is None else _smoothed(surface, smoothing_mm, grid)
    return surfaces


def _check(probabilities: np.ndarray, grid: VolumeGrid) -> None:
    expected = (CLASS_COUNT, *grid.shape)
    if probabilities.shape != expected:
        raise XRayTo3DError(
            f"The probabilities have the shape {probabilities.shape}, but the grid needs {expected}"
            "; give one volume for the background and one for each bone."
        )
    if not np.isfinite(probabilities.sum(dtype=np.float64)):
        raise XRayTo3DError(
            "The probabilities hold NaN or infinity; check the radiographs and the weights."
        )


def _box(mask: np.ndarray) -> tuple[slice, slice, slice] | None:
    """The mask's bounding box, one voxel wider where the grid allows; None when it is empty."""
    slices = []
    for other_axes in ((1, 2), (0, 2), (0, 1)):
        inside = np.flatnonzero(np.any(mask, axis=other_axes))
        if len(inside) == 0:
            return None
        slices.append(slice(max(int(inside[0]) - 1, 0), int(inside[-1]) + 2))
    return slices[0], slices[1], slices[2]


def _isosurface(
    probabilities: np.ndarray, bone: Bone, box: tuple[slice, slice, slice], grid: VolumeGrid
) -> Surface:
    field = _signed_field(probabilities[:, box[0], box[1], box[2]], bone)
    # The mirror image of the field beyond the box puts the zero half a voxel out: on the grid's
    # outer face where the bone leaves the grid. Elsewhere the rim of the box is negative anyhow.
    padded = np.pad(field, 1, mode="edge")
    inner = np.zeros(padded.shape, dtype=bool)
    inner[1:-1, 1:-1, 1:-1] = True
    np.copyto(padded, -np.abs(padded), where=~inner)
    if padded.max() < 0:
        return Surface(np.zeros((0, 3)), np.zeros((0, 3), dtype=np.int64))
    # scikit-image's faces are clockwise seen from outside in (z, y, x), so outwards in (x, y, z).
    vertices, faces, _, _ = marching_cubes(padded, 0.0)
    start = np.array([part.start for part in box]) - 1
    return Surface(grid.to_ras(vertices + start), faces.astype(np.int64))


def _signed_field(probabilities: np.ndarray, bone: Bone) -> np.ndarray:
    """Logarithm of bone against strongest rival, ``(z, y, x)``; positive in the bone, never 0."""
    rivals = [probabilities[k] for k in range(CLASS_COUNT) if k != bone]
    strongest = np.maximum.reduce(rivals)
    ratio = (probabilities[bone] + _PROBABILITY_FLOOR) / (strongest + _PROBABILITY_FLOOR)
    field = np.log(ratio)
    return np.where(field > 0, np.maximum(field, _LEAST_FIELD), np.minimum(field, -_LEAST_FIELD))


def _largest_piece(surface: Surface) -> Surface:
    """The connected shell that encloses most; the shell of a cavity encloses less than nothing."""
    if len(surface.faces) == 0:
        return surface
    count = len(surface.vertices)
    edges = surface.faces[:, [0, 1, 1, 2]].reshape(-1, 2)
    links = coo_matrix((np.ones(len(edges), bool), (edges[:, 0], edges[:, 1])), (count, count))
    pieces, piece = connected_components(links, directed=False)
    if pieces == 1:
        return surface
    a, b, c = (surface.vertices[surface.faces[:, k]] for k in range(3))
    volumes = np.bincount(piece[surface.faces[:, 0]], np.einsum("ij,ij->i", a, np.cross(b, c)))
    kept = piece == volumes.argmax()
    renumbered = np.cumsum(kept) - 1
    return Surface(surface.vertices[kept], renumbered[surface.faces[kept[surface.faces[:, 0]]]])


def _smoothed(surface: Surface, wavelength: float, grid: VolumeGrid) -> Surface:
    """Without ripples shorter than ``wavelength`` mm; flat ends stay on the grid's faces."""
    # Loading the filters takes a fifth of a second that only smoothing should cost.
    from vtkmodules.vtkFiltersCore import vtkWindowedSincPolyDataFilter

    ends = surface.vertices[surface.faces]
    edge = float(np.linalg.norm(ends - np.roll(ends, 1, axis=1), axis=2).mean())
    smoother = vtkWindowedSincPolyDataFilter()
    smoother.SetInputData(surface.to_vtk())
    smoother.SetNumberOfIterations(_SMOOTHING_ITERATIONS)
    # The graph Laplacian's eigenvalue of a wave along a row of vertices ``edge`` mm apart.
    smoother.SetPassBand(1.0 - np.cos(min(np.pi, 2.0 * np.pi * edge / wavelength)))
    smoother.FeatureEdgeSmoothingOff()
    smoother.BoundarySmoothingOff()
    smoother.NormalizeCoordinatesOn()
    smoother.Update()
    vertices = Surface.from_vtk(smoother.GetOutput()).vertices
    half = 0.5 * grid.spacing * np.array(grid.shape[::-1])
    offset = surface.vertices - np.asarray(grid.centre)
    on_face = np.abs(offset) > half - 1e-3 * grid.spacing
    vertices = np.where(on_face, surface.vertices, vertices)
    return Surface(np.clip(vertices, grid.centre - half, grid.centre + half), surface.faces)
