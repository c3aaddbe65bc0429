"""The same point on every bone: a template mesh is bent onto each surface.

A similarity is found by iterated closest points; then the template is displaced by a Gaussian
process of ever shorter correlation length, whose posterior mean is worked out in a low-rank basis
(Lüthi, Gerig, Jud and Vetter, IEEE TPAMI 40(8), 2018). Points match by position and normal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import vtk
from scipy import linalg
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation
from skimage.measure import marching_cubes
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from XRayTo3DLib.anatomy.distance import signed_depth
from XRayTo3DLib.anatomy.joint import vertex_normals
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.grid import VolumeGrid

CUT_MARGIN = 5.0
"""mm from a cut end within which nothing is matched or measured."""

_CUT_DEPTH = 8.0
_CUT_SHARE = 0.3
_CUT_FLATNESS = 0.2
_CUT_STRAIGHTNESS = 0.999
"""An end is a cut if triangles so flat (mm) and so square to z (cosine), or a hole, fill at least
this share of the box around all that lies within so many mm of it: of a rounded end they do not."""

_NORMAL_WEIGHT = 8.0
"""mm that a unit difference of two normals counts as, where the nearest point is looked for."""

_JOINT_END = 50.0
"""mm of the bone next to its uncut end by which it is first placed."""

_TRIAL_STEPS = 8
_ALIGN_STEPS = 40
"""Iterations of each start, and of the better one."""

_TRIAL_REACH = 4.0
_ALIGN_REACH = 15.0
"""mm at which a match counts a quarter: when starts are compared, and when the bone is aligned."""

_AT_REST = 0.05
"""mm of movement that end the iterations."""

_CLEARLY_BETTER = 1.02
"""Factor by which a turned bone must match better than one that is not."""

_MEASURED_POINTS = 3000
_RELAXATIONS = 30


@dataclass(frozen=True)
class Level:
    """One correlation length of the displacement.

    Attributes:
        length: mm, of the Gaussian kernel.
        amplitude: mm, standard deviation of each component.
        noise: mm by which matched points may be off.
        reach: mm at which a match counts a quarter.
        steps: iterations.
    """

    length: float
    amplitude: float
    noise: float
    reach: float
    steps: int


COARSE_TO_FINE = (
    Level(70.0, 8.0, 1.0, 10.0, 12),
    Level(30.0, 3.0, 0.7, 6.0, 10),
    Level(12.0, 1.5, 0.4, 4.0, 8),
    Level(7.0, 0.7, 0.3, 3.0, 5),
)


class Cuts:
    """Where a surface ends for want of a scan: flat ends square to z, and holes.

    Args:
        surface: RAS mm, its long axis roughly along z.
    """

    def __init__(self, surface: Surface) -> None:
        rim = surface.vertices[_open_vertices(surface)]
        self.top = _cut_end(surface, rim, 1.0)
        self.bottom = _cut_end(surface, rim, -1.0)
        self._rim = cKDTree(rim) if len(rim) else None

    def clear(self, points: np.ndarray, margin: float = CUT_MARGIN) -> np.ndarray:
        """Which points ``(N, 3)`` lie farther than ``margin`` mm inside of every cut, ``(N,)``."""
        result = np.ones(len(points), dtype=bool)
        if self.top is not None:
            result &= points[:, 2] < self.top - margin
        if self.bottom is not None:
            result &= points[:, 2] > self.bottom + margin
        if self._rim is not None:
            result &= self._rim.query(points)[0] > margin
        return result


def _cut_end(surface: Surface, rim: np.ndarray, sign: float) -> float | None:
    """z of the cut that ends the surface above (+1) or below (−1), flat or open, if there is one.

    Args:
        surface: RAS mm.
        rim: ``(N, 3)``, its vertices beside holes.
        sign: of the direction.
    """
    corners = surface.vertices[surface.faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = 0.5 * np.linalg.norm(cross, axis=1)
    extreme = sign * (sign * surface.vertices[:, 2]).max()
    flat = np.all(np.abs(corners[..., 2] - extreme) < _CUT_FLATNESS, axis=1)
    flat &= 0.5 * sign * cross[:, 2] > _CUT_STRAIGHTNESS * area
    section = _box_area(surface.vertices, extreme)
    is_cut = max(area[flat].sum(), _box_area(rim, extreme)) > _CUT_SHARE * section
    return float(extreme) if is_cut else None


def _box_area(points: np.ndarray, height: float) -> float:
    """mm² of the box around points ``(N, 3)`` near a height."""
    near = points[np.abs(points[:, 2] - height) < _CUT_DEPTH]
    return float(np.ptp(near[:, :2], axis=0).prod()) if len(near) else 0.0


def _open_vertices(surface: Surface) -> np.ndarray:
    """Indices of the vertices on edges that belong to one triangle only."""
    edges = np.sort(surface.faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    # One number an edge is sorted many times faster than a pair.
    count = len(surface.vertices)
    unique, uses = np.unique(edges @ (count, 1), return_counts=True)
    return np.unique(np.divmod(unique[uses == 1], count))


class Matcher:
    """Finds the point of a bone that corresponds to a point near it: near, and facing alike.

    Args:
        surface: RAS mm.
    """

    def __init__(self, surface: Surface) -> None:
        corners = surface.vertices[surface.faces]
        cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        face_normals = cross / np.maximum(np.linalg.norm(cross, axis=1, keepdims=True), 1e-12)
        self.surface = surface
        self.cuts = Cuts(surface)
        self.points = np.concatenate([surface.vertices, corners.mean(axis=1)])
        self.normals = np.concatenate([vertex_normals(surface), face_normals])
        self.clear = self.cuts.clear(self.points)
        self._tree = cKDTree(_with_normals(self.points, self.normals))
        spread = np.sqrt(np.linalg.norm(cross, axis=1).mean())
        self.slack = float(max(1.5, 1.5 * spread))

    @property
    def pose(self) -> tuple[np.ndarray, np.ndarray]:
        """Point and direction by which a template is first laid on the bone, ``(3,)`` both."""
        cuts = self.cuts
        return _pose(self.surface.vertices, cuts.top is not None, cuts.bottom is not None)

    def match(self, points: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """Index into ``points`` of this bone for each point and unit normal, ``(N, 3)`` both."""
        return self._tree.query(_with_normals(points, normals))[1]

    def reaches(self, shape: Surface) -> np.ndarray:
        """Which vertices of a mesh on the bone are where the bone still is, ``(V,)`` bool."""
        nearest = self.match(shape.vertices, vertex_normals(shape))
        return self.cuts.clear(shape.vertices) & self.clear[nearest]

    @cached_property
    def spread_points(self) -> np.ndarray:
        """Indices of points far from cuts, spread over the bone: at most a few thousand."""
        chosen = np.flatnonzero(self.clear)
        few = np.random.default_rng(0).permutation(len(chosen))[:_MEASURED_POINTS]
        return chosen[np.sort(few)]


def _with_normals(points: np.ndarray, normals: np.ndarray) -> np.ndarray:
    return np.concatenate([points, _NORMAL_WEIGHT * normals], axis=1)


class Template:
    """A mesh that is bent onto bones; it keeps what depends on it alone.

    Args:
        surface: closed, RAS mm, evenly meshed.
        clear: ``(V,)`` bool, vertices that are not at a cut end; found when left out.
    """

    def __init__(self, surface: Surface, clear: np.ndarray | None = None) -> None:
        self.surface = surface
        self.clear = Cuts(surface).clear(surface.vertices) if clear is None else clear
        self._bases: dict[float, np.ndarray] = {}

    @classmethod
    def from_bone(cls, surface: Surface, vertex_count: int) -> Template:
        """A bone meshed anew, evenly, with about so many vertices."""
        mesh = remeshed(surface, vertex_count)
        # Meshing rounds the rim of a flat end: where the cuts are is read off the bone itself.
        return cls(mesh, Cuts(surface).clear(mesh.vertices))

    @property
    def pose(self) -> tuple[np.ndarray, np.ndarray]:
        """Point and direction by which it is first laid on a bone, ``(3,)`` both."""
        heights = self.surface.vertices[:, 2]
        top, bottom = (not self.clear[index] for index in (heights.argmax(), heights.argmin()))
        return _pose(self.surface.vertices, top, bottom)

    def basis(self, length: float) -> np.ndarray:
        """Low-rank basis ``(V, R)`` of a Gaussian kernel of this length and unit amplitude."""
        if length not in self._bases:
            self._bases[length] = smooth_basis(self.surface, length)
        return self._bases[length]


@dataclass(frozen=True)
class Correspondence:
    """A template bent onto a bone.

    Attributes:
        surface: the template's triangles, where the bone is; RAS mm.
        observed: ``(V,)`` bool, whether the bone reaches there; the rest is extrapolated.
        mean: mm, symmetric mean distance of the two surfaces away from cuts.
        percentile: mm below which 95 % of those distances lie.
    """

    surface: Surface
    observed: np.ndarray
    mean: float
    percentile: float


def remeshed(surface: Surface, vertex_count: int) -> Surface:
    """The closed surface with about ``vertex_count`` evenly spread vertices.

    Marching cubes on the signed distance, then relaxation of the vertices along the surface.
    """
    spacing = float(np.sqrt(1.5 * _area(surface) / vertex_count))
    low, high = surface.vertices.min(axis=0), surface.vertices.max(axis=0)
    size = np.ceil((high - low)[::-1] / spacing).astype(int) + 6
    centre = 0.5 * (low + high)
    shape = (int(size[0]), int(size[1]), int(size[2]))
    grid = VolumeGrid(shape, spacing, (float(centre[0]), float(centre[1]), float(centre[2])))
    index, faces, _, _ = marching_cubes(signed_depth(surface, grid, 2.0 * spacing), 0.0)
    result = Surface(grid.to_ras(index), faces.astype(np.int64))
    if result.volume < 0:
        result = Surface(result.vertices, result.faces[:, ::-1])
    matcher = Matcher(surface)
    neighbours = _neighbour_lists(result)
    for _ in range(_RELAXATIONS):
        middle = np.add.reduceat(result.vertices[neighbours[0]], neighbours[1], axis=0)
        middle /= np.diff(np.append(neighbours[1], len(neighbours[0])))[:, None]
        moved = 0.5 * (result.vertices + middle)
        found = matcher.match(moved, vertex_normals(Surface(moved, result.faces)))
        result = Surface(_pulled(moved, matcher, found), result.faces)
    return result


def _area(surface: Surface) -> float:
    a, b, c = (surface.vertices[surface.faces[:, k]] for k in range(3))
    return float(0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1).sum())


def _neighbour_lists(surface: Surface) -> tuple[np.ndarray, np.ndarray]:
    """Neighbours of every vertex one after the other, and where each vertex's begin."""
    edges = surface.faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
    count = len(surface.vertices)
    both = np.unique(np.concatenate([edges @ (count, 1), edges @ (1, count)]))
    vertex, neighbour = np.divmod(both, count)
    return neighbour, np.searchsorted(vertex, np.arange(count))


def smooth_basis(surface: Surface, length: float) -> np.ndarray:
    """Nyström's low-rank basis of a Gaussian kernel on the vertices.

    Args:
        surface: RAS mm.
        length: mm, of the kernel exp(−d²/2 length²).

    Returns:
        ``(V, R)``; its product with its transpose is nearly the kernel's matrix, so that
        standard normal coefficients give a field of unit variance.
    """
    points = surface.vertices
    wanted = int(np.clip(5.0 * _area(surface) / length**2, 40, 900))
    chosen = np.random.default_rng(0).permutation(len(points))[:wanted]
    nodes = points[np.sort(chosen)]
    values, vectors = linalg.eigh(_kernel(nodes, nodes, length))
    kept = values > 1e-3 * values[-1]
    return _kernel(points, nodes, length) @ (vectors[:, kept] / np.sqrt(values[kept]))


def _kernel(a: np.ndarray, b: np.ndarray, length: float) -> np.ndarray:
    squared = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2.0 * a @ b.T
    return np.exp(-0.5 * np.maximum(squared, 0.0) / length**2)


def similarity(
    source: np.ndarray, target: np.ndarray, weights: np.ndarray, *, scaled: bool
) -> np.ndarray:
    """Weighted least-squares motion from source to target points (Umeyama, IEEE TPAMI 13(4), 1991).

    Args:
        source: ``(N, 3)``.
        target: ``(N, 3)``.
        weights: ``(N,)``, not negative.
        scaled: whether the size may change.

    Returns:
        4×4 homogeneous matrix, never a reflection.
    """
    share = weights / weights.sum()
    source_middle, target_middle = share @ source, share @ target
    a, b = source - source_middle, target - target_middle
    u, values, vt = np.linalg.svd((b * share[:, None]).T @ a)
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    turn = (u * signs) @ vt
    scale = (values @ signs) / (share @ (a**2).sum(axis=1)) if scaled else 1.0
    matrix = np.eye(4)
    matrix[:3, :3] = scale * turn
    matrix[:3, 3] = target_middle - matrix[:3, :3] @ source_middle
    return matrix


def correspond(
    template: Template, surface: Surface, levels: Sequence[Level] = COARSE_TO_FINE
) -> Correspondence:
    """Bend the template onto a bone of the same side.

    The bone lies roughly as the template does, or turned half round about z. What it lacks because
    its shaft was cut shorter is not dragged to the cut: the displacement runs on smoothly.

    Args:
        template: with its bases.
        surface: the bone, RAS mm.
        levels: correlation lengths, coarse to fine.

    Raises:
        XRayTo3DError: the surface is so unlike the template that nothing matches.
    """
    matcher = Matcher(surface)
    vertices = transform_points(aligned(template, matcher), template.surface.vertices)
    for level in levels:
        vertices = _displaced(template, vertices, matcher, level)
    fitted = Surface(vertices, template.surface.faces)
    observed = matcher.reaches(fitted) & template.clear
    mean, percentile = surface_gap(fitted, matcher, template.clear)
    return Correspondence(fitted, observed, mean, percentile)


def surface_gap(fitted: Surface, matcher: Matcher, clear: np.ndarray) -> tuple[float, float]:
    """Symmetric mean distance to a bone and its 95th percentile, mm, away from the cuts of both.

    Args:
        fitted: a mesh on the bone.
        matcher: of the bone.
        clear: ``(V,)``, which vertices of the mesh are far from its own cuts.
    """
    there = fitted.vertices[clear & matcher.reaches(fitted)]
    few = np.random.default_rng(0).permutation(len(there))[:_MEASURED_POINTS]
    back = matcher.points[matcher.spread_points]
    back = back[clear[cKDTree(fitted.vertices).query(back)[1]]]
    one, other = distances(there[few], matcher.surface), distances(back, fitted)
    pooled = np.concatenate([one, other])
    return float(0.5 * (one.mean() + other.mean())), float(np.percentile(pooled, 95))


def distances(points: np.ndarray, surface: Surface) -> np.ndarray:
    """Distance, mm, of points ``(N, 3)`` to the triangles of a surface, ``(N,)``."""
    measure = vtk.vtkImplicitPolyDataDistance()
    measure.SetInput(surface.to_vtk())
    values = vtk.vtkDoubleArray()
    measure.FunctionValue(numpy_to_vtk(np.ascontiguousarray(points, dtype=np.float64)), values)
    return np.abs(vtk_to_numpy(values))


def transform_points(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points ``(N, 3)`` moved by a 4×4 homogeneous matrix."""
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def aligned(template: Template, matcher: Matcher) -> np.ndarray:
    """The similarity, 4×4, that lays the template on the bone, as iterated closest points find it.

    To begin with, the uncut ends and the shafts, or the middles of whole bones, are laid on each
    other, once as they are and once turned half round (the frames of files differ in that); what
    matches better is kept.
    """
    starts = [_placed(template, matcher, half_turn) for half_turn in (False, True)]
    tried = [_closest_points(template, matcher, start, _TRIAL_STEPS) for start in starts]
    as_it_is, turned = (
        _match(template, matcher, matrix, _TRIAL_REACH)[1].sum() for matrix in tried
    )
    best = tried[1] if turned > _CLEARLY_BETTER * as_it_is else tried[0]
    return _closest_points(template, matcher, best, _ALIGN_STEPS)


def upright(template: Template, surface: Surface) -> np.ndarray:
    """The shift, 4×4, that lays a template on a bone that stands as it does, wherever that is cut.

    The middles of the ends at which the template is not cut are laid on each other, or those of
    both where it is not cut, or cut at both ends.
    """
    heights = template.surface.vertices[:, 2]
    low, high = (template.clear[index] for index in (heights.argmin(), heights.argmax()))
    middles = []
    for points in (template.surface.vertices, surface.vertices):
        first, last = points.min(axis=0), points.max(axis=0)
        whole = low == high
        middles.append(
            0.5 * (first + last)
            if whole
            else _middle_near(points, first[2] if low else last[2], _JOINT_END)
        )
    matrix = np.eye(4)
    matrix[:3, 3] = middles[1] - middles[0]
    return matrix


def _placed(template: Template, matcher: Matcher, half_turn: bool) -> np.ndarray:
    """Rigid motion, 4×4, that lays anchor on anchor and shaft along shaft."""
    (start, along), (end, wanted) = template.pose, matcher.pose
    if half_turn:
        along = along * (-1.0, -1.0, 1.0)
    turn = _shortest_turn(along, wanted)
    matrix = np.eye(4)
    matrix[:3, :3] = turn @ np.diag([-1.0, -1.0, 1.0]) if half_turn else turn
    matrix[:3, 3] = end - matrix[:3, :3] @ start
    return matrix


def _shortest_turn(along: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Rotation, 3×3, from one unit vector to another about the axis square to both."""
    axis = np.cross(along, wanted)
    sine = np.linalg.norm(axis)
    angle = np.arctan2(sine, along @ wanted)
    return Rotation.from_rotvec(angle * axis / max(sine, 1e-12)).as_matrix()


def _closest_points(
    template: Template, matcher: Matcher, matrix: np.ndarray, steps: int
) -> np.ndarray:
    """A similarity improved by matching and alignment in turn until it rests."""
    for _ in range(steps):
        moved = transform_points(matrix, template.surface.vertices)
        pull = _match(template, matcher, matrix, _ALIGN_REACH)
        step = similarity(moved, *pull, scaled=True)
        matrix = step @ matrix
        if np.abs(transform_points(step, moved) - moved).max() < _AT_REST:
            break
    return matrix


def _match(
    template: Template, matcher: Matcher, matrix: np.ndarray, reach: float
) -> tuple[np.ndarray, np.ndarray]:
    moved = transform_points(matrix, template.surface.vertices)
    return pulls(Surface(moved, template.surface.faces), template.clear, matcher, reach)


def _pose(
    points: np.ndarray, top_is_cut: bool, bottom_is_cut: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The middle of the end that is not cut, and the direction from there to the cut, unit vector.

    The middle of the whole bone and the z axis where both ends are cut, or none is.
    """
    low, high = points.min(axis=0), points.max(axis=0)
    if top_is_cut == bottom_is_cut:
        return 0.5 * (low + high), np.array([0.0, 0.0, 1.0])
    joint, cut = (low[2], high[2]) if top_is_cut else (high[2], low[2])
    start, end = _middle_near(points, joint, _JOINT_END), _middle_near(points, cut, CUT_MARGIN)
    return start, (end - start) / np.linalg.norm(end - start)


def _middle_near(points: np.ndarray, height: float, reach: float) -> np.ndarray:
    """Middle of the box around points near a height, at that height."""
    near = points[np.abs(points[:, 2] - height) < reach]
    middle = 0.5 * (near.min(axis=0) + near.max(axis=0))
    middle[2] = height
    return middle


def _displaced(template: Template, start: np.ndarray, matcher: Matcher, level: Level) -> np.ndarray:
    """One level: the most probable smooth displacement, matched again until its steps are done."""
    basis = template.basis(level.length)
    ridge = (level.noise / level.amplitude) ** 2 * np.eye(basis.shape[1])
    vertices = start
    for _ in range(level.steps):
        shape = Surface(vertices, template.surface.faces)
        pull, weight = pulls(shape, template.clear, matcher, level.reach)
        weighted = basis * weight[:, None]
        gram = weighted.T @ basis + ridge
        coefficients = linalg.solve(gram, weighted.T @ (pull - start), assume_a="pos")
        vertices = start + basis @ coefficients
    return vertices


def pulls(
    shape: Surface, clear: np.ndarray, matcher: Matcher, reach: float
) -> tuple[np.ndarray, np.ndarray]:
    """Where a bone pulls each vertex of a mesh, ``(V, 3)``, and how strongly, ``(V,)``.

    Vertices look for their points on the bone, and points of the bone for their vertices, so that
    no part of it is left out. Nothing is pulled to a cut, and no cut pulls.

    Args:
        shape: the mesh, RAS mm.
        clear: ``(V,)``, which of its vertices are far from its own cuts.
        matcher: of the bone.
        reach: mm at which a match counts a quarter.

    Raises:
        XRayTo3DError: nothing matches.
    """
    vertices, normals = shape.vertices, vertex_normals(shape)
    found = matcher.match(vertices, normals)
    there = _pulled(vertices, matcher, found)
    weight = _trust(vertices, normals, matcher.points[found], matcher.normals[found], reach)
    weight *= clear & matcher.clear[found] & matcher.cuts.clear(vertices)
    total, total_weight = weight[:, None] * there, weight.copy()

    points = matcher.points[matcher.spread_points]
    point_normals = matcher.normals[matcher.spread_points]
    vertex = cKDTree(_with_normals(vertices, normals)).query(_with_normals(points, point_normals))[
        1
    ]
    own = vertices[vertex]
    back = own + _slid(points - own, normals[vertex], 2.0 * matcher.slack)
    weight = _trust(points, point_normals, own, normals[vertex], reach) * clear[vertex]
    weight *= 0.5 * len(vertices) / max(len(points), 1)
    np.add.at(total, vertex, weight[:, None] * back)
    np.add.at(total_weight, vertex, weight)
    if total_weight.sum() < 1e-3 * len(vertices):
        raise XRayTo3DError(
            "The surface matches the template nowhere; check which bone it is, and its side."
        )
    pulled = np.where(total_weight[:, None] > 0, total, vertices)
    return pulled / np.where(total_weight > 0, total_weight, 1.0)[:, None], total_weight


def _pulled(points: np.ndarray, matcher: Matcher, found: np.ndarray) -> np.ndarray:
    """Points moved onto the planes of the matches; along them only what is more than the slack."""
    return points + _slid(matcher.points[found] - points, matcher.normals[found], matcher.slack)


def _slid(offset: np.ndarray, normals: np.ndarray, slack: float) -> np.ndarray:
    normal_part = np.einsum("ij,ij->i", offset, normals)[:, None] * normals
    along = offset - normal_part
    length = np.linalg.norm(along, axis=1, keepdims=True)
    return normal_part + along * np.maximum(0.0, 1.0 - slack / np.maximum(length, 1e-9))


def _trust(
    a: np.ndarray, a_normals: np.ndarray, b: np.ndarray, b_normals: np.ndarray, reach: float
) -> np.ndarray:
    """Weight of each match, 0–1: near and facing alike (Geman and McClure's function)."""
    squared = ((a - b) ** 2).sum(axis=1)
    facing = np.einsum("ij,ij->i", a_normals, b_normals)
    return np.clip((facing - 0.3) / 0.4, 0.0, 1.0) / (1.0 + squared / reach**2) ** 2
