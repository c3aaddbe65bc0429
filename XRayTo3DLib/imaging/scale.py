"""Pixel spacing and distances of a film: the user's word, the file's, or a stated default."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from XRayTo3DLib.errors import InputFileError
from XRayTo3DLib.imaging.radiograph import Origin, Sourced
from XRayTo3DLib.imaging.stated_film import StatedScale

DEFAULT_SID = 1000.0
KNEE_TO_DETECTOR = 100.0
SPACING_LIMITS = (0.02, 2.0)
SID_LIMITS = (500.0, 3000.0)
PANEL_PITCH = 0.14
PANEL_HEIGHTS = (150.0, 450.0)
PICTURE_HEIGHT = 250.0
LARGEST_MAGNIFICATION = 2.0


@dataclass(frozen=True)
class Scale:
    """Spacing at the detector (row, column), SID and SOD, mm, and what to tell the user."""

    spacing: Sourced[tuple[float, float]]
    sid: Sourced[float]
    sod: Sourced[float]
    warnings: tuple[str, ...]


def resolve_scale(
    path: Path,
    stated: StatedScale,
    shape: tuple[int, int],
    *,
    spacing: float | tuple[float, float] | None = None,
    sid: float | None = None,
    sod: float | None = None,
) -> Scale:
    """The scale to work with.

    Args:
        path: the file, for messages.
        stated: what it says.
        shape: (rows, columns) of the picture.
        spacing: the user's mm between pixels at the detector, one number or (row, column).
        sid: the user's source–image distance, mm.
        sod: the user's source–object distance, mm.

    Raises:
        InputFileError: a value that no X-ray machine has.
    """
    distance = _sid(path, stated, sid, sod)
    to_object, warnings = _sod(path, stated, distance, sod)
    pixel = _spacing(path, stated, spacing, distance.value / to_object.value)
    if pixel is None:
        pixel = stated.guess or assumed_spacing(shape)
        warnings += (_no_spacing(path, pixel, shape),)
    return Scale(pixel, distance, to_object, stated.warnings + warnings)


def assumed_spacing(shape: tuple[int, int]) -> Sourced[tuple[float, float]]:
    """The pixel spacing of a picture (rows, columns) that states none.

    The pitch of most flat panels, when that makes a knee film of the picture; else such that the
    longer side measures what a cropped knee film does.
    """
    longest = max(shape)
    if PANEL_HEIGHTS[0] <= longest * PANEL_PITCH <= PANEL_HEIGHTS[1]:
        return Sourced((PANEL_PITCH,) * 2, Origin.ASSUMED, "usual pitch of a flat panel")
    value = PICTURE_HEIGHT / longest
    return Sourced(
        (value, value), Origin.ASSUMED, f"longer side taken as {PICTURE_HEIGHT:g} mm of detector"
    )


def _no_spacing(path: Path, pixel: Sourced[tuple[float, float]], shape: tuple[int, int]) -> str:
    height, width = (step * count for step, count in zip(pixel.value, shape, strict=True))
    return (
        f"No pixel spacing in {path.name}; assumed {pixel.value[0]:.3g} mm, {pixel.note} "
        f"(a picture {width:.0f} mm wide and {height:.0f} mm high at the detector); sizes are only "
        f"as right as that: give --spacing."
    )


def _spacing(
    path: Path,
    stated: StatedScale,
    users: float | tuple[float, float] | None,
    magnification: float,
) -> Sourced[tuple[float, float]] | None:
    if users is not None:
        pair = (users, users) if isinstance(users, (int, float)) else tuple(users)
        if len(pair) != 2:
            raise InputFileError(path, f"--spacing needs one or two numbers, not {users!r}.")
        value = (float(pair[0]), float(pair[1]))
        _check_spacing(path, value, "--spacing")
        return Sourced(value, Origin.USER, "--spacing")
    if stated.spacing is None:
        return None
    row, column = stated.spacing.value
    _check_spacing(path, (row, column), stated.spacing.note)
    if not stated.at_object:
        return stated.spacing
    note = f"{stated.spacing.note}, at the knee; times the magnification {magnification:.4g}"
    return Sourced((row * magnification, column * magnification), stated.spacing.origin, note)


def _check_spacing(path: Path, spacing: tuple[float, float], source: str) -> None:
    low, high = SPACING_LIMITS
    for value in spacing:
        if not low <= value <= high:
            raise InputFileError(
                path,
                f"has a pixel spacing of {value:g} mm ({source}), outside {low:g} to {high:g} mm; "
                "give the spacing at the detector with --spacing.",
            )


def _sid(
    path: Path, stated: StatedScale, users: float | None, users_sod: float | None
) -> Sourced[float]:
    if users is not None:
        sid = Sourced(float(users), Origin.USER, "--sid")
    elif stated.sid is not None:
        sid = stated.sid
    else:
        sod = users_sod
        if sod is None and stated.sod is not None:
            sod = stated.sod.value
        if sod is None:
            return Sourced(DEFAULT_SID, Origin.ASSUMED, "usual for a knee film")
        rule = f"SOD + {KNEE_TO_DETECTOR:g} mm, the knee's middle to the detector"
        sid = Sourced(sod + KNEE_TO_DETECTOR, Origin.ASSUMED, rule)
    low, high = SID_LIMITS
    if not low <= sid.value <= high:
        raise InputFileError(
            path,
            f"has a source–image distance of {sid.value:g} mm ({sid.note}), outside {low:g} to "
            f"{high:g} mm; give it with --sid.",
        )
    return sid


def _sod(
    path: Path, stated: StatedScale, sid: Sourced[float], users: float | None
) -> tuple[Sourced[float], tuple[str, ...]]:
    warnings: tuple[str, ...] = ()
    factor = stated.magnification
    if factor is not None and not 1.0 < factor.value <= LARGEST_MAGNIFICATION:
        warnings = (f"{path.name}: {factor.note} is {factor.value:g}; ignored.",)
        factor = None
    if users is not None:
        sod = Sourced(float(users), Origin.USER, "--sod")
    elif factor is not None:
        sod = Sourced(sid.value / factor.value, factor.origin, f"SID / {factor.note}")
        warnings += _disagreement(path, stated, sod)
    elif stated.sod is not None:
        sod = stated.sod
    else:
        rule = f"SID − {KNEE_TO_DETECTOR:g} mm, the knee's middle to the detector"
        sod = Sourced(sid.value - KNEE_TO_DETECTOR, Origin.ASSUMED, rule)
    if not (math.isfinite(sod.value) and 0 < sod.value < sid.value):
        raise InputFileError(
            path,
            f"has a source–object distance of {sod.value:g} mm ({sod.note}), not below the "
            f"source–image distance of {sid.value:g} mm ({sid.note}); give --sod and --sid.",
        )
    return sod, warnings


def _disagreement(path: Path, stated: StatedScale, sod: Sourced[float]) -> tuple[str, ...]:
    other = stated.sod
    if other is None or abs(other.value / sod.value - 1) <= 0.02:
        return ()
    return (
        f"{path.name}: {other.note} says {other.value:g} mm from source to patient, "
        f"{sod.note} says {sod.value:.4g} mm; the latter is used: check --sod.",
    )
