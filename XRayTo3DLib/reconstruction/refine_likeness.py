"""How unlike two films and radiographs of a model are, what would change it, and how it curves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from functools import partial

import numpy as np
import torch
from torch import Tensor

from XRayTo3DLib.imaging.geometry import ViewGeometry
from XRayTo3DLib.reconstruction.lateral_stand import STAND_NUMBERS, LateralStand, stand_motion
from XRayTo3DLib.reconstruction.losses import ngcc
from XRayTo3DLib.reconstruction.registration_bone import DeformingBone
from XRayTo3DLib.reconstruction.registration_film import Resolution
from XRayTo3DLib.reconstruction.registration_pose import POSE_NUMBERS, Start

_STEP = 0.05
"""Of a pose's or a stand's number, for derivatives by differences: a quarter of a millimetre."""


class Likeness:
    """Bones of a model before two films, of which the lateral may stand otherwise than stated.

    What is searched for are the numbers of each bone (pose, coefficients of shape), one bone after
    the other, and those of the lateral's stand, all in their standard deviations.

    Args:
        bones: of the model.
        films: frontal and lateral film within the band of a resolution, and their detectors.
        start: where each bone's model is laid to begin with.
        resolution: of the films.
        deviations: standard deviations of the lateral's stand.
        prior: cost of one squared standard deviation, beside a likeness of 1.
        threads: for the bones.
    """

    def __init__(
        self,
        bones: Sequence[DeformingBone],
        films: Sequence[tuple[Tensor, ViewGeometry]],
        start: Start,
        resolution: Resolution,
        deviations: LateralStand,
        prior: float,
        threads: Executor,
    ) -> None:
        self._bones, self._start, self._resolution = bones, start, resolution
        self._films, self._deviations, self._threads = films, deviations, threads
        ends = np.cumsum([0, *(POSE_NUMBERS + bone.shape_count for bone in bones)])
        self._parts = [slice(a, b) for a, b in zip(ends, ends[1:], strict=False)]
        self._count = int(ends[-1]) + STAND_NUMBERS
        # A pose may be anything; only its growth is improbable.
        self._prior = np.full(self._count, prior)
        for part in self._parts:
            self._prior[part.start : part.start + POSE_NUMBERS - 1] = 0.0

    def first(self, shapes: Sequence[np.ndarray]) -> np.ndarray:
        """Poses as at the start, shapes ``(K,)`` of each bone, and the lateral as stated."""
        numbers = np.zeros(self._count)
        for part, shape in zip(self._parts, shapes, strict=True):
            numbers[part.start + POSE_NUMBERS : part.stop] = shape
        return numbers

    def stand(self, numbers: np.ndarray) -> LateralStand:
        """How the lateral stands."""
        return self._deviations.times(numbers[-STAND_NUMBERS:].tolist())

    def cost_and_slope(self, numbers: np.ndarray) -> tuple[float, np.ndarray]:
        """1 − mean likeness of both films and what improbable numbers cost, and its gradient.

        Each bone has a graph of its own, from its numbers to its radiographs, so that all can be
        followed back at once. (Forwards, the many small steps would wait for Python's lock.)
        """
        leaves = [leaf.requires_grad_(True) for leaf in self._numbers_of_bones(numbers)]
        seen = [list(self._seen(*pair)) for pair in zip(self._bones, leaves, strict=True)]
        shown = [[picture.detach().requires_grad_(True) for picture in both] for both in seen]
        likeness = [
            ngcc(self._resolution.band(sum(pictures[1:], start=pictures[0])), film)
            for pictures, (film, _) in zip(zip(*shown, strict=True), self._films, strict=True)
        ]
        unlike = 1.0 - torch.stack(likeness).mean()
        unlike.backward()
        slope = 2.0 * self._prior * numbers
        back = self._threads.map(_followed_back, leaves, seen, shown)
        for part, own in zip(self._parts, back, strict=True):
            slope[part] += own[:-STAND_NUMBERS]
            slope[-STAND_NUMBERS:] += own[-STAND_NUMBERS:]
        return float(unlike.detach()) + float(self._prior @ numbers**2), slope

    @torch.no_grad()
    def curvature(self, numbers: np.ndarray) -> np.ndarray:
        """The cost's Hessian ``(n, n)`` as Gauss and Newton have it, positive definite.

        Of vectors of unit length, half the squared distance is one minus the correlation, which
        makes the likeness a matter of least squares.
        """
        # A little more, for the pose of a bone that neither film shows.
        curvature = np.diag(2.0 * self._prior + 1e-9)
        leaves = list(self._numbers_of_bones(numbers))
        for place in range(len(self._films)):
            look = partial(self._seen_and_slopes, place)
            seen = list(self._threads.map(look, range(len(self._bones)), leaves))
            pictures = self._resolution.band(sum(seen[1:], start=seen[0]))
            for axis in (-2, -1):
                gradients = pictures.diff(dim=axis).flatten(1)
                gradients -= gradients.mean(1, keepdim=True)
                length = gradients[0].norm() + 1e-6
                unit, slopes = gradients[0] / length, gradients[1:] / length
                slopes -= torch.outer(slopes @ unit, unit)
                curvature += 0.25 * (slopes @ slopes.T).double().numpy()
        return curvature

    def _numbers_of_bones(self, numbers: np.ndarray) -> Iterator[Tensor]:
        """Of each bone, its numbers and those of the stand, which all have in common."""
        for part in self._parts:
            yield torch.from_numpy(
                np.concatenate([numbers[part], numbers[-STAND_NUMBERS:]])
            ).float()

    def _motion(self, stand: Tensor, place: int) -> Tensor:
        """The 3×4 motion of a view by the stand's numbers in standard deviations."""
        if not place:
            return torch.eye(4, dtype=torch.float64)[:3]
        deviations = torch.tensor(self._deviations, dtype=torch.float64)
        return stand_motion(stand.double() * deviations, self._films[place][1])

    def _seen(self, bone: DeformingBone, numbers: Tensor) -> Iterator[Tensor]:
        """Radiographs of one bone for both films, ``(rows, columns)``."""
        pose, shape, stand = _split(numbers)
        volume, start = bone.volume_near(shape)[None], np.asarray(self._start[bone.bone])
        for place, (_, view) in enumerate(self._films):
            motion = self._motion(stand, place)[None]
            yield bone.radiographs(volume, pose[None], start, view, motion)[0, 0]

    @torch.no_grad()
    def _seen_and_slopes(self, place: int, index: int, numbers: Tensor) -> Tensor:
        """One bone's radiograph and its change with every number, ``(1 + n, rows, columns)``."""
        bone, view = self._bones[index], self._films[place][1]
        pose, shape, stand = _split(numbers)
        start = np.asarray(self._start[bone.bone])
        steps = _STEP * torch.eye(POSE_NUMBERS + STAND_NUMBERS)
        steps = torch.cat([torch.zeros(1, len(steps)), steps])
        motions = torch.stack(
            [self._motion(stand + step, place) for step in steps[:, POSE_NUMBERS:]]
        )
        poses = pose + steps[:, :POSE_NUMBERS]
        seen = bone.radiographs(bone.volume_near(shape)[None], poses, start, view, motions)[0]
        moved = (seen[1:] - seen[0]) / _STEP
        bent = bone.radiographs(bone.volume_slopes(shape), pose[None], start, view, motions[:1])
        result = seen.new_zeros(1 + self._count, *view.shape)
        result[0] = seen[0]
        result[1:][self._parts[index]] = torch.cat([moved[:POSE_NUMBERS], bent[:, 0]])
        result[-STAND_NUMBERS:] = moved[POSE_NUMBERS:]
        return result


def _split(numbers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Pose, shape and stand."""
    return (
        numbers[:POSE_NUMBERS],
        numbers[POSE_NUMBERS:-STAND_NUMBERS],
        numbers[-STAND_NUMBERS:],
    )


def _followed_back(leaf: Tensor, seen: Sequence[Tensor], shown: Sequence[Tensor]) -> np.ndarray:
    """Gradient of the cost by one bone's numbers; nothing of a bone that is on neither film."""
    slope = torch.zeros_like(leaf)
    pairs = [(a, b.grad) for a, b in zip(seen, shown, strict=True) if a.requires_grad]
    if pairs:
        pictures, slopes = zip(*pairs, strict=True)
        (slope,) = torch.autograd.grad(pictures, leaf, slopes)
    return slope.double().numpy()
