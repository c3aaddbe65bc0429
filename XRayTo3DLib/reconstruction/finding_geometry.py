"""The geometry of a film on which the knee was found: centred on the joint, the leg upright.

The pixels stay where they are: the detector is turned in its plane, so that what is seen on the
film runs along the world's z. The networks must be shown films upright as well, which
:func:`upright_detector` and
:func:`XRayTo3DLib.reconstruction.standard_film.film_on_detector` do.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from XRayTo3DLib.imaging.centres import Pixel
from XRayTo3DLib.imaging.geometry import ViewGeometry, film_geometry, turn_about
from XRayTo3DLib.imaging.radiograph import Radiograph


def rolled(view: ViewGeometry, roll: float) -> ViewGeometry:
    """The view with source and detector turned about the central ray.

    Args:
        view: whose films show a leg that leans.
        roll: degrees by which the leg's upper end leans to the right of the picture; afterwards
            what leant so on the film runs along the world's z.
    """
    # Whether rows run clockwise from columns, as on all films that are shown as seen from the tube.
    handed = np.sign(np.cross(view.normal, view.column_step) @ view.row_step)
    return view.moved(turn_about(view.normal, -handed * roll))


def lean_in(view: ViewGeometry) -> float:
    """Degrees by which the world's z leans to the right of the picture; undoes :func:`rolled`."""
    down, right = view.project(np.array([0.0, 0.0, 1.0])) - view.project(np.zeros(3))
    row, column = view.spacing
    return float(np.degrees(np.arctan2(right * column, -down * row)))


def pixels_between(picture: ViewGeometry, film: ViewGeometry) -> np.ndarray:
    """From pixels of one detector to those of another in the same plane, with the same source.

    Returns:
        ``(2, 3)``; the other's pixels (row, column) are ``affine @ (row, column, 1)``.
    """
    first = picture.first_pixel
    corners = film.project(np.stack([first, first + picture.row_step, first + picture.column_step]))
    return np.stack([corners[1] - corners[0], corners[2] - corners[0], corners[0]], axis=1)


def upright_geometry(
    film: Radiograph, centre: Pixel, roll: float, angle: float = 0.0
) -> ViewGeometry:
    """The geometry of a film as it was found.

    Args:
        film: with the spacing to be used.
        centre: pixel (row, column) of the middle of the joint.
        roll: degrees by which the leg leans to the right of the film.
        angle: degrees by which source and detector are turned about the patient's long axis.
    """
    return rolled(film_geometry(film, angle, centre), roll)


def upright_detector(view: ViewGeometry, spacing: float, size: int) -> ViewGeometry:
    """Like :meth:`ViewGeometry.resampled`, but with rows that run down along the world's z.

    Args:
        view: of a film, turned or not.
        spacing: mm between pixels, measured at the isocentre.
        size: pixels a side.
    """
    detector = view.resampled(spacing, size)
    row, column = detector.row_step, detector.column_step
    length = np.linalg.norm(row)
    down = np.array([0.0, 0.0, -1.0])
    down -= view.normal * (down @ view.normal)
    down *= length / np.linalg.norm(down)
    right = np.cross(down, view.normal)
    right *= np.sign(right @ column)
    middle = detector.first_pixel + (size - 1) / 2 * (row + column)
    return replace(
        detector,
        first_pixel=middle - (size - 1) / 2 * (down + right),
        row_step=down,
        column_step=right,
    )
