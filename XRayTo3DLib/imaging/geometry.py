"""Where the X-ray sources and detectors stand.

World frame: RAS millimetres (x to the patient's right, y to the front, z upwards), origin at the
isocentre between femur and tibia. A pixel index is ``(row, column)``; integer indices are pixel
centres.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.radiograph import Radiograph, Side, View

MIRROR = np.diag([-1.0, 1.0, 1.0])
"""Exchanges left and right."""


def turn_about(axis: np.ndarray, degrees: float) -> np.ndarray:
    """Rotation matrix ``(3, 3)`` about a unit axis, by Rodrigues' formula."""
    angle = np.radians(degrees)
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


@dataclass(frozen=True)
class ViewGeometry:
    """One cone-beam view: a point source and a flat detector.

    Attributes:
        source: RAS mm of the focal spot, ``(3,)``.
        first_pixel: RAS mm of the centre of pixel ``(0, 0)``, ``(3,)``.
        row_step: mm from a pixel to the one below it, ``(3,)``.
        column_step: mm from a pixel to the one right of it, ``(3,)``.
        shape: ``(rows, columns)``.
    """

    source: np.ndarray
    first_pixel: np.ndarray
    row_step: np.ndarray
    column_step: np.ndarray
    shape: tuple[int, int]

    @classmethod
    def looking(
        cls,
        towards: Sequence[float],
        right: Sequence[float],
        *,
        sid: float,
        sod: float,
        spacing: tuple[float, float],
        shape: tuple[int, int],
        centre: tuple[float, float] | None = None,
    ) -> ViewGeometry:
        """A detector square to the central ray through the isocentre.

        Args:
            towards: direction of the central ray, from source to detector, RAS.
            right: direction in which columns grow; made perpendicular to ``towards``.
            sid: source–image distance, mm.
            sod: source–object distance, mm, of the isocentre.
            spacing: mm between pixels at the detector, (row, column).
            shape: (rows, columns).
            centre: pixel (row, column) on which the isocentre falls; the middle by default.

        Raises:
            XRayTo3DError: distances or spacing that no machine has.
        """
        if not 0 < sod < sid < np.inf:
            raise XRayTo3DError(
                f"The source–object distance ({sod:g} mm) must lie between 0 and the source–image "
                f"distance ({sid:g} mm); check --sod and --sid."
            )
        if not all(0 < step < np.inf for step in spacing):
            raise XRayTo3DError(
                f"The pixel spacing must be positive, not {spacing}; use --spacing."
            )
        ray = np.asarray(towards, dtype=float)
        ray = ray / np.linalg.norm(ray)
        columns = np.asarray(right, dtype=float)
        columns = columns - ray * (columns @ ray)
        columns = columns / np.linalg.norm(columns)
        rows = np.cross(ray, columns)
        row_step, column_step = rows * spacing[0], columns * spacing[1]
        row, column = centre or ((shape[0] - 1) / 2, (shape[1] - 1) / 2)
        middle = ray * (sid - sod)
        return cls(
            source=-ray * sod,
            first_pixel=middle - row * row_step - column * column_step,
            row_step=row_step,
            column_step=column_step,
            shape=shape,
        )

    @property
    def spacing(self) -> tuple[float, float]:
        """mm between pixels at the detector, (row, column)."""
        return float(np.linalg.norm(self.row_step)), float(np.linalg.norm(self.column_step))

    @property
    def normal(self) -> np.ndarray:
        """Unit normal of the detector, pointing away from the source, ``(3,)``."""
        normal = np.cross(self.column_step, self.row_step)
        normal = normal / np.linalg.norm(normal)
        return normal if normal @ (self.first_pixel - self.source) > 0 else -normal

    @property
    def sid(self) -> float:
        """Source–image distance along the detector's normal, mm."""
        return float(self.normal @ (self.first_pixel - self.source))

    @property
    def sod(self) -> float:
        """Distance along the detector's normal from the source to the isocentre, mm."""
        return float(-self.normal @ self.source)

    def pixel_positions(self) -> np.ndarray:
        """RAS mm of every pixel centre, ``(rows, columns, 3)``."""
        rows = np.arange(self.shape[0])[:, None, None]
        columns = np.arange(self.shape[1])[None, :, None]
        return self.first_pixel + rows * self.row_step + columns * self.column_step

    def matrix(self) -> np.ndarray:
        """Projection ``P`` (3×4): ``P @ (x, y, z, 1)`` is ``w · (row, column, 1)``, ``w > 0``.

        Hartley and Zisserman, Multiple View Geometry, 2004, ch. 6, in the order (row, column).
        ``w`` is the depth of the point along the detector's normal, in units of the SID.
        """
        # A point X falls on first + r·row + c·col where X − source = w (that − source).
        basis = np.stack([self.row_step, self.column_step, self.first_pixel - self.source], axis=1)
        inverse = np.linalg.inv(basis)
        return np.concatenate([inverse, -inverse @ self.source[:, None]], axis=1)

    def project(self, points: np.ndarray) -> np.ndarray:
        """Pixel (row, column) ``(..., 2)`` on which RAS points ``(..., 3)`` fall."""
        matrix = self.matrix()
        homogeneous = np.asarray(points) @ matrix[:, :3].T + matrix[:, 3]
        return homogeneous[..., :2] / homogeneous[..., 2:]

    def moved(self, rotation: np.ndarray, translation: Sequence[float] = (0, 0, 0)) -> ViewGeometry:
        """Source and detector turned about the isocentre (3×3), then moved (mm)."""
        shift = np.asarray(translation, dtype=float)
        return replace(
            self,
            source=rotation @ self.source + shift,
            first_pixel=rotation @ self.first_pixel + shift,
            row_step=rotation @ self.row_step,
            column_step=rotation @ self.column_step,
        )

    def mirrored(self) -> ViewGeometry:
        """The view of the mirrored knee that gives the same picture, pixel for pixel."""
        return self.moved(MIRROR)

    def resampled(self, spacing_at_isocentre: float, size: int) -> ViewGeometry:
        """A square detector in the same plane, centred on the isocentre's projection.

        Columns and rows run as they do here. This is the detector on which the networks see every
        film, whatever its own size and pixels.

        Args:
            spacing_at_isocentre: mm between pixels, measured at the isocentre.
            size: pixels a side.
        """
        factor = spacing_at_isocentre * self.sid / self.sod
        row_step = self.row_step / np.linalg.norm(self.row_step) * factor
        column_step = self.column_step / np.linalg.norm(self.column_step) * factor
        row, column = self.project(np.zeros(3))
        middle = self.first_pixel + row * self.row_step + column * self.column_step
        half = (size - 1) / 2
        return replace(
            self,
            first_pixel=middle - half * (row_step + column_step),
            row_step=row_step,
            column_step=column_step,
            shape=(size, size),
        )

    def binned(self, factor: int) -> ViewGeometry:
        """The same detector with ``factor`` × ``factor`` of its pixels taken as one."""
        inwards = (factor - 1) / 2 * (self.row_step + self.column_step)
        return replace(
            self,
            first_pixel=self.first_pixel + inwards,
            row_step=self.row_step * factor,
            column_step=self.column_step * factor,
            shape=(self.shape[0] // factor, self.shape[1] // factor),
        )

    def flipped_columns(self) -> ViewGeometry:
        """The same detector, its pixels counted from the other end of each row."""
        last = self.first_pixel + (self.shape[1] - 1) * self.column_step
        return replace(self, first_pixel=last, column_step=-self.column_step)


@dataclass(frozen=True)
class BiplanarGeometry:
    """The frontal and the lateral view of one knee, in one world."""

    frontal: ViewGeometry
    lateral: ViewGeometry

    @property
    def views(self) -> tuple[ViewGeometry, ViewGeometry]:
        """Frontal, lateral."""
        return self.frontal, self.lateral

    @property
    def angle(self) -> float:
        """Degrees between the two central rays."""
        cosine = float(self.frontal.normal @ self.lateral.normal)
        return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))

    def mirrored(self) -> BiplanarGeometry:
        """The geometry of the mirrored knee: the one place where a left knee becomes a right.

        The pictures stay; rows of the detectors are counted from the other end, so that a left
        knee's film, flipped, looks like a right knee's.
        """
        return BiplanarGeometry(
            self.frontal.mirrored().flipped_columns(), self.lateral.mirrored().flipped_columns()
        )


def view_geometry(
    view: View,
    side: Side,
    *,
    sid: float,
    sod: float,
    spacing: tuple[float, float],
    shape: tuple[int, int],
    angle: float = 0.0,
    centre: tuple[float, float] | None = None,
) -> ViewGeometry:
    """The textbook stand of a view, as a :class:`Radiograph` shows it (seen from the tube).

    AP: the beam runs from front to back; PA: back to front, shown like an AP; lateral:
    mediolateral, the beam enters at the inner side.

    Args:
        view: which view.
        side: which knee (it decides the direction of a lateral beam).
        sid: source–image distance, mm.
        sod: source–object distance, mm.
        spacing: mm between pixels at the detector, (row, column).
        shape: (rows, columns).
        angle: degrees by which source and detector are turned about the leg's long axis (z),
            counter-clockwise seen from above.
        centre: pixel (row, column) on which the isocentre falls; the middle by default.
    """
    outward = 1.0 if side is Side.RIGHT else -1.0
    towards, right = {
        View.AP: ((0.0, -1.0, 0.0), (-1.0, 0.0, 0.0)),
        View.PA: ((0.0, 1.0, 0.0), (-1.0, 0.0, 0.0)),
        View.LATERAL: ((outward, 0.0, 0.0), (0.0, -outward, 0.0)),
    }[view]
    if view is View.PA and centre is not None:
        centre = (shape[0] - 1 - centre[0], centre[1])  # its rows are turned over below
    geometry = ViewGeometry.looking(
        towards, right, sid=sid, sod=sod, spacing=spacing, shape=shape, centre=centre
    )
    if view is View.PA:
        # Seen from the tube a PA film has the patient's left at its left; it is shown the other
        # way round, so its rows would run upwards: put them right.
        geometry = _with_rows_down(geometry)
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return geometry.moved(np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]]))


def _with_rows_down(geometry: ViewGeometry) -> ViewGeometry:
    last = geometry.first_pixel + (geometry.shape[0] - 1) * geometry.row_step
    return replace(geometry, first_pixel=last, row_step=-geometry.row_step)


def geometry_of(
    ap: Radiograph,
    lateral: Radiograph,
    *,
    angle: float = 90.0,
    ap_centre: tuple[float, float] | None = None,
    lateral_centre: tuple[float, float] | None = None,
) -> BiplanarGeometry:
    """The geometry that two radiographs state.

    Args:
        ap: the frontal film.
        lateral: the lateral film.
        angle: degrees between the two views; 90 unless the user knows better.
        ap_centre: pixel (row, column) of the middle of the joint on the frontal film; the middle
            of the film by default.
        lateral_centre: the same on the lateral.

    Raises:
        XRayTo3DError: the two films cannot be two views of one knee.
    """
    if not 30 <= angle <= 150:
        raise XRayTo3DError(
            f"The angle between the films is {angle:g}°; two views need between 30° and 150°."
        )
    # The frontal view stands; the lateral turns, away from it when the angle grows.
    turn = (angle - 90.0) * (1.0 if ap.side.value is Side.RIGHT else -1.0)
    if ap.view.value is View.PA:
        turn = -turn
    frontal = film_geometry(ap, 0.0, ap_centre)
    return BiplanarGeometry(frontal, film_geometry(lateral, turn, lateral_centre))


def film_geometry(
    film: Radiograph, angle: float = 0.0, centre: tuple[float, float] | None = None
) -> ViewGeometry:
    """The geometry that one radiograph states.

    Args:
        film: upright.
        angle: degrees by which source and detector are turned about the patient's long axis.
        centre: pixel (row, column) of the middle of the joint; the middle of the film by default.
    """
    return view_geometry(
        film.view.value,
        film.side.value,
        sid=film.sid.value,
        sod=film.sod.value,
        spacing=film.spacing.value,
        shape=(film.pixels.shape[0], film.pixels.shape[1]),
        angle=angle,
        centre=centre,
    )
