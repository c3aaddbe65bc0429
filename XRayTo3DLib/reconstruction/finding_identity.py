"""Which view and which knee a film shows, where neither file nor user says so."""

from __future__ import annotations

from dataclasses import replace

from XRayTo3DLib.imaging.radiograph import Origin, Radiograph, Side, Sourced, View
from XRayTo3DLib.imaging.restating import restated, taken_as
from XRayTo3DLib.reconstruction.finding import FoundKnee, find_knee
from XRayTo3DLib.reconstruction.joint_scale import FilmScale
from XRayTo3DLib.reconstruction.weights import Model

_NOTE = "looks most like one"


def find_unnamed(
    film: Radiograph, model: Model, scale: FilmScale | None = None, *, view_known: bool = False
) -> FoundKnee:
    """Find the knee on a film of which view and side may not be known.

    The film is taken for every view and side that it may be of, and that in which a knee is seen
    best counts. A mirrored right knee looks like a left one: the film is believed to be seen from
    the tube.

    Args:
        film: upright; its side is believed unless it is assumed.
        model: with a network that estimates silhouettes.
        scale: as for :func:`~XRayTo3DLib.reconstruction.finding.find_knee`.
        view_known: whether the view of the film is to be believed.

    Raises:
        XRayTo3DError: the network estimates no silhouettes.
    """
    films = [film]
    if not view_known:
        as_read = replace(film, view=replace(film.view, origin=Origin.ASSUMED))
        films = [
            replace(taken_as(as_read, view), view=Sourced(view, Origin.FOUND, _NOTE))
            for view in (film.view.value, _other_view(film))
        ]
    if film.side.origin is Origin.ASSUMED:
        films = [_of_side(each, side) for each in films for side in Side]
    return max(
        (find_knee(each, model, scale) for each in films), key=lambda found: found.confidence
    )


def _other_view(film: Radiograph) -> View:
    return View.AP if film.view.value is View.LATERAL else View.LATERAL


def _of_side(film: Radiograph, side: Side) -> Radiograph:
    """The film as that of a knee, without the warnings that ask which it is."""
    named = restated(film, side=side)
    return replace(named, side=Sourced(side, Origin.FOUND, _NOTE))
