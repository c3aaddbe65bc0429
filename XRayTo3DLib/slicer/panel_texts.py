"""What the panel says of films and bones."""

from __future__ import annotations

from typing import Any

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.pair import check_pair
from XRayTo3DLib.imaging.radiograph import Origin, Radiograph, Sourced

GOOD, FAIR = 0.7, 0.5
"""Shares of an outline on edges of a film from which it is called good, and fair."""

_ORIGINS = {
    Origin.HEADER: "header",
    Origin.USER: "you",
    Origin.ASSUMED: "assumed",
    Origin.FOUND: "found",
}


def origin_text(fact: Sourced[Any]) -> str:
    """Who said so, in a word."""
    return _ORIGINS[fact.origin]


def agreement_grade(share: float | None) -> str | None:
    """``good``, ``fair`` or ``poor``; None where nothing is to be said."""
    if share is None:
        return None
    return "good" if share >= GOOD else "fair" if share >= FAIR else "poor"


def film_warnings(frontal: Radiograph | None, lateral: Radiograph | None) -> list[str]:
    """What is doubtful about each film, and about the two together.

    Two films that cannot be one knee are told of here, before a reconstruction refuses them.
    """
    sentences = [line for film in (frontal, lateral) if film for line in film.warnings]
    if frontal is not None and lateral is not None:
        try:
            sentences += check_pair(frontal, lateral)
        except XRayTo3DError as error:
            sentences.append(str(error))
    return list(dict.fromkeys(sentences))
