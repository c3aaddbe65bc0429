"""Two films as one pair: read together, and refused where they cannot be one knee."""

from __future__ import annotations

import filecmp
from pathlib import Path

import numpy as np

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.radiograph import Origin, Radiograph, Side, Sourced, View
from XRayTo3DLib.imaging.reading import read_radiograph
from XRayTo3DLib.imaging.stated_film import StatedFilm

_SUSPICIOUS_RATIO = 3.0


def read_pair(
    ap: str | Path | StatedFilm,
    lateral: str | Path | StatedFilm,
    *,
    side: Side | None = None,
    spacing: float | tuple[float, float] | None = None,
    sid: float | None = None,
    sod: float | None = None,
    flip_ap: bool = False,
    flip_lateral: bool = False,
    inverted: bool | None = None,
) -> tuple[Radiograph, Radiograph, list[str]]:
    """Read both films of a knee; where only one says which knee it is, the other is that too.

    Args:
        ap: the frontal film (its header may say AP or PA): a file, or what another program read.
        lateral: the lateral film.
        side: the user's word which knee it is.
        spacing: mm between pixels at the detector of both, one number or (row, column).
        sid: source–image distance of both, mm.
        sod: source–object distance of both, mm.
        flip_ap: the frontal film is shown mirrored.
        flip_lateral: the lateral film is shown mirrored.
        inverted: whether bone is dark in both files.

    Returns:
        The frontal film, the lateral film, and what is suspicious about the two together.

    Raises:
        XRayTo3DError: a film cannot be used, or the two cannot be a pair.
    """

    def read(
        path: str | Path | StatedFilm, view: View, flip: bool, known: Sourced[Side] | None = None
    ) -> Radiograph:
        return read_radiograph(
            path,
            side=side,
            spacing=spacing,
            sid=sid,
            sod=sod,
            flip=flip,
            inverted=inverted,
            fallback_view=view,
            fallback_side=known,
        )

    frontal = read(ap, View.AP, flip_ap)
    sagittal = read(lateral, View.LATERAL, flip_lateral)
    if _assumed(frontal) and not _assumed(sagittal):
        frontal = read(ap, View.AP, flip_ap, _side_of_the_other(sagittal))
    elif _assumed(sagittal) and not _assumed(frontal):
        sagittal = read(lateral, View.LATERAL, flip_lateral, _side_of_the_other(frontal))
    elif _assumed(sagittal) and sagittal.side.value is not frontal.side.value:
        # Two guesses: the frontal film's, so that the pair is at least one knee.
        sagittal = read(lateral, View.LATERAL, flip_lateral, _side_of_the_other(frontal))
    return frontal, sagittal, check_pair(frontal, sagittal)


def _assumed(film: Radiograph) -> bool:
    return film.side.origin is Origin.ASSUMED


def _side_of_the_other(film: Radiograph) -> Sourced[Side]:
    return Sourced(film.side.value, film.side.origin, f"from the other film: {film.side.note}")


def check_pair(ap: Radiograph, lateral: Radiograph) -> list[str]:
    """Refuse two films that cannot be the two views of one knee.

    Args:
        ap: the frontal film.
        lateral: the lateral film.

    Returns:
        Sentences about what is merely suspicious; none of them contains a name or a number of a
        patient.

    Raises:
        XRayTo3DError: one film twice, the two exchanged, two of one view, or two different knees.
    """
    names = f"{_name(ap, 'the frontal film')} and {_name(lateral, 'the lateral film')}"
    if _same_file(ap, lateral) or _same_picture(ap.pixels, lateral.pixels):
        raise XRayTo3DError(f"{names} are the same film; give one AP and one lateral film.")
    _check_views(ap, lateral, names)
    if ap.side.value is not lateral.side.value:
        raise XRayTo3DError(
            f"{names} are of different knees ({ap.side.value.value}: {ap.side.note}; "
            f"{lateral.side.value.value}: {lateral.side.note}); use two films of one knee, or say "
            "--side if a header is wrong."
        )
    return _suspicions(ap, lateral, names)


def _check_views(ap: Radiograph, lateral: Radiograph, names: str) -> None:
    first_lateral = ap.view.value is View.LATERAL
    second_lateral = lateral.view.value is View.LATERAL
    if first_lateral and not second_lateral:
        raise XRayTo3DError(f"{names} are exchanged; give the AP film first, then the lateral.")
    if first_lateral or not second_lateral:
        view = "lateral" if first_lateral else "frontal"
        raise XRayTo3DError(
            f"{names} are both {view} films ({ap.view.note}; {lateral.view.note}); give one AP and "
            "one lateral film."
        )


def _suspicions(ap: Radiograph, lateral: Radiograph, names: str) -> list[str]:
    found = []
    ratio = ap.spacing.value[0] / lateral.spacing.value[0]
    if max(ratio, 1 / ratio) > _SUSPICIOUS_RATIO:
        found.append(
            f"The pixels of {names} differ in size ({ap.spacing.value[0]:.3g} and "
            f"{lateral.spacing.value[0]:.3g} mm); check --spacing."
        )
    if _differ(ap.study.patient, lateral.study.patient):
        found.append(f"{names}: the two files carry different patient identifiers.")
    if _differ(ap.study.date, lateral.study.date):
        found.append(f"{names}: the two files are of different days.")
    return found


def _differ(first: str | None, second: str | None) -> bool:
    return first is not None and second is not None and first != second


def _name(film: Radiograph, otherwise: str) -> str:
    return film.path.name if film.path is not None else otherwise


def _same_file(ap: Radiograph, lateral: Radiograph) -> bool:
    if ap.path is None or lateral.path is None:
        return False
    if not (ap.path.is_file() and lateral.path.is_file()):
        return False
    return filecmp.cmp(ap.path, lateral.path, shallow=False)


def _same_picture(first: np.ndarray, second: np.ndarray) -> bool:
    return np.array_equal(first, second) or np.array_equal(first, second[:, ::-1])
