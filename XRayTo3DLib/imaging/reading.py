"""A radiograph from a file: the user's word first, then the header's, then a stated default."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from XRayTo3DLib.errors import InputFileError
from XRayTo3DLib.imaging.dicom import has_preamble, looks_like_bare_dataset, read_dicom
from XRayTo3DLib.imaging.orientation import (
    Orientation,
    Turn,
    mirrored,
    shows_lateral,
    turn_upright,
    upright,
)
from XRayTo3DLib.imaging.quiet import quiet_libraries
from XRayTo3DLib.imaging.radiograph import Origin, Radiograph, Side, Sourced, View
from XRayTo3DLib.imaging.raster import (
    looks_like_picture,
    named_like_volume,
    read_picture,
    read_volume_file,
)
from XRayTo3DLib.imaging.scale import resolve_scale
from XRayTo3DLib.imaging.stated_film import StatedFilm

_DICOM_SUFFIXES = (".dcm", ".dicom", ".dic", ".ima")


def read_radiograph(
    path: str | Path | StatedFilm,
    *,
    view: View | None = None,
    side: Side | None = None,
    spacing: float | tuple[float, float] | None = None,
    sid: float | None = None,
    sod: float | None = None,
    flip: bool = False,
    inverted: bool | None = None,
    fallback_view: View | None = None,
    fallback_side: Sourced[Side] | None = None,
) -> Radiograph:
    """Read a DICOM, PNG, JPEG, TIFF, NRRD, MHA or NIfTI film and turn it upright.

    The kind of the file is told from its content, then from its name.

    Args:
        path: the file; or what another program has read of it already.
        view: the user's word which view it is; beats the header.
        side: the user's word which knee it is; beats the header.
        spacing: mm between pixels at the detector, one number or (row, column) of the file.
        sid: source–image distance, mm.
        sod: source–object distance, mm.
        flip: the film is shown mirrored left to right.
        inverted: whether bone is dark in the file.
        fallback_view: the view where neither the user nor the header says it (a film's place on
            the command line).
        fallback_side: the side where neither says it (from the other film); right by default.

    Returns:
        The film with pixels from 0 (least attenuation) to 1, and where every fact came from.

    Raises:
        InputFileError: the file cannot be used; one sentence that says why and what to do.
    """
    if isinstance(path, StatedFilm):
        stated, file, path = _with_polarity(path, inverted), None, Path(path.name)
    else:
        file = path = Path(path)
        stated = _stated(path, inverted)
    warnings = list(stated.warnings)
    chosen_view = _chosen_view(path, stated, view, fallback_view)
    chosen_side = _chosen_side(path, stated, side, fallback_side, warnings)
    warnings += _contradictions(path, stated, view, side, view or fallback_view)
    shape = (stated.pixels.shape[0], stated.pixels.shape[1])
    scale = resolve_scale(path, stated.scale, shape, spacing=spacing, sid=sid, sod=sod)
    orientation, turn = _oriented(
        path, stated, chosen_view.value, chosen_side.value, flip, warnings
    )
    row, column = turn.spacing(scale.spacing.value)
    return Radiograph(
        pixels=turn.pixels(_unit_range(stated.pixels, path)),
        spacing=Sourced((row, column), scale.spacing.origin, scale.spacing.note),
        sid=scale.sid,
        sod=scale.sod,
        view=chosen_view,
        side=chosen_side,
        orientation=orientation,
        inverted=stated.inverted,
        path=file,
        warnings=(*warnings, *scale.warnings),
        study=stated.study,
    )


def _stated(path: Path, inverted: bool | None) -> StatedFilm:
    try:
        with quiet_libraries():
            return _by_content(path, inverted)
    except OSError as error:
        reason = error.strerror or "an error of the file system"
        raise InputFileError(path, f"cannot be opened ({reason}); check the path.") from error


def _with_polarity(stated: StatedFilm, inverted: bool | None) -> StatedFilm:
    if inverted is None or inverted == stated.inverted.value:
        return stated
    said = Sourced(inverted, Origin.USER, "the user's word")
    return replace(stated, pixels=-stated.pixels, inverted=said)


def _by_content(path: Path, inverted: bool | None) -> StatedFilm:
    if path.is_dir():
        raise InputFileError(path, "is a folder; give the file of one film.")
    if not path.is_file():
        raise InputFileError(path, "does not exist; check the path.")
    if path.stat().st_size == 0:
        raise InputFileError(path, "is empty; export the film again.")
    if has_preamble(path):  # before all else: a preamble can be that of a TIFF
        return read_dicom(path, inverted)
    if looks_like_picture(path):
        return read_picture(path, inverted)
    if named_like_volume(path):
        return read_volume_file(path, inverted)
    if looks_like_bare_dataset(path):
        return read_dicom(path, inverted)
    if path.suffix.lower() in _DICOM_SUFFIXES:
        raise InputFileError(path, "is not a DICOM file, whatever its name says; export it again.")
    raise InputFileError(
        path, "is not a film that can be read; use DICOM, PNG, JPEG, TIFF, NRRD, MHA or NIfTI."
    )


def _chosen_view(
    path: Path, stated: StatedFilm, view: View | None, fallback: View | None
) -> Sourced[View]:
    if view is not None:
        return Sourced(view, Origin.USER, "the user's word")
    if stated.view is not None and stated.view.origin is Origin.HEADER:
        return stated.view
    if fallback is not None:
        return Sourced(fallback, Origin.USER, "given as such a film")
    if stated.view is not None:
        return stated.view
    raise InputFileError(path, "does not say which view it is; say whether it is AP or lateral.")


def _chosen_side(
    path: Path,
    stated: StatedFilm,
    side: Side | None,
    fallback: Sourced[Side] | None,
    warnings: list[str],
) -> Sourced[Side]:
    if side is not None:
        return Sourced(side, Origin.USER, "--side")
    if stated.side is not None and stated.side.origin is Origin.HEADER:
        return stated.side
    if fallback is not None:
        return fallback
    chosen = stated.side or Sourced(Side.RIGHT, Origin.ASSUMED, "nothing says which knee")
    warnings.append(
        f"{path.name} does not say which knee it is; taken as the {chosen.value.value} one "
        f"({chosen.note}): say --side left or --side right."
    )
    return chosen


def _contradictions(
    path: Path,
    stated: StatedFilm,
    view: View | None,
    side: Side | None,
    fallback: View | None,
) -> list[str]:
    pairs = (
        (view, stated.view, "the {} view"),
        (side, stated.side, "the {} knee"),
    )
    contradictions = [
        f"{path.name}: its header says {what.format(header.value.value)} ({header.note}), you say "
        f"{user.value}; yours is used."
        for user, header, what in pairs
        if user is not None
        and header is not None
        and header.origin is Origin.HEADER
        and header.value is not user
    ]
    described = stated.view
    if fallback is not None and described is not None and described.origin is Origin.ASSUMED:
        if (described.value is View.LATERAL) is not (fallback is View.LATERAL):
            contradictions.append(
                f"{path.name} was given as the {fallback.value} film, but {described.note} says "
                f"{described.value.value}; check the order of the films."
            )
    return contradictions


def _oriented(
    path: Path, stated: StatedFilm, view: View, side: Side, flip: bool, warnings: list[str]
) -> tuple[Sourced[Orientation], Turn]:
    header = stated.orientation
    if header is not None:
        letters = mirrored(header.value) if flip else header.value
        turn = turn_upright(letters, view, side)
        if turn is not None:
            return (Sourced(letters, Origin.USER, _flip_option(view)) if flip else header), turn
        shown = {True: "a lateral", False: "a frontal", None: "an axial"}
        warnings.append(
            f"{path.name}: {header.note} is that of {shown[shows_lateral(header.value)]} film, not "
            f"of the {view.value} view; taken as it is shown: say {_flip_option(view)} if it is "
            "mirrored."
        )
    letters = upright(view, side)
    if flip:
        sourced = Sourced(mirrored(letters), Origin.USER, _flip_option(view))
    else:
        sourced = Sourced(letters, Origin.ASSUMED, "upright, seen from the tube")
        warnings.append(_assumed_direction(path, view, letters[0]))
    return sourced, Turn(transpose=False, flip_rows=False, flip_columns=flip)


def _flip_option(view: View) -> str:
    return "--flip-lateral" if view is View.LATERAL else "--flip-ap"


def _assumed_direction(path: Path, view: View, row: str) -> str:
    place = {
        "L": "the patient's left at the right of the picture",
        "P": "the kneecap at the left of the picture",
        "A": "the kneecap at the right of the picture",
    }[row]
    return (
        f"{path.name} does not say how it is turned; taken as upright with {place}: "
        f"say {_flip_option(view)} if it is mirrored."
    )


def _unit_range(pixels: np.ndarray, path: Path) -> np.ndarray:
    """Pixels from 0 to 1, float32, ``(rows, columns)``."""
    low, high = float(pixels.min()), float(pixels.max())
    if not (np.isfinite(low) and np.isfinite(high)):  # a NaN anywhere makes both NaN
        raise InputFileError(path, "holds pixels that are no numbers; export the film again.")
    if low == high:
        raise InputFileError(path, f"is blank (every pixel is {high:g}); use another film.")
    unit = (pixels.astype(np.float64) - low) / (high - low)
    return unit.astype(np.float32)
