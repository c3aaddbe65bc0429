"""Hidden surfaces removed by a z-buffer in NumPy, for pictures that need no OpenGL.

VTK 9 ends the whole process where it renders on a machine that has neither EGL nor OSMesa, and its
pixels differ from driver to driver; these do neither.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Fragments:
    """What is seen: one point of one triangle for each of N covered pixels.

    Attributes:
        row: ``(N,)`` of the pixel.
        column: ``(N,)`` of the pixel.
        corners: ``(N, 3)`` vertices of the triangle.
        weights: ``(N, 3)`` barycentric weights of the point.
    """

    row: np.ndarray
    column: np.ndarray
    corners: np.ndarray
    weights: np.ndarray

    def interpolated(self, values: np.ndarray) -> np.ndarray:
        """Values ``(V, …)`` of the vertices at the points that are seen, ``(N, …)``."""
        return np.einsum("ij,ij...->i...", self.weights, values[self.corners])


def nearest_triangles(
    position: np.ndarray, depth: np.ndarray, faces: np.ndarray, shape: tuple[int, int]
) -> Fragments:
    """The nearest point of a surface at each pixel centre.

    Args:
        position: ``(V, 2)`` row and column of each vertex, pixels.
        depth: ``(V,)`` distance of each vertex from the viewer.
        faces: ``(F, 3)``; those whose outer side is turned away are not drawn.
        shape: (rows, columns) of the picture; what lies beside it is left out.
    """
    faces = _towards_viewer(position, faces)
    face, row, column = _candidates(position, faces, shape)
    first, second, third = (position[faces[:, k]] for k in range(3))
    per_area = 1.0 / _cross(second - first, third - first)
    down, across = row - first[face, 0], column - first[face, 1]
    v = _weight(third - first, -per_area, face, down, across)
    w = _weight(second - first, per_area, face, down, across)
    hit = np.flatnonzero((v >= -1e-9) & (w >= -1e-9) & (v + w <= 1 + 1e-9))
    weights = np.stack([1 - v[hit] - w[hit], v[hit], w[hit]], axis=1)
    corners = faces[face[hit]]
    pixel = row[hit] * shape[1] + column[hit]
    distance = np.einsum("ij,ij->i", weights, depth[corners])
    farthest_first = np.argsort(-distance, kind="stable")
    nearest = np.full(shape[0] * shape[1], -1)
    # Of several values assigned to one pixel NumPy keeps the last.
    nearest[pixel[farthest_first]] = farthest_first
    seen = np.flatnonzero(nearest >= 0)
    chosen = nearest[seen]
    return Fragments(*np.divmod(seen, shape[1]), corners[chosen], weights[chosen])


def _towards_viewer(position: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """The triangles whose outer side is seen: rows running down turn them clockwise."""
    a, b, c = (position[faces[:, k]] for k in range(3))
    return faces[_cross(b - a, c - a) > 1e-9]


def _candidates(
    position: np.ndarray, faces: np.ndarray, shape: tuple[int, int]
) -> tuple[np.ndarray, ...]:
    """Every pixel of every triangle's bounding box: its triangle, row and column."""
    corners = position[faces]
    low = np.maximum(np.ceil(corners.min(axis=1)).astype(int), 0)
    high = np.minimum(np.floor(corners.max(axis=1)).astype(int), np.array(shape) - 1)
    size = np.maximum(high - low + 1, 0)
    counts = size.prod(axis=1)
    face = np.repeat(np.arange(len(faces)), counts)
    within = np.arange(len(face)) - np.repeat(np.cumsum(counts) - counts, counts)
    row, column = np.divmod(within, size[face, 1])
    return face, low[face, 0] + row, low[face, 1] + column


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]


def _weight(
    side: np.ndarray, per_area: np.ndarray, face: np.ndarray, down: np.ndarray, across: np.ndarray
) -> np.ndarray:
    """Barycentric weight at offsets from each triangle's first corner: side × offset / area."""
    slopes = side * per_area[:, None]
    return slopes[face, 0] * across - slopes[face, 1] * down
