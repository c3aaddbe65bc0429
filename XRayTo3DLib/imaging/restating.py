"""A film about which the user knows better than its file did."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.orientation import mirrored, upright
from XRayTo3DLib.imaging.radiograph import Origin, Radiograph, Side, Sourced, View


def restated(
    film: Radiograph,
    *,
    view: View | None = None,
    side: Side | None = None,
    spacing: tuple[float, float] | None = None,
    sid: float | None = None,
    sod: float | None = None,
    inverted: bool | None = None,
    mirror: bool = False,
) -> Radiograph:
    """The film as it is once the user has corrected what is known of it.

    What it gives is what :func:`~XRayTo3DLib.imaging.reading.read_radiograph` would have given,
    had the user said so at once; but a film that was mirrored by hand stays as it is shown when
    the side changes. Warnings that ask for what is now said are gone.

    Args:
        film: as it was read.
        view: AP or PA of a frontal film.
        side: which knee.
        spacing: mm between pixels at the detector, (row, column) of the upright film.
        sid: source–image distance, mm.
        sod: source–object distance, mm.
        inverted: whether bone is dark in the file.
        mirror: show the film mirrored left to right.

    Raises:
        XRayTo3DError: a length that cannot be, or a lateral film said to be frontal.
    """
    changed: dict[str, Any] = {}
    answered = []
    if view is not None and view is not film.view.value:
        changed["view"] = _said(_checked_view(film, view))
    if spacing is not None:
        changed["spacing"] = _said((_length("spacing", spacing[0]), _length("spacing", spacing[1])))
        answered.append("--spacing")
    for name, value in (("sid", sid), ("sod", sod)):
        if value is not None:
            changed[name] = _said(_length(name.upper(), value))
            answered.append(f"--{name}")
    film = replace(film, **changed)
    if film.sod.value >= film.sid.value:
        raise XRayTo3DError(
            f"The SOD ({film.sod.value:g} mm) must be less than the SID ({film.sid.value:g} mm): "
            "the knee stands before the detector."
        )
    if side is not None:
        film = _on_side(film, side)
        answered.append("--side")
    if inverted is not None:
        answered.append("--inverted")
        pixels = film.pixels if inverted is film.inverted.value else 1.0 - film.pixels
        film = replace(film, pixels=pixels, inverted=_said(inverted))
    if mirror:
        letters = Sourced(mirrored(film.orientation.value), Origin.USER, "mirrored")
        film = replace(film, pixels=_mirror(film.pixels), orientation=letters)
        answered.append("--flip")
    kept = tuple(w for w in film.warnings if not any(option in w for option in answered))
    return replace(film, warnings=kept)


def taken_as(film: Radiograph, view: View) -> Radiograph:
    """The film as that of another view, which its header does not contradict.

    Args:
        film: as it was read.
        view: AP or lateral.

    Raises:
        XRayTo3DError: its header says which view it is, or how it is turned, and that is not it.
    """
    if (view is View.LATERAL) is (film.view.value is View.LATERAL):
        return film
    name = film.path.name if film.path else "The film"
    for fact in (film.view, film.orientation):
        if fact.origin is Origin.HEADER:
            raise XRayTo3DError(
                f"{name} cannot be the {view.value} film: {fact.note} says otherwise."
            )
    letters = upright(view, film.side.value)
    if film.orientation.origin is Origin.USER:
        letters = mirrored(letters)
    return replace(film, view=_said(view), orientation=replace(film.orientation, value=letters))


def _on_side(film: Radiograph, side: Side) -> Radiograph:
    """The columns of a lateral film run to the back of a right knee and the front of a left."""
    turned = side is not film.side.value and film.view.value is View.LATERAL
    film = replace(film, side=_said(side))
    if not turned or film.orientation.origin is Origin.USER:
        return film
    if film.orientation.origin is Origin.ASSUMED:
        # Nothing was known but that it is seen from the tube, which is true of either knee.
        letters = upright(View.LATERAL, side)
        return replace(film, orientation=replace(film.orientation, value=letters))
    return replace(film, pixels=_mirror(film.pixels))


def _mirror(pixels: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(pixels[:, ::-1])


def _checked_view(film: Radiograph, view: View) -> View:
    if (view is View.LATERAL) is not (film.view.value is View.LATERAL):
        raise XRayTo3DError(
            f"A film read as {film.view.value.value} cannot become {view.value}; load it again as "
            "the other film."
        )
    return view


def _length(name: str, value: float) -> float:
    if not (math.isfinite(value) and value > 0):
        raise XRayTo3DError(f"The {name} must be more than 0 mm, not {value:g}.")
    return float(value)


def _said(value: Any) -> Sourced[Any]:
    return Sourced(value, Origin.USER, "the user's word")
