"""How the lateral film stood otherwise than stated, from the grey values within the bones.

Outlines tell some of it, and not how far the film was turned about the leg: outlines of bones that
are a little wider or narrower are those of bones that were filmed from a little beside (bas-relief
ambiguity; Belhumeur et al., IJCV 35(1), 1999), and a network that is shown a film of another size
than stated works out a compromise that agrees with both films nearly as well as it should. What
lies within the outlines tells more: where the rear rims of both condyles cross, how notch and
plateau stand behind each other, how large all that is on one film against the other. So a shape
and intensity model, started from what the network made of the films, is registered to them with
the stand of the lateral as further numbers; its shapes and poses are then forgotten.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache

import numpy as np
import torch
from scipy.linalg import solve_triangular
from scipy.optimize import minimize

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.intensity_model import KneeModel
from XRayTo3DLib.anatomy.shape_model import Fit
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.geometry import BiplanarGeometry, ViewGeometry
from XRayTo3DLib.progress import Progress, silent
from XRayTo3DLib.reconstruction.lateral_stand import LateralStand
from XRayTo3DLib.reconstruction.refine_likeness import Likeness
from XRayTo3DLib.reconstruction.registration_bone import DeformingBone
from XRayTo3DLib.reconstruction.registration_film import Resolution, films_at

STAGE = "Looking how the films stood"

MODEL = "knee-ssim"

_RESOLUTION = Resolution(spacing=2.0, blur=1.2, background=8.0)

_FIELD = 120.0
"""mm a side of what is compared, about the isocentre."""

_REACH = 76.0
"""mm of the bones above and below the joint line that may be seen on it."""

_DEVIATIONS = LateralStand(turn=np.radians(3.0), roll=np.radians(3.0), nearer=30.0, higher=5.0)

_PRIOR = 5e-4
"""Cost of one squared standard deviation of a number, beside a likeness of 1."""

_MOST_LOOKS = 12
"""With more, the likeness grows, but not what is known of the stand."""

LEAST = LateralStand(turn=np.radians(2.0), roll=np.radians(1.5), nearer=20.0, higher=1.0)
"""What is seen and less than this is not believed. Of fourteen pairs of films that stood as stated,
of five people whom the model did not know, more was seen of a turn on two (2.7° at most), of a roll
on three (2.3°) and of a place along the beam on four (44 mm); docs/training.md."""


class Onlooker:
    """A shape and intensity model that looks at films; what needs no film is worked out once.

    Args:
        model: of the four bones.
    """

    def __init__(self, model: KneeModel) -> None:
        self._model = model
        self._bones = [
            DeformingBone(part, rough=True, reach=_REACH) for part in model.bones.values()
        ]

    def look(
        self,
        pictures: tuple[np.ndarray, np.ndarray],
        geometry: BiplanarGeometry,
        surfaces: Mapping[Bone, Surface],
    ) -> Look | None:
        """The model laid on a knee's bones, before its films.

        Args:
            pictures: frontal and lateral film of a right knee, ``(rows, columns)`` each, bone
                bright.
            geometry: as far as it is known; with which the bones were made.
            surfaces: all four bones as a network has made them, RAS mm.

        Returns:
            None where a surface does not resemble its bone.
        """
        try:
            fits = _fits(self._model, surfaces)
        except (XRayTo3DError, ValueError, np.linalg.LinAlgError):
            # A network may have left a piece of a bone, which no model can be laid on.
            return None
        return Look(self._bones, list(films_at(pictures, geometry, _RESOLUTION, _FIELD)), fits)


class Look:
    """A model laid on a knee's bones, before its films; see :meth:`Onlooker.look`."""

    def __init__(
        self,
        bones: Sequence[DeformingBone],
        films: Sequence[tuple[torch.Tensor, ViewGeometry]],
        fits: Mapping[Bone, Fit],
    ) -> None:
        self._bones, self._films, self._fits = bones, films, fits

    @property
    def unlikeness(self) -> float:
        """How unlike the films the model's radiographs are.

        0 where they are alike and the bones usual, about 1 where they have nothing in common.
        """
        with self._likeness() as (likeness, numbers):
            return likeness.cost_and_slope(numbers)[0]

    def stand(self, *, time_limit: float = 8.0, progress: Progress = silent) -> LateralStand:
        """How the lateral film stood otherwise than the geometry says.

        What is found is held back by its prior: of films of four people whom the model did not
        know, 0.57 of turns by 5°, give or take 1.0° (standard deviation), and 0.78 of a place
        along the beam, give or take 12 mm.

        Args:
            time_limit: seconds, after which what has been found by then is returned.
            progress: told of every step; may raise to cancel.
        """
        deadline = time.perf_counter() + time_limit
        with self._likeness() as (likeness, numbers):
            return likeness.stand(_descended(likeness, numbers, deadline, progress))

    @contextmanager
    def _likeness(self) -> Iterator[tuple[Likeness, np.ndarray]]:
        """The likeness and the numbers that lay the model on the bones."""
        start = {bone: fit.pose for bone, fit in self._fits.items()}
        shapes = [self._fits[bone.bone].coefficients for bone in self._bones]
        with _threads_for_bones() as threads:
            likeness = Likeness(
                self._bones, self._films, start, _RESOLUTION, _DEVIATIONS, _PRIOR, threads
            )
            yield likeness, likeness.first(shapes)


class _OutOfTime(Exception):  # noqa: N818 - an end, not an error
    """The deadline has passed."""


def _descended(
    likeness: Likeness, numbers: np.ndarray, deadline: float, progress: Progress
) -> np.ndarray:
    """Numbers of the least cost near the given ones, or the best until the deadline.

    L-BFGS in coordinates in which the cost curves alike in all directions, as Gauss and Newton see
    it: twelve evaluations reach what takes fifty in standard deviations.
    """
    best, done = numbers, 0
    root = np.linalg.cholesky(likeness.curvature(numbers))

    def cost(values: np.ndarray) -> tuple[float, np.ndarray]:
        if time.perf_counter() > deadline:
            raise _OutOfTime
        found, slope = likeness.cost_and_slope(solve_triangular(root.T, values))
        return found, solve_triangular(root, slope, lower=True)

    def after_step(values: np.ndarray) -> None:
        nonlocal best, done
        best, done = solve_triangular(root.T, values), done + 1
        progress(STAGE, min(done / _MOST_LOOKS, 1.0))

    progress(STAGE, 0.0)
    options = {"maxfun": _MOST_LOOKS, "ftol": 0.0, "gtol": 0.0}
    try:
        minimize(
            cost,
            root.T @ numbers,
            jac=True,
            method="L-BFGS-B",
            callback=after_step,
            options=options,
        )
    except _OutOfTime:
        pass
    return best


@contextmanager
def _threads_for_bones() -> Iterator[Executor]:
    """As many threads as PyTorch has, each for one bone: shared by all, they are of little use."""
    count = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(count) as threads:
            yield threads
    finally:
        torch.set_num_threads(count)


@lru_cache(maxsize=1)
def onlooker() -> Onlooker:
    """That of the model that is shipped; kept, as it takes a while to set up."""
    return Onlooker(KneeModel.load(MODEL))


def credible(stand: LateralStand) -> LateralStand:
    """Those numbers of a stand that are too large to be there by chance."""
    pairs = zip(stand, LEAST, strict=True)
    return LateralStand(*(number if abs(number) >= least else 0.0 for number, least in pairs))


def beliefs(stand: LateralStand) -> Iterator[LateralStand]:
    """What may be true of a stand, the most first; nothing of one as stated.

    A roll or a height that is seen wrongly spoils the outlines, so that a right turn or distance
    would be refused with it.
    """
    without = LateralStand(turn=stand.turn, nearer=stand.nearer)
    for belief in dict.fromkeys((stand, without)):
        if any(belief):
            yield belief


def _fits(model: KneeModel, surfaces: Mapping[Bone, Surface]) -> dict[Bone, Fit]:
    def fitted(bone: Bone) -> Fit:
        return model.bones[bone].shape.fitted(surfaces[bone], smooth=False, quick=True)

    with ThreadPoolExecutor() as threads:
        return dict(zip(Bone, threads.map(fitted, Bone), strict=True))
