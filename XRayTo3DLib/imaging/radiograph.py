"""A radiograph as the rest of the program sees it, and where each of its facts came from."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

T = TypeVar("T")


class View(str, Enum):
    """Which way the beam goes through the knee."""

    AP = "AP"
    PA = "PA"
    LATERAL = "lateral"


class Side(str, Enum):
    """Which knee it is."""

    LEFT = "left"
    RIGHT = "right"


class Origin(str, Enum):
    """Who said so."""

    HEADER = "header"
    USER = "user"
    ASSUMED = "assumed"
    FOUND = "found"
    """Estimated from the picture itself."""


@dataclass(frozen=True)
class Sourced(Generic[T]):
    """A value and who supplied it; ``note`` names the tag or the rule, for the report."""

    value: T
    origin: Origin
    note: str = ""


@dataclass(frozen=True)
class Study:
    """What tells whether two films belong together; never shown and never written.

    Attributes:
        patient: SHA-256 of the patient's identifier, or None where the file has none.
        date: of the examination, as in the file (YYYYMMDD), or None.
    """

    patient: str | None = None
    date: str | None = None


@dataclass(frozen=True)
class Radiograph:
    """One film, upright and as seen from the X-ray tube.

    Rows run from proximal to distal. Columns run to the patient's left on an AP or PA film; on a
    lateral they run to the back for a right knee and to the front for a left knee (a mediolateral
    film seen from the tube, patella at the left for a right knee).

    Attributes:
        pixels: ``(rows, columns)`` float32, finite; more bone is brighter.
        spacing: mm between pixel centres at the detector, ``(row, column)``.
        sid: source–image distance, mm.
        sod: source–object distance (to the middle of the knee), mm.
        view: AP, PA or lateral.
        side: left or right.
        orientation: what the picture's columns and rows ran towards in the file, before it was
            turned upright: ``(direction of a row, direction of a column)`` as DICOM letters.
        inverted: whether bone was dark in the file.
        path: the file, or None for an array.
        warnings: sentences for the user.
        study: to compare with the other film.
    """

    pixels: np.ndarray
    spacing: Sourced[tuple[float, float]]
    sid: Sourced[float]
    sod: Sourced[float]
    view: Sourced[View]
    side: Sourced[Side]
    orientation: Sourced[tuple[str, str]]
    inverted: Sourced[bool]
    path: Path | None = None
    warnings: tuple[str, ...] = field(default=())
    study: Study = field(default=Study(), repr=False)

    @property
    def magnification(self) -> float:
        """SID / SOD: how much larger the knee stands on the detector than it is."""
        return self.sid.value / self.sod.value

    def with_warning(self, sentence: str) -> Radiograph:
        """The same film with one more warning."""
        return replace(self, warnings=(*self.warnings, sentence))
