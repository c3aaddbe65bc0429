"""What a file says by itself, before the user's arguments and the defaults."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from XRayTo3DLib.imaging.radiograph import Side, Sourced, Study, View


@dataclass(frozen=True)
class StatedScale:
    """Scale and distances in a file; None where it says nothing.

    Attributes:
        spacing: mm between pixel centres, (row, column) of the file.
        at_object: whether ``spacing`` was measured at the knee rather than at the detector.
        sid: source–image distance, mm.
        sod: source–object distance, mm.
        magnification: SID / SOD.
        guess: a spacing that the file suggests without stating it.
        warnings: sentences for the user.
    """

    spacing: Sourced[tuple[float, float]] | None = None
    at_object: bool = False
    sid: Sourced[float] | None = None
    sod: Sourced[float] | None = None
    magnification: Sourced[float] | None = None
    guess: Sourced[tuple[float, float]] | None = None
    warnings: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class StatedFilm:
    """The content of a file: pixels in the order of the file, bone bright, and its own facts.

    Attributes:
        pixels: ``(rows, columns)`` float32.
        inverted: whether bone was dark in the file.
        scale: spacing and distances.
        view: AP, PA or lateral, if it says so.
        side: left or right, if it says so.
        orientation: what rows and columns run towards (DICOM letters), if it says so.
        study: what tells whether two films belong together.
        name: for sentences to the user, where there is no file that has one.
        warnings: sentences for the user.
    """

    pixels: np.ndarray
    inverted: Sourced[bool]
    scale: StatedScale = StatedScale()
    view: Sourced[View] | None = None
    side: Sourced[Side] | None = None
    orientation: Sourced[tuple[str, str]] | None = None
    study: Study = Study()
    name: str = "the film"
    warnings: tuple[str, ...] = field(default=())
