"""Two films as a user gives them: some facts are said of both, some of one film only."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from XRayTo3DLib.imaging.pair import check_pair, read_pair
from XRayTo3DLib.imaging.radiograph import Radiograph, Side
from XRayTo3DLib.imaging.reading import read_radiograph
from XRayTo3DLib.imaging.stated_film import StatedFilm


@dataclass(frozen=True)
class FilmOptions:
    """What the user said about one film; None where nothing.

    Attributes:
        path: the file, or what another program has read of it.
        flip: it is shown mirrored.
        inverted: whether bone is dark in the file.
        spacing: mm between pixels at the detector.
        sid: source–image distance, mm.
        sod: source–object distance, mm.
    """

    path: Path | StatedFilm
    flip: bool = False
    inverted: bool | None = None
    spacing: float | None = None
    sid: float | None = None
    sod: float | None = None

    @property
    def has_own_facts(self) -> bool:
        """Whether anything but the mirroring was said about this film alone."""
        return any(value is not None for value in (self.inverted, self.spacing, self.sid, self.sod))


def read_films(
    ap: FilmOptions,
    lateral: FilmOptions,
    *,
    side: Side | None = None,
    spacing: float | None = None,
    sid: float | None = None,
    sod: float | None = None,
) -> tuple[Radiograph, Radiograph]:
    """Read the two films of a knee; what is said about one film beats what is said about both.

    Args:
        ap: the frontal film.
        lateral: the lateral film.
        side: which knee.
        spacing: mm between pixels at the detector, both films.
        sid: source–image distance, mm, both films.
        sod: source–object distance, mm, both films.

    Raises:
        XRayTo3DError: a film cannot be used, or the two cannot be a pair.
    """
    read = partial(_with_own_facts, side=side, spacing=spacing, sid=sid, sod=sod)
    frontal, sagittal, suspicions = read_pair(
        ap.path,
        lateral.path,
        side=side,
        spacing=spacing,
        sid=sid,
        sod=sod,
        flip_ap=ap.flip,
        flip_lateral=lateral.flip,
    )
    # Which knee it is takes both films to find out; then each is read again with its own facts.
    if ap.has_own_facts or lateral.has_own_facts:
        frontal, sagittal = read(frontal, ap), read(sagittal, lateral)
        suspicions = check_pair(frontal, sagittal)
    for sentence in suspicions:
        frontal = frontal.with_warning(sentence)
    return frontal, sagittal


def _with_own_facts(
    film: Radiograph,
    options: FilmOptions,
    *,
    side: Side | None,
    spacing: float | None,
    sid: float | None,
    sod: float | None,
) -> Radiograph:
    return read_radiograph(
        options.path,
        side=side,
        spacing=_first(options.spacing, spacing),
        sid=_first(options.sid, sid),
        sod=_first(options.sod, sod),
        flip=options.flip,
        inverted=options.inverted,
        fallback_view=film.view.value,
        fallback_side=film.side,
    )


def _first(*values: float | None) -> float | None:
    """The first value that was given (0 was given, however wrong)."""
    return next((value for value in values if value is not None), None)
