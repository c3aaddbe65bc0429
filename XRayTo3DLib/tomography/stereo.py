"""Two eyes: stereo pairs and anaglyphs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.geometry import ViewGeometry

WIDEST_ANGLE = 30.0
"""Degrees between the eyes beyond which nobody sees one knee."""

_LUMA = np.array([0.2126, 0.7152, 0.0722], dtype=np.float32)
"""ITU-R BT.709."""


def stereo_views(
    view: ViewGeometry, angle: float, about: np.ndarray
) -> tuple[ViewGeometry, ViewGeometry]:
    """The left and the right eye's view.

    The tube is shifted along the rows of the film, as in stereoradiography, and the film slides
    in its own plane so that the point looked at stays where it is. The planes of both films are
    one, so nothing is displaced up or down between the two (turned-in cameras do that: A. Woods,
    T. Docherty and R. Koch, Image Distortions in Stereoscopic Video Systems, Proc. SPIE 1915,
    1993). What lies nearer to the tube than ``about`` stands out of the picture.

    Args:
        view: that of the middle.
        angle: degrees between the lines from ``about`` to the eyes.
        about: RAS mm, ``(3,)``.

    Raises:
        XRayTo3DError: an angle that is no pair of eyes.
    """
    if not 0 < angle <= WIDEST_ANGLE:
        raise XRayTo3DError(
            f"The angle between the eyes is {angle:g}°; give more than 0° and at most "
            f"{WIDEST_ANGLE:g}° (6° suits most)."
        )
    sod = float(view.normal @ (np.asarray(about, dtype=float) - view.source))
    rightwards = view.column_step / np.linalg.norm(view.column_step)
    step = sod * np.tan(np.radians(angle / 2.0)) * rightwards
    return _shifted(view, -step, sod), _shifted(view, step, sod)


def _shifted(view: ViewGeometry, step: np.ndarray, sod: float) -> ViewGeometry:
    """The source moved by ``step`` and the film against it."""
    slide = -step * (view.sid / sod - 1.0)
    return replace(view, source=view.source + step, first_pixel=view.first_pixel + slide)


def side_by_side(left: np.ndarray, right: np.ndarray, gap: int = 8) -> np.ndarray:
    """One picture of two, the left eye's at the left, black between.

    Args:
        left: ``(rows, columns)`` or ``(rows, columns, 3)``, 0–1.
        right: of the same shape.
        gap: pixels between them.
    """
    between = np.zeros((left.shape[0], gap, *left.shape[2:]), dtype=left.dtype)
    return np.concatenate([left, between, right], axis=1)


def anaglyph(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Red for the left eye, cyan for the right.

    Args:
        left: ``(rows, columns)``, or in colour with three channels, of which the brightness is
            taken; 0–1.
        right: of the same shape.

    Returns:
        ``(rows, columns, 3)`` float32, 0–1.
    """
    red, cyan = _brightness(left), _brightness(right)
    return np.stack([red, cyan, cyan], axis=-1)


def _brightness(picture: np.ndarray) -> np.ndarray:
    return picture @ _LUMA if picture.ndim == 3 else picture
