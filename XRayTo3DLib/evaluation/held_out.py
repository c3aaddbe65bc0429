"""Nobody is measured on whom something was trained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from XRayTo3DLib.anatomy.knee import person_of
from XRayTo3DLib.errors import XRayTo3DError

_SIDES = ("radiographs", "drrs")
"""Of the two kinds of film that a translation learns from, each has its own record."""


def check_held_out(people: Iterable[str], cards: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
    """Refuse to measure people that weights have seen.

    Args:
        people: who will be measured.
        cards: of the weights that take part, each with the name that the user knows them by; two
            may have the same.

    Raises:
        XRayTo3DError: someone was among the people trained on, as a card says.
    """
    wanted = set(people)
    for name, card in cards:
        if seen := wanted & _trained_on(card):
            raise XRayTo3DError(
                f"The weights {name} were trained on {', '.join(sorted(seen))}; "
                "name people that were held out."
            )


def _trained_on(card: Mapping[str, Any]) -> set[str]:
    """The people that a card says its weights learnt from."""
    records = (card, *(card.get(side, {}) for side in _SIDES))
    named = {person for record in records for person in record.get("people", ())}
    return named | {person_of(knee) for record in records for knee in record.get("knees", ())}
