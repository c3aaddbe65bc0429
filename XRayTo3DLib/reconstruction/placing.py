"""Where the knee is taken to be on both films, and in which geometry it is seen from there.

A film of the knee alone shows the joint about its middle, the leg upright: there it is enough to
move the middle to the joint (:mod:`XRayTo3DLib.reconstruction.centring`). On a film of the whole
leg, and on one whose scale nobody knows, the knee is searched for with its lean and size
(:mod:`XRayTo3DLib.reconstruction.finding`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from XRayTo3DLib.imaging.centres import Centres, Pixel
from XRayTo3DLib.imaging.geometry import BiplanarGeometry, geometry_of
from XRayTo3DLib.imaging.radiograph import Origin, Radiograph, Sourced, View
from XRayTo3DLib.reconstruction.centring import find_centres
from XRayTo3DLib.reconstruction.finding import SURE, FoundKnee, find_knee
from XRayTo3DLib.reconstruction.finding_geometry import rolled
from XRayTo3DLib.reconstruction.weights import Model

_WHOLE_LEG = 240.0
"""mm at the isocentre; a film that shows more in either direction is not one of a knee alone."""

_LEANS = 4.0
"""Degrees; training knees lean as much, so that less needs no turning."""


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
) -> Placed:
    """Look for the joint on films on which nobody says where it is.

    Args:
        model: by whose silhouettes it is found; where it estimates none, nothing is looked for.
        frontal: the frontal film.
        lateral: the lateral film.
        angle: degrees between the views.
        stated: the centres as stated.
        search: whether the whole of each film is searched; by default where a film shows more than
            a knee or nobody knows its scale.
    """
    films = (frontal, lateral)
    centres = (stated.frontal, stated.lateral)
    unknown = [centre.origin is not Origin.USER for centre in centres]
    wanted = any(map(_shows_more, films)) if search is None else search
    if not (model.network.settings.silhouettes and wanted and any(unknown)):
        geometry = as_stated(frontal, lateral, angle, stated)
        found = find_centres(model, frontal, lateral, geometry, stated)
        return Placed(frontal, lateral, as_stated(frontal, lateral, angle, found), found)
    knees = [
        find_knee(film, model) if looked_for else None
        for film, looked_for in zip(films, unknown, strict=True)
    ]
    return _searched(films, angle, centres, knees)


def _shows_more(film: Radiograph) -> bool:
    if film.spacing.origin is Origin.ASSUMED:
        return True
    step = np.array(film.spacing.value) / film.magnification
    return bool((step * film.pixels.shape).max() > _WHOLE_LEG)


def _searched(
    films: tuple[Radiograph, Radiograph],
    angle: float,
    stated: tuple[Sourced[Pixel], Sourced[Pixel]],
    knees: list[FoundKnee | None],
) -> Placed:
    scaled, centres, rolls, sentences = [], [], [], []
    for film, centre, knee in zip(films, stated, knees, strict=True):
        if knee is None or knee.confidence < SURE:
            scaled.append(film)
            centres.append(centre)
            rolls.append(0.0)
            sentences += [] if knee is None else [_not_found(film)]
            continue
        scaled.append(knee.film)
        centres.append(Sourced(knee.centre, Origin.FOUND, "by the silhouettes of the bones"))
        rolls.append(knee.roll if abs(knee.roll) > _LEANS else 0.0)
        sentences += _what_was_found(knee, rolls[-1])
    found = Centres(centres[0], centres[1], tuple(sentences))
    geometry = as_stated(scaled[0], scaled[1], angle, found)
    views = (rolled(view, roll) for view, roll in zip(geometry.views, rolls, strict=True))
    return Placed(scaled[0], scaled[1], BiplanarGeometry(*views), found)


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
