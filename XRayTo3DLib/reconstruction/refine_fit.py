"""Least squares between the rims of surfaces and the borders of silhouettes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.optimize import least_squares

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.imaging.geometry import BiplanarGeometry, ViewGeometry
from XRayTo3DLib.reconstruction.flexion_between import (
    GROUP_NUMBERS,
    GROUPS,
    Between,
    between_of,
    group_motion,
    group_of,
    pivot,
)
from XRayTo3DLib.reconstruction.refine_evidence import (
    SilhouetteField,
    pixel_size,
    rim_points,
    silhouette_field,
)
from XRayTo3DLib.reconstruction.refine_motion import (
    BONE_NUMBERS,
    VIEW_NUMBERS,
    Freedom,
    bone_motion,
    corrected_view,
    scales,
    with_derivatives,
)

_DEVIATION = 1.0
"""mm: how well a silhouette's border is estimated; beyond it, distances count linearly."""

_CORRELATION_LENGTH = 10.0
"""mm of a border whose errors go together and count as one observation."""

_MOST_ROUNDS = 8
_MOST_STEPS = 8
"""Of least squares in a round; the rims of the next round matter more than the last digit."""

_SETTLED = 0.04
"""Of a prior standard deviation (0.2 mm, 0.12°): with smaller changes the search ends."""

_LEAST_KEPT = 0.8
"""Share of the rims that must stay in sight: a bone pushed out of a film agrees with anything."""


_FIRST_GROUP = 2 * VIEW_NUMBERS
_FIRST_BONE = _FIRST_GROUP + len(GROUPS) * GROUP_NUMBERS


class _OutOfTime(Exception):  # noqa: N818 - an end, not an error
    """The deadline has passed."""


@dataclass(frozen=True)
class _Rim:
    """The outline of one bone on one film, and the silhouette that it should lie on.

    Attributes:
        bone: which.
        view: 0 frontal, 1 lateral.
        points: ``(n, 4)`` homogeneous RAS mm, on the surface as given.
        field: of the silhouette.
        weight: observations that a point counts for.
    """

    bone: Bone
    view: int
    points: np.ndarray
    field: SilhouetteField
    weight: float

    def distances(self, matrix: np.ndarray) -> np.ndarray:
        """mm ``(n,)``, when ``matrix`` (3×4) projects the surface as given."""
        return self.field.at(_dehomogenised(self.points @ matrix.T))[0]

    def slopes(self, matrix: np.ndarray) -> np.ndarray:
        """How the distances change with the matrix, ``(n, 12)``."""
        seen = self.points @ matrix.T
        pixels = _dehomogenised(seen)
        _, gradient = self.field.at(pixels)
        towards = np.column_stack([gradient, -np.einsum("ij,ij->i", gradient, pixels)])
        towards /= seen[:, 2:]
        return (towards[:, :, None] * self.points[:, None, :]).reshape(-1, 12)


def _dehomogenised(points: np.ndarray) -> np.ndarray:
    return points[:, :2] / points[:, 2:]


@dataclass(frozen=True)
class Stand:
    """Where films and bones stand, as corrections of where they were said to.

    Attributes:
        views: ``(2, 5)``, see :func:`corrected_view`.
        motions: 4×4 of each bone that is corrected, RAS mm.
        between: motions from the frontal to the lateral film.
    """

    views: np.ndarray
    motions: dict[Bone, np.ndarray]
    between: Between

    def seen(self, bone: Bone, view: int) -> np.ndarray:
        """The 4×4 motion from a bone as given to where it lay for a view."""
        motion = self.motions.get(bone, np.eye(4))
        return self.between.of(bone) @ motion if view else motion

    def corrected(self, geometry: BiplanarGeometry) -> BiplanarGeometry:
        """The geometry with the corrections."""
        if not self.views.any():
            return geometry
        frontal, lateral = map(corrected_view, geometry.views, self.views)
        return BiplanarGeometry(frontal, lateral)


class Scene:
    """Surfaces, detectors, and silhouettes on these.

    Args:
        surfaces: closed, RAS mm.
        geometry: of the films.
        silhouettes: ``(2, 4, rows, columns)``, 0–1.
        detectors: of the silhouettes.
        field_of_view: mm a side of the cube in which the surfaces were made.
        between: what is known of the motions from the frontal to the lateral film.
    """

    def __init__(
        self,
        surfaces: Mapping[Bone, Surface],
        geometry: BiplanarGeometry,
        silhouettes: np.ndarray,
        detectors: tuple[ViewGeometry, ViewGeometry],
        field_of_view: float,
        between: Between,
    ) -> None:
        self.between = between
        self.detectors = BiplanarGeometry(*detectors)
        self._surfaces = {b: surface for b, surface in surfaces.items() if len(surface.faces) > 0}
        self._field_of_view = field_of_view
        self._fields = {}
        for view, (detector, film) in enumerate(zip(detectors, geometry.views, strict=True)):
            for bone in self._surfaces:
                field = silhouette_field(silhouettes[view, bone - 1], detector, film)
                if field is not None:
                    self._fields[bone, view] = field

    def centre(self, bone: Bone) -> np.ndarray:
        """The middle of a surface's vertices, RAS mm."""
        return self._surfaces[bone].vertices.mean(axis=0)

    @cached_property
    def first_rims(self) -> list[_Rim]:
        """The rims when everything stands as it was said to."""
        return self.rims(self.first)

    @property
    def first(self) -> Stand:
        """That everything stands as it was said to."""
        return Stand(np.zeros((2, VIEW_NUMBERS)), {}, self.between)

    @property
    def pivot(self) -> np.ndarray | None:
        """About which the knee bends, RAS mm; None without a femur."""
        femur = self._surfaces.get(Bone.FEMUR)
        return None if femur is None else pivot(femur)

    def rims(self, stand: Stand) -> list[_Rim]:
        """Every outline that can be compared with a silhouette."""
        views = stand.corrected(self.detectors).views
        found = []
        for (bone, number), field in self._fields.items():
            view = views[number]
            motion = stand.seen(bone, number)
            points = rim_points(self._surfaces[bone], motion, view, self._field_of_view)
            points = np.column_stack([points, np.ones(len(points))])
            seen = field.trusts(_dehomogenised(points @ (view.matrix() @ motion).T))
            if seen.any():
                weight = float(pixel_size(view).mean()) / _CORRELATION_LENGTH
                found.append(_Rim(bone, number, points[seen], field, weight))
        return found


class Search:
    """Looks for the most probable stand, given rims and silhouettes.

    Attributes:
        best: the best stand so far; at first, that everything stands as it was said to.
        before: mean distance between rims and silhouettes at first, mm; NaN without any rim.
        after: the same of ``best``.
        cost: of ``best``: twice the negative logarithm of its probability, but for a constant;
            what the distances and what the priors cost.
    """

    def __init__(self, scene: Scene, freedom: Freedom, deadline: float) -> None:
        self._scene = scene
        self._deadline = deadline
        self.best = scene.first
        self._rims = scene.first_rims
        self._bones = sorted({rim.bone for rim in self._rims})
        distances = self._distances(self._rims, self.best)
        self.before, self._seen_before = _mean(distances), len(distances)
        self.after, self.cost = self.before, self._misfit(distances)
        if self._bones:
            self._centres = np.stack([scene.centre(bone) for bone in self._bones])
            about = scene.pivot
            if about is None and freedom is Freedom.JOINT:
                freedom = Freedom.NOTHING
            self._pivot = np.zeros(3) if about is None else about
            self._scales = scales(self._centres, freedom)

    def run(self, tell: Callable[[float], None]) -> str:
        """Search until the stand settles; why it ended, as :class:`Refinement` says.

        Args:
            tell: called with the fraction done after every round.
        """
        if not self._bones:
            return "no evidence"
        unknowns = np.zeros(self._scales.shape[1])
        stopped = "rounds"
        for number in range(_MOST_ROUNDS):
            try:
                found = self._solved(unknowns)
            except _OutOfTime:
                return "time limit"
            self._judge(found)
            tell((number + 1) / _MOST_ROUNDS)
            if np.abs(found - unknowns).max() < _SETTLED:
                stopped = "settled"
                break
            unknowns = found
        return stopped if self.after < self.before else "no better"

    def _judge(self, unknowns: np.ndarray) -> None:
        """Find the rims anew, and keep the stand if it is more probable than any before."""
        stand = self._stand(unknowns)
        self._rims = self._scene.rims(stand)
        distances = self._distances(self._rims, stand)
        cost, agreement = self._misfit(distances) + float(unknowns @ unknowns), _mean(distances)
        in_sight = len(distances) >= _LEAST_KEPT * self._seen_before
        if cost < self.cost and agreement < self.before and in_sight:
            self.best, self.after, self.cost = stand, agreement, cost

    def _distances(self, rims: list[_Rim], stand: Stand) -> np.ndarray:
        """mm of the points of all rims."""
        matrices = [view.matrix() for view in stand.corrected(self._scene.detectors).views]
        distances = [
            rim.distances(matrices[rim.view] @ stand.seen(rim.bone, rim.view)) for rim in rims
        ]
        return np.concatenate([np.zeros(0), *distances])

    def _misfit(self, distances: np.ndarray) -> float:
        """What the distances of the present rims cost."""
        weights = self._weights()
        squares = weights * (distances / _DEVIATION) ** 2
        return float(_soft(squares, weights)[0].sum())

    def _weights(self) -> np.ndarray:
        parts = [np.full(len(rim.points), rim.weight) for rim in self._rims]
        return np.concatenate([np.zeros(0), *parts])

    def _stand(self, unknowns: np.ndarray) -> Stand:
        views, groups, bones = self._numbers(unknowns)
        motions = map(bone_motion, self._centres, bones)
        moved = between_of(self._pivot, dict(enumerate(groups)))
        known = self._scene.between
        between = Between({bone: moved.of(bone) @ known.of(bone) for bone in moved.motions})
        return Stand(views, dict(zip(self._bones, motions, strict=True)), between)

    def _numbers(self, unknowns: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """``(2, 5)`` of the views, ``(2, 6)`` of the groups and ``(n, 7)`` of the bones."""
        views, groups, bones = np.split(self._scales @ unknowns, [_FIRST_GROUP, _FIRST_BONE])
        return (
            views.reshape(2, VIEW_NUMBERS),
            groups.reshape(-1, GROUP_NUMBERS),
            bones.reshape(-1, BONE_NUMBERS),
        )

    def _solved(self, unknowns: np.ndarray) -> np.ndarray:
        """Unknowns that fit the present rims better, from those given."""
        weights = self._weights()
        factors = np.sqrt(weights) / _DEVIATION

        def residuals(now: np.ndarray) -> np.ndarray:
            if time.perf_counter() > self._deadline:
                raise _OutOfTime
            return np.concatenate([factors * self._distances(self._rims, self._stand(now)), now])

        def jacobian(now: np.ndarray) -> np.ndarray:
            slopes = self._slopes(now)
            return np.concatenate([factors[:, None] * slopes, np.eye(len(now))])

        def loss(squares: np.ndarray) -> np.ndarray:
            return _soft(squares, weights)

        return least_squares(
            residuals, unknowns, jacobian, loss=loss, max_nfev=_MOST_STEPS, xtol=1e-4, ftol=1e-4
        ).x

    def _slopes(self, unknowns: np.ndarray) -> np.ndarray:
        """How the distances of all rims change with the unknowns, ``(n, m)``.

        Views, groups and bones come in only through one projection matrix for each rim.
        """
        views, groups, bones = self._numbers(unknowns)
        detectors = self._scene.detectors.views
        projections, motions, turns = [], [], []
        for detector, numbers in zip(detectors, views, strict=True):
            projections.append(with_derivatives(_projection_of(detector), numbers))
        for centre, numbers in zip(self._centres, bones, strict=True):
            motions.append(with_derivatives(_motion_of(centre), numbers))
        for numbers in groups:
            turns.append(with_derivatives(self._group_motion, numbers))
        blocks = []
        for rim in self._rims:
            bone = self._bones.index(rim.bone)
            (P, dP), (M, dM) = projections[rim.view], motions[bone]
            first = _FIRST_BONE + BONE_NUMBERS * bone
            rows = [
                *range(rim.view * VIEW_NUMBERS, (rim.view + 1) * VIEW_NUMBERS),
                *range(first, first + BONE_NUMBERS),
            ]
            group = group_of(rim.bone) if rim.view else None
            if group is None:
                changes = np.concatenate([dP @ M, P @ dM])
                matrix = P @ M
            else:
                G, dG = turns[group]
                K = self._scene.between.of(rim.bone)
                changes = np.concatenate([dP @ G @ K @ M, P @ G @ K @ dM, P @ dG @ K @ M])
                first = _FIRST_GROUP + GROUP_NUMBERS * group
                rows += range(first, first + GROUP_NUMBERS)
                matrix = P @ G @ K @ M
            blocks.append(rim.slopes(matrix) @ (changes.reshape(-1, 12).T @ self._scales[rows]))
        return np.concatenate(blocks)

    def _group_motion(self, numbers: np.ndarray) -> np.ndarray:
        return group_motion(self._pivot, numbers)


def _mean(distances: np.ndarray) -> float:
    return float(np.abs(distances).mean()) if len(distances) else float(np.nan)


def _projection_of(detector: ViewGeometry) -> Callable[[np.ndarray], np.ndarray]:
    return lambda numbers: corrected_view(detector, numbers).matrix()


def _motion_of(centre: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    return lambda numbers: bone_motion(centre, numbers)


def _soft(squares: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Value and two derivatives of the loss: linear beyond the deviation for rims, else square.

    Args:
        squares: of the residuals, those of the rims first.
        weights: of the rims.
    """
    values = np.stack([squares, np.ones_like(squares), np.zeros_like(squares)])
    root = np.sqrt(1.0 + squares[: len(weights)] / weights)
    values[:, : len(weights)] = [
        2.0 * weights * (root - 1.0),
        1.0 / root,
        -0.5 / (weights * root**3),
    ]
    return values
