"""Who takes part in a benchmark: anything that makes bones of two films, networks first of all."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.intensity_model import KneeModel
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.evaluation.held_out import check_held_out
from XRayTo3DLib.evaluation.registration_starts import STARTS, TrueKnee, TruePoses
from XRayTo3DLib.imaging.centres import Pixel, stated_centres
from XRayTo3DLib.imaging.geometry import BiplanarGeometry
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.radiograph import Radiograph
from XRayTo3DLib.reconstruction.reconstruct import reconstruct
from XRayTo3DLib.reconstruction.registration import Registrar, RegistrationSettings
from XRayTo3DLib.reconstruction.registration_result import registered
from XRayTo3DLib.reconstruction.result import Reconstruction
from XRayTo3DLib.reconstruction.weights import load_model
from XRayTo3DLib.resources import named_model

SHIPPED = "shipped"

_PATIENCE = 600.0
"""s that a registration may take: its scores must not hang on what else the computer does."""


class KneeFound(Protocol):
    """What a contestant makes of two films; a :class:`Reconstruction` is one."""

    @property
    def surfaces(self) -> Mapping[Bone, Surface]:
        """A closed surface of each bone that was found, RAS mm; may be empty."""

    @property
    def grid(self) -> VolumeGrid:
        """The field of view: what lies outside is not asked for."""

    @property
    def geometry(self) -> BiplanarGeometry:
        """Where it takes sources and detectors to have stood, on the pixels of the films."""


@dataclass(frozen=True)
class Known:
    """What is known of a knee beyond its films: what a person would contribute.

    Attributes:
        centres: pixel (row, column) of the middle of the joint on the frontal and the lateral film,
            where a person clicked it.
        true: how its bones really lie, of knees that were simulated. Only who is started by hand
            may look, with an error that stands for the hand.
    """

    centres: tuple[Pixel | None, Pixel | None] = (None, None)
    true: TrueKnee | None = None


NOTHING = Known()


class Contestant(Protocol):
    """A way to make bones of two films."""

    @property
    def name(self) -> str:
        """For tables; no other contestant has it."""

    @property
    def fingerprint(self) -> str:
        """Differs whenever its results may: scores are taken over from earlier runs by it."""

    def __call__(
        self, frontal: Radiograph, lateral: Radiograph, *, find_joint: bool, known: Known = NOTHING
    ) -> KneeFound:
        """Reconstruct a knee, left or right.

        Args:
            frontal: AP or PA film.
            lateral: lateral film.
            find_joint: whether the joint has to be looked for; otherwise it is where the headers
                have it, in the middle of the films.
            known: what is known beyond the films.
        """


@dataclass(frozen=True)
class NetworkContestant:
    """A network, with or without refinement; a :class:`Contestant`.

    Attributes:
        name: for tables.
        weights: of the network; those shipped by default.
        refine: whether the result is fitted to the films.
    """

    name: str
    weights: Path | None = None
    refine: bool = False

    @property
    def fingerprint(self) -> str:
        """Of the weights, and whether refined."""
        return load_model(self.weights).identity.sha256 + (" refined" if self.refine else "")

    def __call__(
        self, frontal: Radiograph, lateral: Radiograph, *, find_joint: bool, known: Known = NOTHING
    ) -> Reconstruction:
        """What :func:`reconstruct` makes of the films."""
        return reconstruct(
            frontal,
            lateral,
            ap_centre=known.centres[0],
            lateral_centre=known.centres[1],
            check_films=False,
            find_joint=find_joint,
            refine=self.refine,
            weights=self.weights,
        )


class RegisteredContestant:
    """A shape and intensity model registered to the films; a :class:`Contestant`.

    Args:
        registrar: with its model.
        start: name of a kind of start, of :data:`STARTS`.
        poses: how the model lies in true knees, by default :class:`TruePoses`; contestants of one
            model may share it.
    """

    def __init__(
        self,
        registrar: Registrar,
        start: str,
        poses: Callable[[TrueKnee], dict[Bone, np.ndarray]] | None = None,
    ) -> None:
        self.registrar, self.start = registrar, start
        self._poses = poses or TruePoses(registrar.model)

    @property
    def name(self) -> str:
        """Says where it starts."""
        return f"registered model, start {self.start}"

    @property
    def fingerprint(self) -> str:
        """Of the model, the settings and the start."""
        model = self.registrar.model
        parts = (model.sha256, repr(self.registrar.settings), repr(STARTS[self.start]))
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def __call__(
        self, frontal: Radiograph, lateral: Radiograph, *, find_joint: bool, known: Known = NOTHING
    ) -> Reconstruction:
        """Register to two films of either knee, in the geometry that they state.

        Args:
            frontal: frontal film.
            lateral: lateral film.
            find_joint: of no consequence: it has no means to look for the joint.
            known: where the joint is, by default in the middle of the films; and how the bones lie,
                where the start is near them.

        Raises:
            XRayTo3DError: the start is near the true bones, and nobody knows how they lie.
        """
        starting, start = STARTS[self.start], None
        if starting is not None:
            if known.true is None:
                raise XRayTo3DError(
                    f"Nobody knows how the bones on these films lie, so that no registration can "
                    f"start {self.start}; use --start mean-knee."
                )
            start = starting.starts(self.registrar, self._poses(known.true), known.true.seed)
        centres = stated_centres(frontal, lateral, *known.centres)
        return registered(self.registrar, frontal, lateral, centres, start=start)[1]


def registered_contestants(
    model: Path, starts: Sequence[str], people: Iterable[str]
) -> tuple[RegisteredContestant, ...]:
    """A shape and intensity model, once for each kind of start.

    Args:
        model: its file.
        starts: names of :data:`STARTS`.
        people: who will be measured.

    Raises:
        XRayTo3DError: it cannot be used, or was learnt from one of the people.
    """
    registrar = Registrar(KneeModel.load(model), RegistrationSettings(time_limit=_PATIENCE))
    if seen := registrar.model.people & set(people):
        raise XRayTo3DError(
            f"The model {model.name} was learnt from {', '.join(sorted(seen))}; measure people "
            "that were held out."
        )
    poses = TruePoses(registrar.model)
    return tuple(RegisteredContestant(registrar, start, poses) for start in dict.fromkeys(starts))


def contestants_from(
    networks: Iterable[str], people: Iterable[str], refine: bool
) -> tuple[NetworkContestant, ...]:
    """Each network, and again with refinement where it estimates silhouettes.

    Args:
        networks: ``name=path`` of weights, the name of weights that come with the program, or
            ``shipped`` for those of everyday use.
        people: who will be measured.
        refine: whether with refinement too.

    Raises:
        XRayTo3DError: a word that is neither, a name given twice, or a network that was trained on
            one of the people.
    """
    found: list[NetworkContestant] = []
    for word in networks:
        name, separator, path = word.partition("=")
        if not separator and name != SHIPPED and not named_model(name).is_file():
            raise XRayTo3DError(
                "--network wants name=weights.safetensors, or the name of weights that come with "
                f"the program, not {word!r}."
            )
        if name in {contestant.name for contestant in found}:
            raise XRayTo3DError(f"Two networks are called {name!r}; give each its own name.")
        weights = None if word == SHIPPED else Path(path if separator else name)
        model = load_model(weights)
        check_held_out(people, [(name, model.card)])
        found.append(NetworkContestant(name, weights))
        if refine and model.network.settings.silhouettes:
            found.append(NetworkContestant(f"{name}, refined", weights, refine=True))
    return tuple(found)
