"""How the shape of one bone varies between people: a mean, modes, and what few people leave open.

Modes are the principal components of corresponding points after rigid alignment (size is kept: it
goes with shape). A model of a few people reaches too few shapes, so a Gaussian process of smooth
displacement is added to its covariance, as strong as what is missing from a model of all people
but one (Lüthi, Gerig, Jud and Vetter, IEEE TPAMI 40(8), 2018).
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.npyio import NpzFile
from scipy import linalg
from scipy.optimize import nnls
from scipy.spatial.transform import Rotation

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.correspondence import (
    Matcher,
    Template,
    aligned,
    pulls,
    similarity,
    smooth_basis,
    transform_points,
    upright,
)
from XRayTo3DLib.anatomy.joint import vertex_normals
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.errors import InputFileError, XRayTo3DError

MODEL_LICENCE = "CC BY-NC-SA 4.0"
"""The strictest licence of the bones that models are learnt from."""

SMOOTH_LENGTHS = (90.0, 35.0, 12.0)
"""mm, correlation lengths of the Gaussian process."""

_FORMAT = "XRayTo3D shape model 1"
_MEAN_TYPE = np.float32
_MODE_TYPE = np.float16
_MOST_MODES = 20
_LEAST_SHARE = 1e-3
"""Share of the variance below which a mode is noise."""

_EXTREME = 2.5
"""Standard deviations at which drawn coefficients are cut off."""

_ALIGNMENTS = 10
_FIT_STEPS = ((15.0, 1.0, 8), (8.0, 0.7, 8), (4.0, 0.5, 10))
"""Reach of a match (mm), noise of matched points (mm) and iterations of a fit, in turn."""

_QUICK_STEPS = ((15.0, 1.0, 3), (6.0, 0.7, 4))
"""The same of a quick fit."""

_PAIR_SHARE = 0.03
"""Weight of matched pairs beside that of their distance along the normal, for the pose."""

_PROBES = 500
_FIELDS = 30
_BINS = np.array([0.0, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 90.0])
"""How the spatial covariance of what a model leaves is measured: vertices, simulated fields, and
limits of the distances in mm."""


@dataclass(frozen=True)
class Fit:
    """A bone as a model explains it.

    Attributes:
        coefficients: in standard deviations, as :meth:`ShapeModel.reconstructed` takes them.
        pose: 4×4 rigid motion from the model's frame to the bone.
    """

    coefficients: np.ndarray
    pose: np.ndarray


@dataclass(frozen=True)
class ShapeModel:
    """The shapes of one bone of right knees.

    Attributes:
        bone: which.
        mean: ``(V, 3)`` mm, in the frame of an aligned right knee (RAS, isocentre in the joint).
        faces: ``(F, 3)``, outwards.
        modes: ``(K, V, 3)`` mm for one standard deviation, by falling variance; more of one makes
            the bone larger.
        shares: ``(K,)`` of the variance that each mode explains.
        smooth: correlation length and amplitude (standard deviation of each component, motion of
            the whole bone left out) of each part of the Gaussian process, mm.
        clear: ``(V,)`` bool, vertices that are not at a cut end.
        people: whose bones it was learnt from.
        licence: of the model.
    """

    bone: Bone
    mean: np.ndarray
    faces: np.ndarray
    modes: np.ndarray
    shares: np.ndarray
    smooth: tuple[tuple[float, float], ...]
    clear: np.ndarray
    people: tuple[str, ...]
    licence: str = MODEL_LICENCE

    @property
    def mean_surface(self) -> Surface:
        """The mean shape."""
        return Surface(self.mean, self.faces)

    @property
    def coefficient_count(self) -> int:
        """Number of coefficients: of the modes, then three for each smooth function."""
        return len(self.modes) + 3 * self.smooth_basis.shape[1]

    @cached_property
    def smooth_basis(self) -> np.ndarray:
        """Functions ``(V, R)`` of the Gaussian process, mm for one standard deviation."""
        parts = [
            amplitude * _unit_basis(self.mean_surface, length)
            for length, amplitude in self.smooth
            if amplitude > 0
        ]
        return np.concatenate([np.zeros((len(self.mean), 0)), *parts], axis=1)

    @cached_property
    def _motions(self) -> np.ndarray:
        return _rigid_basis(self.mean)

    def drawn(
        self, rng: np.random.Generator, *, spread: float = 1.0, smooth: float = 1.0
    ) -> np.ndarray:
        """Random coefficients, cut off at 2.5 standard deviations.

        Args:
            rng: source of randomness.
            spread: factor of the modes (0: the mean shape).
            smooth: factor of the Gaussian process (0: modes alone).
        """
        values = np.clip(rng.normal(size=self.coefficient_count), -_EXTREME, _EXTREME)
        values[: len(self.modes)] *= spread
        values[len(self.modes) :] *= smooth
        return values

    def sample(
        self, rng: np.random.Generator, *, spread: float = 1.0, smooth: float = 1.0
    ) -> Surface:
        """A bone of nobody; arguments as of :meth:`drawn`."""
        return self.reconstructed(self.drawn(rng, spread=spread, smooth=smooth))

    def reconstructed(self, coefficients: np.ndarray) -> Surface:
        """The shape of these coefficients (missing ones at the end are 0), in the model's frame.

        Raises:
            XRayTo3DError: there are more than the model has.
        """
        known = len(self.modes)
        if len(coefficients) > known and len(coefficients) > self.coefficient_count:
            raise XRayTo3DError(
                f"The model of the {self.bone.key} has {self.coefficient_count} coefficients, "
                f"not {len(coefficients)}; leave the last ones out."
            )
        moved = np.tensordot(coefficients[:known], self.modes[: len(coefficients)], axes=1)
        if len(coefficients) > known:
            weights = np.zeros(self.coefficient_count - known)
            weights[: len(coefficients) - known] = coefficients[known:]
            moved = moved + self._without_motion(self.smooth_basis @ weights.reshape(-1, 3))
        return Surface(self.mean + moved, self.faces)

    def _without_motion(self, displacement: np.ndarray) -> np.ndarray:
        """A smooth displacement also moves the whole bone, which is not a matter of shape."""
        flat = displacement.ravel()
        return (flat - self._motions @ (self._motions.T @ flat)).reshape(-1, 3)

    def fitted(
        self,
        surface: Surface,
        *,
        spread: bool = True,
        smooth: bool = True,
        quick: bool = False,
    ) -> Fit:
        """Pose and coefficients that explain a bone best, by matching and regression in turn.

        Args:
            surface: the bone, of a right knee, lying roughly as in an aligned knee, or turned half
                round about z; RAS mm.
            spread: whether the modes may be used.
            smooth: whether the Gaussian process may be used.
            quick: whether the bone surely stands upright, front to the front, and some tenths of a
                millimetre do not matter: takes a quarter of the time.

        Raises:
            XRayTo3DError: it does not resemble the bone anywhere.
        """
        matcher = Matcher(surface)
        template = Template(self.mean_surface, self.clear)
        start = upright(template, surface) if quick else aligned(template, matcher)
        there_middle = transform_points(start, self.mean).mean(axis=0)
        shape = self.mean_surface
        # The bone's size is for the modes to explain.
        start[:3, :3] /= np.cbrt(np.linalg.det(start[:3, :3]))
        start[:3, 3] += there_middle - transform_points(start, self.mean).mean(axis=0)
        fit = Fit(np.zeros(len(self.modes)), start)
        for step, (reach, noise, count) in enumerate(_QUICK_STEPS if quick else _FIT_STEPS):
            modes = self.modes if spread else self.modes[:0]
            basis = self.smooth_basis if smooth and step > 0 else np.zeros((len(self.mean), 0))
            for _ in range(count):
                placed = Surface(transform_points(fit.pose, shape.vertices), self.faces)
                there, weight = pulls(placed, self.clear, matcher, reach)
                pose = _slide_along(placed, there, weight) @ fit.pose
                local = transform_points(np.linalg.inv(pose), there)
                found = _regressed(local - self.mean, weight / noise**2, modes, basis)
                if not spread:
                    found = np.concatenate([np.zeros(len(self.modes)), found])
                fit, shape = Fit(found, pose), self.reconstructed(found)
        return fit

    def save(self, path: str | Path) -> None:
        """Write a compressed ``.npz`` without pickled objects; modes in half precision."""
        arrays: dict[str, Any] = {"format": np.array(_FORMAT), "bone": np.array(self.bone.key)}
        arrays.update(self.packed())
        np.savez_compressed(path, **arrays)

    def packed(self) -> dict[str, np.ndarray]:
        """All but the bone as small arrays, for a file; modes in half precision."""
        return {
            "mean": self.mean.astype(_MEAN_TYPE),
            "faces": self.faces.astype(np.uint16 if len(self.mean) < 65536 else np.uint32),
            "modes": self.modes.astype(_MODE_TYPE),
            "shares": self.shares.astype(np.float32),
            "smooth": np.array(self.smooth, dtype=np.float32).reshape(-1, 2),
            "clear": self.clear,
            "people": np.array(self.people),
            "licence": np.array(self.licence),
        }

    @classmethod
    def load(cls, path: str | Path) -> ShapeModel:
        """Read what :meth:`save` wrote; nothing in the file is ever executed.

        Raises:
            InputFileError: it is missing, or is not such a model.
        """
        path = Path(path)
        if not path.is_file():
            raise InputFileError(path, "does not exist; check the path.")
        try:
            with np.load(path, allow_pickle=False) as content:
                if not isinstance(content, NpzFile) or str(content["format"]) != _FORMAT:
                    raise ValueError("another format")
                model = cls.unpacked(Bone[str(content["bone"]).upper()], content)
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise InputFileError(
                path, "is not a shape model of this program; make one with xrayto3d population."
            ) from error
        return model

    @classmethod
    def unpacked(cls, bone: Bone, content: Mapping[str, np.ndarray]) -> ShapeModel:
        """What :meth:`packed` gave.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        mean, faces = content["mean"].astype(float), content["faces"].astype(np.int64)
        modes = content["modes"].astype(float)
        clear, smooth = content["clear"].astype(bool), content["smooth"].astype(float)
        if mean.shape[1:] != (3,) or modes.shape[1:] != mean.shape or len(clear) != len(mean):
            raise ValueError("arrays that do not fit together")
        if faces.max() >= len(mean) or not np.isfinite(mean).all():
            raise ValueError("a mesh that is none")
        return cls(
            bone=bone,
            mean=mean,
            faces=faces,
            modes=modes,
            shares=content["shares"].astype(float),
            smooth=tuple((float(length), float(amplitude)) for length, amplitude in smooth),
            clear=clear,
            people=tuple(str(name) for name in content["people"]),
            licence=str(content["licence"]),
        )


def principal_modes(
    deviations: np.ndarray, most: int, least_share: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Modes ``(K, …)`` of one standard deviation, by falling variance, and their shares ``(K,)``.

    Args:
        deviations: ``(N, …)`` from the mean, scaled so that their squares add up to the variance.
        most: modes that are kept.
        least_share: of the variance below which a mode is noise.
    """
    flat = deviations.reshape(len(deviations), -1)
    _, values, vectors = np.linalg.svd(flat, full_matrices=False)
    total = float((values**2).sum())
    kept = min(most, int((values**2 > least_share * total).sum()))
    modes = (values[:kept, None] * vectors[:kept]).reshape(kept, *deviations.shape[1:])
    return modes, values[:kept] ** 2 / max(total, 1e-30)


def learn(
    bone: Bone,
    shapes: Sequence[np.ndarray],
    people: Sequence[str],
    faces: np.ndarray,
    clear: np.ndarray,
    lengths: Sequence[float] = SMOOTH_LENGTHS,
    frame: np.ndarray | None = None,
) -> ShapeModel:
    """A model of corresponding shapes; every person counts once, however many of their bones.

    Args:
        bone: which.
        shapes: vertices ``(V, 3)`` of each bone, mm, of the right side, lying anyhow.
        people: whose bone each is.
        faces: ``(F, 3)``, the same for all.
        clear: ``(V,)``, vertices that are not at a cut end.
        lengths: mm, correlation lengths of the Gaussian process.
        frame: vertices ``(V, 3)`` on which the mean is laid: where the bone lies in a knee. Where
            the shapes lie on average when left out.

    Raises:
        XRayTo3DError: there are fewer than two people.
    """
    if len(set(people)) < 2:
        raise XRayTo3DError(
            f"The {bone.key} of {len(set(people))} person tells nothing of how people differ; "
            "add bones or hold out fewer people."
        )
    points = np.stack([np.asarray(shape, dtype=float) for shape in shapes])
    mean, modes, shares = _principal(points, people, clear, frame)
    # Rounded as the file rounds them, so that a model gives the same samples before and after.
    mean, modes = mean.astype(_MEAN_TYPE).astype(float), modes.astype(_MODE_TYPE).astype(float)
    left = left_over(points, people, clear)
    amplitudes = _amplitudes(left, Surface(mean, faces), modes, clear, lengths)
    smooth = tuple(
        (float(np.float32(length)), float(np.float32(amplitude)))
        for length, amplitude in zip(lengths, amplitudes, strict=True)
    )
    names = tuple(sorted(set(people)))
    return ShapeModel(bone, mean, faces, modes, shares, smooth, clear, names)


def _principal(
    points: np.ndarray,
    people: Sequence[str],
    clear: np.ndarray,
    frame: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, modes and their shares of the variance after generalised rigid alignment."""
    weights = _person_weights(people)
    mean, moved = points[0], points
    for _ in range(_ALIGNMENTS):
        moved = np.stack([laid_on(shape, mean, clear) for shape in points])
        mean = np.tensordot(weights, moved, axes=1)
    where = np.tensordot(weights, points, axes=1) if frame is None else frame
    back = similarity(mean, where, clear.astype(float), scaled=False)
    deviations = (moved - mean) @ back[:3, :3].T
    count = len(set(people))
    scaled = deviations * np.sqrt(weights * count / (count - 1))[:, None, None]
    modes, shares = principal_modes(scaled, _MOST_MODES, _LEAST_SHARE)
    mean = transform_points(back, mean)
    growth = np.einsum("kij,ij->k", modes, mean - mean.mean(axis=0))
    modes *= np.where(growth < 0, -1.0, 1.0)[:, None, None]
    return mean, modes, shares


def _person_weights(people: Sequence[str]) -> np.ndarray:
    each = np.array([1.0 / people.count(person) for person in people])
    return each / each.sum()


def laid_on(shape: np.ndarray, other: np.ndarray, clear: np.ndarray) -> np.ndarray:
    """Vertices ``(V, 3)`` moved rigidly onto corresponding ones; cut ends do not count."""
    return transform_points(similarity(shape, other, clear.astype(float), scaled=False), shape)


def left_over(points: np.ndarray, people: Sequence[str], clear: np.ndarray) -> np.ndarray:
    """What a model of everyone else's bones does not explain of each, ``(N, V, 3)`` mm.

    Args:
        points: ``(N, V, 3)``.
        people: whose bone each is.
        clear: ``(V,)``, vertices that are not at a cut end.
    """
    result = np.zeros_like(points)
    for person in sorted(set(people)):
        own = np.array([name == person for name in people])
        others = [name for name in people if name != person]
        if len(set(others)) > 1:
            mean, modes, _ = _principal(points[~own], others, clear)
        else:
            mean = points[~own].mean(axis=0)
            modes = np.zeros((0, *mean.shape))
        explained = _explained_basis(mean, modes, clear)
        for index in np.flatnonzero(own):
            difference = (laid_on(points[index], mean, clear) - mean)[clear].ravel()
            left = difference - explained @ (explained.T @ difference)
            result[index, clear] = left.reshape(-1, 3)
    return result


def _explained_basis(mean: np.ndarray, modes: np.ndarray, clear: np.ndarray) -> np.ndarray:
    """Orthonormal columns ``(3C, 6 + K)``: displacements that pose and modes explain."""
    columns = [_rigid_basis(mean[clear]), modes[:, clear].reshape(len(modes), 3 * clear.sum()).T]
    return np.linalg.qr(np.concatenate(columns, axis=1))[0]


def _rigid_basis(points: np.ndarray) -> np.ndarray:
    """Orthonormal columns ``(3V, 6)``: small translations and rotations of the points."""
    centred = points - points.mean(axis=0)
    columns = [np.broadcast_to(axis, points.shape).ravel() for axis in np.eye(3)]
    columns += [np.cross(axis, centred).ravel() for axis in np.eye(3)]
    return np.linalg.qr(np.stack(columns, axis=1))[0]


def _unit_basis(mean: Surface, length: float) -> np.ndarray:
    """Smooth functions ``(V, R)`` whose random sum, freed of motion, has unit variance on average.

    Of a field much longer than the bone motion is the greatest part, and what remains is small.
    """
    basis = smooth_basis(mean, length)
    motions = _rigid_basis(mean.vertices).reshape(*mean.vertices.shape, -1)
    moved = np.einsum("vr,vck->rck", basis, motions)
    variance = (3.0 * (basis**2).sum() - (moved**2).sum()) / mean.vertices.size
    return basis / np.sqrt(variance)


def _amplitudes(
    left: np.ndarray,
    mean: Surface,
    modes: np.ndarray,
    clear: np.ndarray,
    lengths: Sequence[float],
) -> list[float]:
    """Amplitude of each correlation length whose mixture leaves the covariance that was found.

    Each length is simulated with unit amplitude and stripped of what pose and modes explain, as the
    bones were; covariances are linear in squared amplitudes, which non-negative least squares
    finds. Only displacement along the normals counts: how points slide along is a matter of
    matching, not of shape.
    """
    rng = np.random.default_rng(0)
    normals = vertex_normals(mean)
    chosen = rng.permutation(np.flatnonzero(clear))[:_PROBES]
    explained = _explained_basis(mean.vertices, modes, clear)
    simulated = []
    for length in lengths:
        basis = _unit_basis(mean, length)
        fields = np.stack([basis @ rng.normal(size=(basis.shape[1], 3)) for _ in range(_FIELDS)])
        flat = fields[:, clear].reshape(_FIELDS, -1)
        rest = np.zeros_like(fields)
        rest[:, clear] = (flat - (flat @ explained) @ explained.T).reshape(_FIELDS, -1, 3)
        simulated.append(_covariogram(rest, mean.vertices, normals, chosen))
    found = _covariogram(left, mean.vertices, normals, chosen)
    squared, _ = nnls(np.stack(simulated, axis=1), found)
    return [float(value) for value in np.sqrt(squared)]


def _covariogram(
    fields: np.ndarray, points: np.ndarray, normals: np.ndarray, chosen: np.ndarray
) -> np.ndarray:
    """Mean product of normal displacements, mm², by distance; weighted by how normals agree."""
    height = np.einsum("nij,ij->ni", fields[:, chosen], normals[chosen])
    product = height.T @ height / len(fields) * (normals[chosen] @ normals[chosen].T)
    gap = np.linalg.norm(points[chosen, None] - points[None, chosen], axis=2)
    which = np.digitize(gap, _BINS) - 1
    counts = np.bincount(which.ravel(), minlength=len(_BINS))
    sums = np.bincount(which.ravel(), product.ravel(), minlength=len(_BINS))
    return sums / np.maximum(counts, 1)


def _slide_along(shape: Surface, there: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Rigid motion, 4×4, that brings vertices towards their pulls, mainly along their normals.

    Points that may slide along the surface settle in few steps where fixed pairs need many (Chen
    and Medioni 1992); a little of the pairs is kept for directions in which a shaft looks alike.
    """
    middle = weight @ shape.vertices / weight.sum()
    arm, offset = shape.vertices - middle, there - shape.vertices
    jacobian = np.zeros((len(arm), 3, 6))
    jacobian[:, :, :3] = np.cross(np.eye(3)[None], arm[:, None]).transpose(0, 2, 1)
    jacobian[:, :, 3:] = np.eye(3)
    normals = vertex_normals(shape)
    across = np.einsum("vi,vik->vk", normals, jacobian)
    height = np.einsum("vi,vi->v", normals, offset)
    gram = (across * weight[:, None]).T @ across
    gram += _PAIR_SHARE * np.einsum("v,vik,vil->kl", weight, jacobian, jacobian, optimize=True)
    side = across.T @ (weight * height)
    side += _PAIR_SHARE * np.einsum("v,vik,vi->k", weight, jacobian, offset, optimize=True)
    step = np.linalg.solve(gram, side)
    motion = np.eye(4)
    motion[:3, :3] = Rotation.from_rotvec(step[:3]).as_matrix()
    motion[:3, 3] = middle + step[3:] - motion[:3, :3] @ middle
    return motion


def _regressed(
    target: np.ndarray, weight: np.ndarray, modes: np.ndarray, basis: np.ndarray
) -> np.ndarray:
    """Most probable coefficients of modes ``(K, V, 3)`` and smooth functions ``(V, R)``.

    The three components of the smooth displacement share one matrix, so they are eliminated first
    (Schur complement) and the system that is left is as small as the number of modes.
    """
    count, rank = len(modes), basis.shape[1]
    by_axis = modes.transpose(2, 1, 0)
    weighted = basis * weight[:, None]
    factor = linalg.cho_factor(weighted.T @ basis + np.eye(rank))
    smooth_side = weighted.T @ target
    cross = np.stack([weighted.T @ by_axis[axis] for axis in range(3)])
    solved = np.stack([linalg.cho_solve(factor, cross[axis]) for axis in range(3)])
    gram, side = np.eye(count), np.zeros(count)
    for axis in range(3):
        heavy = by_axis[axis] * weight[:, None]
        gram += heavy.T @ by_axis[axis] - cross[axis].T @ solved[axis]
        side += heavy.T @ target[:, axis] - solved[axis].T @ smooth_side[:, axis]
    found = np.linalg.solve(gram, side)
    rest = smooth_side - np.stack([cross[axis] @ found for axis in range(3)], axis=1)
    return np.concatenate([found, linalg.cho_solve(factor, rest).ravel()])
