"""Who takes part in a benchmark: anything that makes bones of two films, networks first of all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.geometry import BiplanarGeometry
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.radiograph import Radiograph
from XRayTo3DLib.reconstruction.reconstruct import reconstruct
from XRayTo3DLib.reconstruction.result import Reconstruction
from XRayTo3DLib.reconstruction.weights import load_model

SHIPPED = "shipped"


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


class Contestant(Protocol):
    """A way to make bones of two films."""

    @property
    def name(self) -> str:
        """For tables; no other contestant has it."""

    @property
    def fingerprint(self) -> str:
        """Differs whenever its results may: scores are taken over from earlier runs by it."""

    def __call__(self, frontal: Radiograph, lateral: Radiograph, *, find_joint: bool) -> KneeFound:
        """Reconstruct a knee, left or right.

        Args:
            frontal: AP or PA film.
            lateral: lateral film.
            find_joint: whether the joint has to be looked for; otherwise it is where the headers
                have it, in the middle of the films.
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
        self, frontal: Radiograph, lateral: Radiograph, *, find_joint: bool
    ) -> Reconstruction:
        """What :func:`reconstruct` makes of the films."""
        return reconstruct(
            frontal,
            lateral,
            check_films=False,
            find_joint=find_joint,
            refine=self.refine,
            weights=self.weights,
        )


def contestants_from(
    networks: Iterable[str], people: Iterable[str], refine: bool
) -> tuple[NetworkContestant, ...]:
    """Each network, and again with refinement where it estimates silhouettes.

    Args:
        networks: ``name=path`` of weights, or ``shipped``.
        people: who will be measured.
        refine: whether with refinement too.

    Raises:
        XRayTo3DError: a word that is neither, a name given twice, or a network that was trained on
            one of the people.
    """
    found: list[NetworkContestant] = []
    for word in networks:
        name, separator, path = word.partition("=")
        if not separator and name != SHIPPED:
            raise XRayTo3DError(f"--network wants name=weights.safetensors, not {word!r}.")
        if name in {contestant.name for contestant in found}:
            raise XRayTo3DError(f"Two networks are called {name!r}; give each its own name.")
        weights = Path(path) if separator else None
        model = load_model(weights)
        if seen := set(model.card.get("people", ())) & set(people):
            raise XRayTo3DError(
                f"The network {name} was trained on {', '.join(sorted(seen))}; measure people "
                "that were held out."
            )
        found.append(NetworkContestant(name, weights))
        if refine and model.network.settings.silhouettes:
            found.append(NetworkContestant(f"{name}, refined", weights, refine=True))
    return tuple(found)
