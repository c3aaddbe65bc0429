"""Who takes part in a benchmark, from words of the command line."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.evaluation.benchmark import Contestant
from XRayTo3DLib.reconstruction.weights import load_model

SHIPPED = "shipped"


def contestants_from(
    networks: Iterable[str], people: Iterable[str], refine: bool
) -> tuple[Contestant, ...]:
    """Each network, and again with refinement where it estimates silhouettes.

    Args:
        networks: ``name=path`` of weights, or ``shipped``.
        people: who will be measured.
        refine: whether with refinement too.

    Raises:
        XRayTo3DError: a word that is neither, or a network that was trained on one of the people.
    """
    found: list[Contestant] = []
    for word in networks:
        name, separator, path = word.partition("=")
        if not separator and name != SHIPPED:
            raise XRayTo3DError(f"--network wants name=weights.safetensors, not {word!r}.")
        weights = Path(path) if separator else None
        model = load_model(weights)
        if seen := set(model.card.get("people", ())) & set(people):
            raise XRayTo3DError(
                f"The network {name} was trained on {', '.join(sorted(seen))}; measure people "
                "that were held out."
            )
        found.append(Contestant(name, weights))
        if refine and model.network.settings.silhouettes:
            found.append(Contestant(f"{name}, refined", weights, refine=True))
    return tuple(found)
