"""Where the knee is taken to be on both films, and in which geometry it is seen from there.

A film of the knee alone shows the joint about its middle: there it is enough to move the middle to
the joint (:mod:`XRayTo3DLib.reconstruction.centring`), and to turn the film where the leg clearly
leans (:mod:`XRayTo3DLib.reconstruction.leaning`). On a film of the whole leg, and on one whose
scale nobody knows, the knee is searched for with its lean and size
(:mod:`XRayTo3DLib.reconstruction.finding`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from XRayTo3DLib.imaging.centres import Centres, Pixel
from XRayTo3DLib.imaging.geometry import BiplanarGeometry, geometry_of
from XRayTo3DLib.imaging.radiograph import Origin, Radiograph, Sourced, View
from XRayTo3DLib.reconstruction.centring import find_centres
from XRayTo3DLib.reconstruction.finding import SURE, FoundKnee, find_knee
from XRayTo3DLib.reconstruction.finding_geometry import rolled
from XRayTo3DLib.reconstruction.leaning import Lean, lean_on
from XRayTo3DLib.reconstruction.weights import Model

_WHOLE_LEG = 240.0
"""mm at the isocentre; a film that shows more in either direction is not one of a knee alone."""

_LEANS = 4.0
"""Degrees; training knees lean as much, so that less needs no turning."""

_LEANS_ALONE = 9.0
"""Degrees beyond which a film of a knee alone, which was not searched, is turned. People's shafts
lean by up to 7 degrees by themselves, and a film that is turned wrongly disagrees with the other
one, which costs more than a lean that both share."""


Leans = tuple[float | None, float | None]
"""Degrees by which a leg leans to the right of the frontal and of the lateral film, where known."""


@dataclass(frozen=True)
class Placed:
    """Films and geometry with which a knee is reconstructed.

    Attributes:
        frontal: the frontal film, with the scale that is used.
        lateral: the lateral film, likewise.
        geometry: of both.
        centres: where the middle of the joint is, and what is to be said of it.
    """

    frontal: Radiograph
    lateral: Radiograph
    geometry: BiplanarGeometry
    centres: Centres


def as_stated(
    frontal: Radiograph, lateral: Radiograph, angle: float, centres: Centres
) -> BiplanarGeometry:
    """The geometry that films, the user's angle and the centres say."""
    return geometry_of(
        frontal,
        lateral,
        angle=angle,
        ap_centre=centres.frontal.value,
        lateral_centre=centres.lateral.value,
    )


def place(
    model: Model,
    frontal: Radiograph,
    lateral: Radiograph,
    angle: float,
    stated: Centres,
    search: bool | None = None,
    leans: Leans = (None, None),
) -> Placed:
    """Look for the joint on films on which nobody says where it is, and how the leg leans.

    Args:
        model: by whose silhouettes it is found; where it estimates none, nothing is looked for.
        frontal: the frontal film.
        lateral: the lateral film.
        angle: degrees between the views.
        stated: the centres as stated.
        search: whether the whole of each film is searched; by default where a film shows more than
            a knee or nobody knows its scale. False leaves films that lean as they are, too.
        leans: degrees by which the leg leans to the right of the frontal and of the lateral film,
            where somebody says so.
    """
    films = (frontal, lateral)
    centres = (stated.frontal, stated.lateral)
    unknown = [centre.origin is not Origin.USER for centre in centres]
    wanted = any(map(_shows_more, films)) if search is None else search
    if not (model.network.settings.silhouettes and wanted and any(unknown)):
        geometry = as_stated(frontal, lateral, angle, stated)
        found = find_centres(model, frontal, lateral, geometry, stated)
        knees: list[FoundKnee | None] = [None, None]
    else:
        knees = [
            find_knee(film, model) if looked_for else None
            for film, looked_for in zip(films, unknown, strict=True)
        ]
        films, found = _searched(films, centres, knees)
    measured: list[Lean | None] = [None, None]
    if search is not False and model.network.settings.silhouettes:
        measured = [
            lean_on(film, model, centre.value) if knee is None and said is None else None
            for film, knee, centre, said in zip(
                films, knees, (found.frontal, found.lateral), leans, strict=True
            )
        ]
    rolls, sentences = _rolls(films, knees, measured, leans)
    geometry = leaning(as_stated(films[0], films[1], angle, found), rolls)
    return Placed(
        films[0], films[1], geometry, replace(found, warnings=(*found.warnings, *sentences))
    )


def leaning(geometry: BiplanarGeometry, leans: Leans) -> BiplanarGeometry:
    """The geometry of films on which the leg leans to the right by so many degrees."""
    frontal, lateral = (
        rolled(view, lean) if lean else view
        for view, lean in zip(geometry.views, leans, strict=True)
    )
    return BiplanarGeometry(frontal, lateral)


def _shows_more(film: Radiograph) -> bool:
    if film.spacing.origin is Origin.ASSUMED:
        return True
    step = np.array(film.spacing.value) / film.magnification
    return bool((step * film.pixels.shape).max() > _WHOLE_LEG)


def _searched(
    films: tuple[Radiograph, Radiograph],
    stated: tuple[Sourced[Pixel], Sourced[Pixel]],
    knees: list[FoundKnee | None],
) -> tuple[tuple[Radiograph, Radiograph], Centres]:
    """The films with the scale by which they were searched, and where the joint was found."""
    scaled, centres, sentences = [], [], []
    for film, centre, knee in zip(films, stated, knees, strict=True):
        if knee is None or knee.confidence < SURE:
            scaled.append(film)
            centres.append(centre)
            sentences += [] if knee is None else [_not_found(film)]
            continue
        scaled.append(knee.film)
        centres.append(Sourced(knee.centre, Origin.FOUND, "by the silhouettes of the bones"))
        sentences += _what_was_found(knee, _roll_of(knee))
    return (scaled[0], scaled[1]), Centres(centres[0], centres[1], tuple(sentences))


def _roll_of(knee: FoundKnee) -> float:
    return knee.roll if knee.confidence >= SURE and abs(knee.roll) > _LEANS else 0.0


def _rolls(
    films: tuple[Radiograph, Radiograph],
    knees: list[FoundKnee | None],
    measured: list[Lean | None],
    stated: Leans,
) -> tuple[tuple[float, float], list[str]]:
    """By how much each film is to be turned, and what is to be said of films not searched."""
    least = _least_lean(measured)
    rolls, sentences = [], []
    for film, knee, lean, said in zip(films, knees, measured, stated, strict=True):
        if said is not None:
            rolls.append(said)
        elif knee is not None:
            rolls.append(_roll_of(knee))
        elif lean is not None and _leans_more(lean, least):
            rolls.append(lean.degrees)
            sentences.append(_as_it_leans(film, lean))
        else:
            rolls.append(0.0)
    return (rolls[0], rolls[1]), sentences


def _leans_more(lean: Lean, least: float) -> bool:
    return lean.confidence >= SURE and abs(lean.degrees) > least


def _least_lean(leans: list[Lean | None]) -> float:
    """Degrees beyond which films are turned: where one leans clearly, the other may as well."""
    clear = any(lean is not None and _leans_more(lean, _LEANS_ALONE) for lean in leans)
    return _LEANS if clear else _LEANS_ALONE


def _as_it_leans(film: Radiograph, lean: Lean) -> str:
    way = "right" if lean.degrees > 0 else "left"
    return (
        f"On the {_name(film)} film the leg leans to the {way} by {abs(lean.degrees):.0f}°, and is "
        "taken to have stood upright: say --no-search if it leant as the film shows it."
    )


def _name(film: Radiograph) -> str:
    return "lateral" if film.view.value is View.LATERAL else "frontal"


def _not_found(film: Radiograph) -> str:
    return (
        f"The knee was not found on the {_name(film)} film; its middle is taken for the joint. "
        "Give the pixel of the joint yourself if it is elsewhere."
    )


def _what_was_found(knee: FoundKnee, roll: float) -> Iterator[str]:
    film, (row, column) = knee.film, knee.centre
    leans = f", the leg leaning by {abs(roll):.0f}°" if roll else ""
    yield (
        f"On the {_name(film)} film the knee was found at pixel {row:.0f},{column:.0f} (row, "
        f"column){leans}; check it, and give the pixel yourself if it is wrong."
    )
    if knee.scale.origin is Origin.ASSUMED:
        yield (
            f"Nobody says how large the pixels of the {_name(film)} film are: they are taken for "
            f"{max(film.spacing.value):.3g} mm at the detector, by the {knee.scale.note}, which is "
            f"good to {100 * knee.scale.relative:.0f} mm in 100 mm; give --spacing if you know it."
        )
