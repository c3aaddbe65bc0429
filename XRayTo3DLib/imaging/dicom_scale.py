"""Pixel spacing and distances in a DICOM header (PS3.3 10.7.1, C.8.7.2, C.8.11.3)."""

from __future__ import annotations

import re
from pathlib import Path

from pydicom.dataset import Dataset

from XRayTo3DLib.imaging.dicom_values import number_of, numbers_of, text_of
from XRayTo3DLib.imaging.radiograph import Origin, Sourced
from XRayTo3DLib.imaging.stated_film import StatedScale

_CASSETTE = re.compile(r"(\d+(?:\.\d+)?)\s*(CM|IN|MM)\s*X\s*(\d+(?:\.\d+)?)\s*(CM|IN|MM)")
_MILLIMETRES = {"MM": 1.0, "CM": 10.0, "IN": 25.4}
_SAME = 1e-3


def stated_scale(dataset: Dataset, path: Path) -> StatedScale:
    """What the header says of scale.

    Imager Pixel Spacing is at the detector. Pixel Spacing is at the detector too, unless its
    calibration type is GEOMETRY or FIDUCIAL, or it differs from Imager Pixel Spacing: then it is at
    the knee, and the ratio of both is the magnification (PS3.3 10.7.1.3).
    A spacing that is not two numbers counts as absent; one that is out of range is kept, for the
    user's own spacing may replace it.
    """
    imager = _spacing(dataset, "ImagerPixelSpacing", "(0018,1164)")
    pixel = _spacing(dataset, "PixelSpacing", "(0028,0030)")
    scanned = _spacing(dataset, "NominalScannedPixelSpacing", "(0018,2010)")
    calibrated = text_of(dataset, "PixelSpacingCalibrationType") in ("GEOMETRY", "FIDUCIAL")
    magnification = _distance(dataset, "EstimatedRadiographicMagnificationFactor", "(0018,1114)")
    warnings: tuple[str, ...] = ()
    if imager is not None and pixel is not None and pixel.value[0] > 0:
        ratio = imager.value[0] / pixel.value[0]
        if magnification is None and ratio > 1 + _SAME:
            note = "ImagerPixelSpacing / PixelSpacing"
            magnification = Sourced(ratio, Origin.HEADER, note)
        elif ratio < 1 - _SAME or _differ(ratio, magnification):
            warnings = (
                f"{path.name}: ImagerPixelSpacing {imager.value[0]:g} mm and PixelSpacing "
                f"{pixel.value[0]:g} mm do not fit together; the former is used: check --spacing.",
            )
    return StatedScale(
        spacing=imager or pixel or scanned,
        at_object=imager is None and pixel is not None and calibrated,
        sid=_distance(dataset, "DistanceSourceToDetector", "(0018,1110)"),
        sod=_distance(dataset, "DistanceSourceToPatient", "(0018,1111)"),
        magnification=magnification,
        guess=_from_cassette(dataset),
        warnings=warnings,
    )


def _differ(ratio: float, magnification: Sourced[float] | None) -> bool:
    # Equal spacings only say that Pixel Spacing was not calibrated.
    if magnification is None or abs(ratio - 1) <= _SAME:
        return False
    return abs(ratio / magnification.value - 1) > 0.02


def _spacing(dataset: Dataset, keyword: str, tag: str) -> Sourced[tuple[float, float]] | None:
    values = numbers_of(dataset, keyword)
    if len(values) != 2:
        return None
    return Sourced((values[0], values[1]), Origin.HEADER, f"{keyword} {tag}")


def _distance(dataset: Dataset, keyword: str, tag: str) -> Sourced[float] | None:
    value = number_of(dataset, keyword)
    # Zero is what machines write that do not know.
    return Sourced(value, Origin.HEADER, f"{keyword} {tag}") if value else None


def _from_cassette(dataset: Dataset) -> Sourced[tuple[float, float]] | None:
    match = _CASSETTE.search(text_of(dataset, "CassetteSize"))
    if match is None:
        return None
    first, second = (float(match[index]) * _MILLIMETRES[match[index + 1]] for index in (1, 3))
    value = max(first, second) / max(dataset.Rows, dataset.Columns)
    note = f"from CassetteSize (0018,1403) {match[0]}, were the whole cassette shown"
    return Sourced((value, value), Origin.ASSUMED, note)
