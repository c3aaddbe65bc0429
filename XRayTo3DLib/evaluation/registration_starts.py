"""Where registration starts: near the true bones, as a person would lay them, or knowing nothing.

A person who starts a registration lays each bone of the model on the films by eye. Here the true
pose of each bone, with an error, stands for that person.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.correspondence import similarity
from XRayTo3DLib.anatomy.intensity_model import KneeModel
from XRayTo3DLib.anatomy.knee import Knee
from XRayTo3DLib.reconstruction.registration import Registrar

_DRAWS = 29
"""Keeps what is drawn here apart from what else is drawn of the same seed."""


@dataclass(frozen=True)
class Starting:
    """How the start of each bone differs from its true pose.

    Attributes:
        name: for tables.
        shift: mm along each axis.
        turn: degrees about each axis.
        scale: share.
        uniform: whether those are limits of uniform distributions; else standard deviations of
            normal ones.
        number: its own, for the seed.
    """

    name: str
    shift: float
    turn: float
    scale: float = 0.0
    uniform: bool = False
    number: int = 0

    def drawn(self, rng: np.random.Generator, middle: np.ndarray) -> np.ndarray:
        """4×4 similarity about a point ``(3,)``."""

        def draw(count: int) -> np.ndarray:
            return rng.uniform(-1.0, 1.0, count) if self.uniform else rng.normal(0.0, 1.0, count)

        turn = Rotation.from_rotvec(np.radians(self.turn * draw(3))).as_matrix()
        matrix = np.eye(4)
        matrix[:3, :3] = turn * (1.0 + self.scale * draw(1)[0])
        matrix[:3, 3] = middle + self.shift * draw(3) - matrix[:3, :3] @ middle
        return matrix

    def starts(
        self, registrar: Registrar, true: Mapping[Bone, np.ndarray], seed: int, draw: int = 0
    ) -> dict[Bone, np.ndarray]:
        """A start of every bone, each with an error of its own.

        Args:
            registrar: with its model.
            true: 4×4 pose of each bone, see :class:`TruePoses`.
            seed: of the errors.
            draw: number of the start among those of this seed.
        """
        rng = np.random.default_rng([seed, _DRAWS, self.number, draw])
        return {bone: true[bone] @ self.drawn(rng, registrar.middles[bone]) for bone in Bone}


BY_HAND = Starting("by hand", shift=2.0, turn=2.0)
PERTURBED = Starting("perturbed", shift=10.0, turn=10.0, scale=0.05, uniform=True, number=1)
MEAN_KNEE = "mean knee"
"""The start without any knowledge: the mean knee, its joint where the films have it."""

STARTS: dict[str, Starting | None] = {
    BY_HAND.name: BY_HAND,
    PERTURBED.name: PERTURBED,
    MEAN_KNEE: None,
}
"""Every kind of start by its name."""

STARTS_NOTE = (
    f"A registered model starts by hand ({BY_HAND.shift:g} mm and {BY_HAND.turn:g}° off the true "
    f"bones, SD), perturbed (up to {PERTURBED.shift:g} mm, {PERTURBED.turn:g}° and "
    f"{100 * PERTURBED.scale:g} % off, each bone by itself), or as the mean knee with its joint in "
    "the middle; networks need no start."
)


@dataclass(frozen=True)
class TrueKnee:
    """How the bones on a pair of films really lie.

    Attributes:
        knee: aligned, right, with the bones that are on the films.
        motion: 4×4 rigid motion from there to where they lay when they were filmed.
        seed: of what is drawn about it.
    """

    knee: Knee
    motion: np.ndarray
    seed: int

    @classmethod
    def between(cls, knee: Knee, placed: Knee, seed: int) -> TrueKnee:
        """From a knee, and the same knee after a rigid motion."""
        before, after = (
            np.concatenate([each.surfaces[bone].vertices for bone in Bone])
            for each in (knee, placed)
        )
        motion = similarity(before, after, np.ones(len(before)), scaled=False)
        return cls(knee, motion, seed)


class TruePoses:
    """Finds how each bone of a model lies in true knees, once for each knee.

    Args:
        model: of the four bones.
    """

    def __init__(self, model: KneeModel) -> None:
        self._model = model
        self._found: dict[str, dict[Bone, np.ndarray]] = {}

    def __call__(self, true: TrueKnee) -> dict[Bone, np.ndarray]:
        """4×4 rigid motion that lays each bone's model on the bone, RAS mm.

        The model is fitted to the aligned knee, where its bones lie nearly as the model has them.

        Raises:
            XRayTo3DError: a bone does not resemble its model anywhere.
        """
        if true.knee.name not in self._found:
            self._found[true.knee.name] = {
                bone: part.shape.fitted(true.knee.surfaces[bone], smooth=False).pose
                for bone, part in self._model.bones.items()
            }
        return {bone: true.motion @ pose for bone, pose in self._found[true.knee.name].items()}
