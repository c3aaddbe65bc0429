"""How far a predicted bone is from the true one: Dice, ASSD, HD95 and the distances themselves.

What an empty bone scores is part of each metric: two empty ones agree (Dice 1, distances 0); one
empty beside one that is not has Dice 0 and infinite distances.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from XRayTo3DLib.anatomy.distance import inside_mask
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.grid import VolumeGrid

EMPTY = Surface(np.zeros((0, 3)), np.zeros((0, 3), dtype=np.int64))
"""The surface of a bone that is not there."""

DICE_SPACING_MM = 0.5
"""Voxels on which solids are compared: a third of the networks' own, so that theirs count."""

_AREA_PER_POINT_MM2 = 1.5
_FEWEST_POINTS = 4000

# Steps of the R2 sequence (Roberts 2018, "The unreasonable effectiveness of quasirandom
# sequences"): powers of the inverse of the plastic number.
_R2_STEPS = np.array([0.7548776662466927, 0.5698402909980532])


@dataclass(frozen=True)
class SurfaceDistances:
    """Distances between two surfaces, mm; all 0 when both are empty, infinite when one is.

    Attributes:
        assd: average symmetric surface distance, ½ (mean d(A→B) + mean d(B→A)); the "Chamfer
            distance" of Kasten et al. 2020.
        hd95: the larger of the two directed 95th percentiles (as in Nikolov et al., J. Med.
            Internet Res. 23(7), 2021).
        hausdorff: the largest distance.
        bias: mean signed distance of the predicted surface, positive outside the truth.
    """

    assd: float
    hd95: float
    hausdorff: float
    bias: float


def dice(a: np.ndarray, b: np.ndarray) -> float:
    """Dice coefficient 2|A∩B| / (|A| + |B|) of two masks of one shape; 1 when both are empty.

    Raises:
        XRayTo3DError: the shapes differ.
    """
    if a.shape != b.shape:
        raise XRayTo3DError(f"Masks of the shapes {a.shape} and {b.shape} cannot be compared.")
    a, b = a.astype(bool, copy=False), b.astype(bool, copy=False)
    total = np.count_nonzero(a) + np.count_nonzero(b)
    return 1.0 if total == 0 else 2.0 * np.count_nonzero(a & b) / total


def solid_dice(
    predicted: Surface,
    truth: Surface,
    region: VolumeGrid | None = None,
    *,
    spacing: float = DICE_SPACING_MM,
) -> float:
    """Dice of the solids within two closed surfaces, on voxels much finer than a network's.

    Args:
        predicted: closed, RAS mm.
        truth: closed, RAS mm.
        region: only what lies within its outer faces counts; everything when None.
        spacing: edge of the voxels, mm.
    """
    filled = [surface.vertices for surface in (predicted, truth) if len(surface.faces)]
    if not filled:
        return 1.0
    corners = np.concatenate(filled)
    low, high = corners.min(axis=0), corners.max(axis=0)
    if region is not None:
        half = 0.5 * region.spacing * np.array(region.shape[::-1])
        low, high = np.maximum(low, region.centre - half), np.minimum(high, region.centre + half)
        if np.any(low >= high):
            return 1.0
    grid = _grid_between(low, high, spacing)
    return dice(_solid(predicted, grid), _solid(truth, grid))


def _grid_between(low: np.ndarray, high: np.ndarray, spacing: float) -> VolumeGrid:
    counts = np.maximum(np.rint((high - low) / spacing), 1).astype(int)
    x, y, z = (low + high) / 2
    return VolumeGrid((counts[2], counts[1], counts[0]), spacing, (float(x), float(y), float(z)))


def _solid(surface: Surface, grid: VolumeGrid) -> np.ndarray:
    return inside_mask(surface, grid) if len(surface.faces) else np.zeros(grid.shape, dtype=bool)


def surface_distances(
    predicted: Surface,
    truth: Surface,
    region: VolumeGrid | None = None,
    *,
    margin: float | None = None,
    cut_planes: np.ndarray | None = None,
) -> SurfaceDistances:
    """Distances from points spread evenly over each surface to the triangles of the other.

    Points are left out where the surface is cut and not anatomy; the other surface they are
    measured to is always the complete one.

    Args:
        predicted: RAS mm.
        truth: RAS mm, at full resolution.
        region: the field of view. Points outside its outer faces, or within ``margin`` of them,
            are left out; none when None.
        margin: mm; an edge of the region's voxels by default (0 without a region).
        cut_planes: ``(P, 4)``, planes n·x + d = 0 (n a unit vector pointing away from the joint)
            at which a bone was cut: points beyond them or within ``margin`` are left out.
    """
    if margin is None:
        margin = region.spacing if region is not None else 0.0
    directed = []
    for moving, fixed in ((predicted, truth), (truth, predicted)):
        points = sample_surface(moving)
        points = points[_counted(points, region, margin, cut_planes)]
        directed.append((points, fixed))
    (from_predicted, _), (from_truth, _) = directed
    if len(from_predicted) == 0 and len(from_truth) == 0:
        return SurfaceDistances(0.0, 0.0, 0.0, 0.0)
    if len(from_predicted) == 0 or len(from_truth) == 0:
        return SurfaceDistances(np.inf, np.inf, np.inf, np.inf)
    signed = [signed_distances(points, fixed) for points, fixed in directed]
    unsigned = [np.abs(values) for values in signed]
    return SurfaceDistances(
        assd=float(np.mean([values.mean() for values in unsigned])),
        hd95=float(max(np.percentile(values, 95) for values in unsigned)),
        hausdorff=float(max(values.max() for values in unsigned)),
        bias=float(signed[0].mean()),
    )


def _counted(
    points: np.ndarray,
    region: VolumeGrid | None,
    margin: float,
    cut_planes: np.ndarray | None,
) -> np.ndarray:
    counted = np.ones(len(points), dtype=bool)
    if region is not None:
        counted &= away_from_faces(points, region, margin)
    if cut_planes is not None:
        planes = np.asarray(cut_planes, dtype=float).reshape(-1, 4)
        counted &= np.all(points @ planes[:, :3].T + planes[:, 3] < -margin, axis=1)
    return counted


def away_from_faces(points: np.ndarray, region: VolumeGrid, margin: float) -> np.ndarray:
    """Which RAS points ``(N, 3)`` lie in the region, more than ``margin`` mm from its faces."""
    half = 0.5 * region.spacing * np.array(region.shape[::-1]) - margin
    return np.all(np.abs(points - np.asarray(region.centre)) < half, axis=1)


def sample_surface(surface: Surface, area_per_point: float = _AREA_PER_POINT_MM2) -> np.ndarray:
    """Points spread evenly over a surface, ``(N, 3)`` RAS mm; always the same ones.

    Systematic sampling along the cumulated area, so that every triangle gets its share within one
    point; in the triangle, a low-discrepancy sequence folded onto it.

    Args:
        surface: RAS mm; an empty one gives no points.
        area_per_point: mm² for each point; a small surface gets more.
    """
    a, b, c = (surface.vertices[surface.faces[:, k]] for k in range(3))
    cumulated = np.cumsum(0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1))
    if len(cumulated) == 0 or cumulated[-1] == 0:
        return np.zeros((0, 3))
    count = max(_FEWEST_POINTS, int(np.ceil(cumulated[-1] / area_per_point)))
    steps = (np.arange(count) + 0.5) * (cumulated[-1] / count)
    chosen = np.minimum(np.searchsorted(cumulated, steps), len(cumulated) - 1)
    u, v = np.modf(0.5 + np.outer(_R2_STEPS, np.arange(count)))[0]
    folded = u + v > 1
    u, v = np.where(folded, 1 - u, u)[:, None], np.where(folded, 1 - v, v)[:, None]
    a, b, c = a[chosen], b[chosen], c[chosen]
    return a + u * (b - a) + v * (c - a)


def signed_distances(points: np.ndarray, surface: Surface) -> np.ndarray:
    """Distance of RAS points ``(N, 3)`` to the nearest point on the triangles, mm, ``(N,)``.

    Negative inside. The sign follows the normal at the nearest point (Bærentzen and Aanæs, IEEE
    TVCG 11(3), 2005), so a pinhole in the surface does not turn it over elsewhere.

    Raises:
        XRayTo3DError: the surface has no triangle.
    """
    if len(surface.faces) == 0:
        raise XRayTo3DError("There is no distance to an empty surface; check that the bone exists.")
    distance = vtk.vtkImplicitPolyDataDistance()
    distance.SetInput(surface.to_vtk())
    values = vtk.vtkDoubleArray()
    contiguous = np.ascontiguousarray(points, dtype=np.float64)
    distance.FunctionValue(numpy_to_vtk(contiguous), values)
    return vtk_to_numpy(values).copy()


@dataclass(frozen=True)
class BoneMetrics:
    """Dice of the solid and distances (mm) of the surface of one bone."""

    dice: float
    distances: SurfaceDistances


def compare_bone(
    predicted: Surface | None, truth: Surface | None, region: VolumeGrid | None = None
) -> BoneMetrics:
    """All metrics of one bone within the field of view; None or no triangle is an empty bone."""
    predicted, truth = predicted or EMPTY, truth or EMPTY
    return BoneMetrics(
        solid_dice(predicted, truth, region), surface_distances(predicted, truth, region)
    )
