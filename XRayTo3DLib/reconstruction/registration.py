"""Registration of a shape and intensity model to two radiographs.

The rival of the networks: bones of a statistical shape and intensity model are placed, bent and
filled until their radiographs look like the films. Likeness is normalised gradient
cross-correlation, as Kasten et al. 2020 have it in their comparison; what the model holds for
improbable costs (Mahalanobis distance); gradients come from the differentiable projector, and
L-BFGS climbs them from coarse to fine films. Like every method of the kind it finds the optimum
next to its start.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.intensity_model import KneeModel
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.imaging.geometry import BiplanarGeometry, ViewGeometry
from XRayTo3DLib.progress import Progress, silent
from XRayTo3DLib.reconstruction.losses import ngcc
from XRayTo3DLib.reconstruction.registration_bone import DeformingBone
from XRayTo3DLib.reconstruction.registration_film import Resolution, films_at
from XRayTo3DLib.reconstruction.registration_pose import (
    POSE_NUMBERS,
    Start,
    default_start,
    pose_matrix,
)

STAGE = "Registering"

_ROUND = 10
"""Iterations of L-BFGS between looks at the clock and at what was gained."""


@dataclass(frozen=True)
class Level(Resolution):
    """What is searched for at one resolution of the films.

    Attributes:
        reduce: voxels of the model that are averaged along each axis.
        shapes: modes of shape of each bone that are free.
        densities: modes of density of each bone that are free.
        steps: the most iterations of L-BFGS.
    """

    reduce: int
    shapes: int
    densities: int
    steps: int


@dataclass(frozen=True)
class RegistrationSettings:
    """How a registration searches.

    Attributes:
        levels: coarse to fine.
        field: mm a side of the films about the isocentre that are compared.
        prior: cost of one squared standard deviation of a coefficient, beside a likeness of 1.
        time_limit: seconds.
        settled: gain of a round of iterations below which a level ends.
        alike: likeness of both films, at the last level, with which a registration counts as
            converged.
    """

    levels: tuple[Level, ...] = (
        Level(4.0, 4.0, 16.0, 2, 0, 0, 30),
        Level(3.0, 2.0, 12.0, 2, 3, 1, 30),
        Level(2.0, 1.2, 8.0, 1, 20, 3, 30),
    )
    field: float = 160.0
    prior: float = 5e-4
    time_limit: float = 60.0
    settled: float = 2e-4
    alike: float = 0.5


@dataclass(frozen=True)
class Registration:
    """Bones of a model that look like the films.

    Attributes:
        surfaces: closed, RAS mm in the right knee's world.
        poses: 4×4 from each bone's model to the world.
        shapes: coefficients of shape of each bone, standard deviations.
        densities: coefficients of density of each bone, standard deviations.
        likeness: normalised gradient cross-correlation of each film and its radiograph, −1 to 1,
            at the last level.
        stopped: ``settled``, ``steps`` (the most were done) or ``time limit``.
        converged: whether it did not run out of time and both films look alike enough.
        seconds: wall time.
    """

    surfaces: dict[Bone, Surface]
    poses: dict[Bone, np.ndarray]
    shapes: dict[Bone, np.ndarray]
    densities: dict[Bone, np.ndarray]
    likeness: tuple[float, float]
    stopped: str
    converged: bool
    seconds: float


class _OutOfTime(Exception):  # noqa: N818 - an end, not an error
    """The deadline has passed."""


class Registrar:
    """Registers one model to films; what depends on the model alone is worked out once.

    Args:
        model: of the four bones.
        settings: how to search.
    """

    def __init__(self, model: KneeModel, settings: RegistrationSettings | None = None) -> None:
        self.model = model
        self.settings = settings or RegistrationSettings()
        self._bones = {
            reduce: [DeformingBone(part, reduce) for part in model.bones.values()]
            for reduce in {level.reduce for level in self.settings.levels}
        }

    def __call__(
        self,
        pictures: tuple[np.ndarray, np.ndarray],
        geometry: BiplanarGeometry,
        start: Start | None = None,
        progress: Progress = silent,
    ) -> Registration:
        """Register the bones to both films.

        Args:
            pictures: frontal and lateral film of a right knee (or mirrored as one), ``(rows,
                columns)`` each, bone bright.
            geometry: where their sources and detectors stood.
            start: where each bone's model is laid to begin with; the mean knee at the isocentre by
                default.
            progress: told of every round; may raise to cancel.
        """
        began = time.perf_counter()
        start = start or default_start()
        numbers = torch.zeros(sum(map(_number_count, self._finest)))
        stopped, scene = "settled", None
        levels = self.settings.levels
        for done, level in enumerate(levels):
            films = films_at(pictures, geometry, level, self.settings.field)
            scene = _Scene(self._bones[level.reduce], list(films), start, level)
            numbers, stopped = self._climbed(
                scene,
                numbers,
                began + self.settings.time_limit,
                partial(_tell, progress, done, len(levels)),
            )
            if stopped == "time limit":
                break
        assert scene is not None  # there is at least one level
        progress(STAGE, 1.0)
        return self._result(scene, numbers, start, stopped, time.perf_counter() - began)

    @property
    def middles(self) -> dict[Bone, np.ndarray]:
        """RAS mm ``(3,)`` of each bone's middle near the joint, about which it turns and grows."""
        return {bone.bone: bone.middle for bone in self._finest}

    @property
    def _finest(self) -> list[DeformingBone]:
        return self._bones[self.settings.levels[-1].reduce]

    def _climbed(
        self,
        scene: _Scene,
        numbers: Tensor,
        deadline: float,
        progress: Callable[[float], None],
    ) -> tuple[Tensor, str]:
        """Better numbers, and why it ended: ``settled``, ``steps`` or ``time limit``."""
        leaf = numbers.clone().requires_grad_(True)
        optimiser = torch.optim.LBFGS(
            [leaf], max_iter=_ROUND, history_size=20, line_search_fn="strong_wolfe"
        )

        def cost() -> Tensor:
            if time.perf_counter() > deadline:
                raise _OutOfTime
            optimiser.zero_grad()
            value = scene.cost(leaf, self.settings.prior)
            value.backward()
            return value

        best, last = numbers, np.inf
        rounds = -(-scene.level.steps // _ROUND)
        try:
            for number in range(rounds):
                progress(number / rounds)
                before = float(optimiser.step(cost).detach())
                best = leaf.detach().clone()
                if last - before < self.settings.settled and number > 0:
                    return best, "settled"
                last = before
        except _OutOfTime:
            return best, "time limit"
        return best, "steps"

    def _result(
        self, scene: _Scene, numbers: Tensor, start: Start, stopped: str, seconds: float
    ) -> Registration:
        poses, shapes, densities, surfaces = {}, {}, {}, {}
        for bone, own in zip(scene.bones, scene.split(numbers), strict=True):
            key = bone.bone
            poses[key] = pose_matrix(own.pose, bone.middle, np.asarray(start[key]))
            shapes[key], densities[key] = own.shape.numpy(), own.density.numpy()
            surfaces[key] = bone.surface(own.shape).transformed(poses[key])
        with torch.no_grad():
            frontal, lateral = (float(value) for value in scene.likeness(numbers))
        return Registration(
            surfaces=surfaces,
            poses=poses,
            shapes=shapes,
            densities=densities,
            likeness=(frontal, lateral),
            stopped=stopped,
            converged=stopped != "time limit" and min(frontal, lateral) >= self.settings.alike,
            seconds=seconds,
        )


class _BoneNumbers(NamedTuple):
    """What is searched for, of one bone."""

    pose: Tensor
    shape: Tensor
    density: Tensor


class _Scene:
    """Films and bones at one level, and how alike they are for any numbers."""

    def __init__(
        self,
        bones: list[DeformingBone],
        films: list[tuple[Tensor, ViewGeometry]],
        start: Start,
        level: Level,
    ) -> None:
        self.bones, self.level = bones, level
        self._films, self._start = films, start

    def split(self, numbers: Tensor) -> Iterator[_BoneNumbers]:
        """Numbers of each bone; those that the level leaves alone are cut off from gradients."""
        parts = numbers.split([_number_count(bone) for bone in self.bones])
        for bone, part in zip(self.bones, parts, strict=True):
            pose, shape, density = part.split([POSE_NUMBERS, bone.shape_count, bone.density_count])
            yield _BoneNumbers(
                pose, _first(shape, self.level.shapes), _first(density, self.level.densities)
            )

    def likeness(self, numbers: Tensor) -> Tensor:
        """Normalised gradient cross-correlation of each film, ``(2,)``."""
        pictures = [torch.zeros_like(film) for film, _ in self._films]
        for bone, own in zip(self.bones, self.split(numbers), strict=True):
            volume = bone.volume(own.shape, own.density)
            start = np.asarray(self._start[bone.bone])
            for place, (_, view) in enumerate(self._films):
                pictures[place] = pictures[place] + bone.radiograph(volume, own.pose, start, view)
        return torch.stack(
            [
                ngcc(self.level.band(picture), film)
                for picture, (film, _) in zip(pictures, self._films, strict=True)
            ]
        )

    def cost(self, numbers: Tensor, prior: float) -> Tensor:
        """1 − mean likeness, and what improbable numbers cost."""
        improbable = numbers.new_zeros(())
        for own in self.split(numbers):
            growth = own.pose[POSE_NUMBERS - 1 :]
            for values in (own.shape, own.density, growth):
                improbable = improbable + (values**2).sum()
        return 1.0 - self.likeness(numbers).mean() + prior * improbable


def _tell(progress: Progress, done: int, count: int, share: float) -> None:
    progress(STAGE, (done + share) / count)


def _number_count(bone: DeformingBone) -> int:
    return POSE_NUMBERS + bone.shape_count + bone.density_count


def _first(values: Tensor, count: int) -> Tensor:
    """The first ones, and the rest as they are, without gradient."""
    return torch.cat([values[:count], values[count:].detach()])
