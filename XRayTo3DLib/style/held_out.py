"""Nobody is measured on whom something was trained."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from XRayTo3DLib.anatomy.knee import person_of
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.reconstruction.weights import Model
from XRayTo3DLib.style.style_weights import StyleModel


def check_held_out(
    people: Iterable[str], networks: Sequence[Model], styles: Sequence[StyleModel]
) -> None:
    """Refuse to measure people that the weights have seen.

    Raises:
        XRayTo3DError: someone was among the people trained on, as the weights' cards say.
    """
    wanted = set(people)
    for name, trained in (
        *((model.identity.name, set(model.card.get("people", ()))) for model in networks),
        *((f"{style.name} ({style.method})", _people(style)) for style in styles),
    ):
        if seen := trained & wanted:
            raise XRayTo3DError(
                f"The weights {name} were trained on {', '.join(sorted(seen))}; "
                "name people that were held out."
            )


def _people(style: StyleModel) -> set[str]:
    sides = [style.card.get(side, {}) for side in ("radiographs", "drrs")]
    named = {person for side in sides for person in side.get("people", ())}
    return named | {person_of(knee) for side in sides for knee in side.get("knees", ())}
