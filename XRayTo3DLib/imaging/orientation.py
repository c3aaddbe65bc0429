"""Turning a film upright, as seen from the X-ray tube.

Directions are the letters of Patient Orientation (0020,0020), DICOM PS3.3 C.7.6.1.1.1: L, R, A, P,
H and F for left, right, front, back, head and foot of the patient. The pair is (what a row runs
towards, what a column runs towards).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from XRayTo3DLib.imaging.radiograph import Side, View

Orientation = tuple[str, str]

OPPOSITE = {"L": "R", "R": "L", "A": "P", "P": "A", "H": "F", "F": "H"}
_AXIS = {letter: axis for axis, pair in enumerate(("LR", "AP", "HF")) for letter in pair}


@dataclass(frozen=True)
class Turn:
    """Flips and a transposition that put a picture upright, in this order."""

    transpose: bool
    flip_rows: bool
    flip_columns: bool

    def pixels(self, array: np.ndarray) -> np.ndarray:
        """The picture ``(rows, columns)`` turned, contiguous."""
        turned = array.T if self.transpose else array
        turned = turned[::-1] if self.flip_rows else turned
        turned = turned[:, ::-1] if self.flip_columns else turned
        return np.ascontiguousarray(turned)

    def spacing(self, spacing: tuple[float, float]) -> tuple[float, float]:
        """The spacing (row, column) of the turned picture."""
        return (spacing[1], spacing[0]) if self.transpose else spacing


def parse_orientation(values: Sequence[str]) -> Orientation | None:
    """The main directions of Patient Orientation, or None where it does not make sense.

    An oblique direction such as ``LF`` counts by its first letter, the one it is nearest to.

    Args:
        values: the two values of (0020,0020), e.g. ``["P", "F"]``.
    """
    letters = tuple(str(value).strip().upper()[:1] for value in values)
    if len(letters) != 2 or any(letter not in _AXIS for letter in letters):
        return None
    if _AXIS[letters[0]] == _AXIS[letters[1]]:
        return None
    return letters[0], letters[1]


def upright(view: View, side: Side) -> Orientation:
    """Directions of a film as :class:`~XRayTo3DLib.imaging.radiograph.Radiograph` shows it."""
    if view is View.LATERAL:
        return ("P" if side is Side.RIGHT else "A"), "F"
    return "L", "F"


def mirrored(orientation: Orientation) -> Orientation:
    """Directions of the picture whose upright display is mirrored left to right."""
    row, column = orientation
    if _AXIS[row] == _AXIS["F"]:
        return row, OPPOSITE[column]
    return OPPOSITE[row], column


def shows_lateral(orientation: Orientation) -> bool | None:
    """Whether the directions are those of a lateral film; None for an axial one."""
    axes = {_AXIS[letter] for letter in orientation}
    if _AXIS["F"] not in axes:
        return None
    return _AXIS["A"] in axes


def turn_upright(orientation: Orientation, view: View, side: Side) -> Turn | None:
    """How to turn a picture with these directions upright.

    Returns:
        The turn, or None where the directions belong to another view (a lateral film cannot have
        rows that run to the patient's left).
    """
    target = upright(view, side)
    if {_AXIS[letter] for letter in orientation} != {_AXIS[letter] for letter in target}:
        return None
    transpose = _AXIS[orientation[0]] != _AXIS[target[0]]
    row, column = orientation[::-1] if transpose else orientation
    return Turn(transpose, flip_rows=column != target[1], flip_columns=row != target[0])
