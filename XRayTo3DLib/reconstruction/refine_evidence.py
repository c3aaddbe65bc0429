"""What films say about where bones end: distances to estimated silhouettes, and surfaces' rims."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage.measure import find_contours

from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.imaging.geometry import ViewGeometry
from XRayTo3DLib.reconstruction.projected import resampled
from XRayTo3DLib.reconstruction.refine_chords import chords

_LEAST_SILHOUETTE = 100.0
"""mm² at the isocentre; a smaller spot is no bone (a patella has ten times as much)."""

_FILM_MARGIN = 2.0
"""mm at the isocentre: so near the border of a film a silhouette's end is the film's."""

_BORDER_PIXELS = 1.5
"""The same for the border of the network's picture, where its convolutions see padding."""

_CUT_MARGIN = 3.0
"""mm from the faces of the field of view, where a surface is cut off and no bone ends."""

_CONTOUR_STEP = 0.25
"""Pixels between the points of a silhouette's border from which distances are measured."""

_FINER = 2
"""Pixels to one of the detector, along rows and columns, on which surfaces' outlines are found: at
the detector's own, where most edges are steps, an outline is off by up to half a pixel."""

_WHOLE = 8.0
"""mm of bone along a ray that make a silhouette's pixel one; less counts in proportion. So the
networks are taught: see :func:`XRayTo3DLib.anatomy.tissue.bone_silhouettes`."""

_BLUR = 0.6
"""mm, standard deviation: that bone is taught as voxels of 1.2 mm, filled in part and interpolated
linearly. It puts the border 0.2 mm further out."""

_AROUND = 12
"""Pixels around a surface's outline into which the blur reaches."""


@dataclass(frozen=True)
class SilhouetteField:
    """Signed distances to the border of one bone's silhouette on one detector.

    Attributes:
        distance: ``(rows, columns)`` mm at the isocentre, positive outside the silhouette.
        gradient: ``(2, rows, columns)`` mm per pixel, along rows and columns.
        trusted: ``(rows, columns)`` bool, where the nearest point of the border is one of the bone
            and not the place where the film ends.
    """

    distance: np.ndarray
    gradient: np.ndarray
    trusted: np.ndarray

    def at(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Distance ``(n,)`` and gradient ``(n, 2)`` at pixels ``(n, 2)``, bilinear."""
        sampled = [
            ndimage.map_coordinates(part, pixels.T, order=1, mode="nearest")
            for part in (self.distance, *self.gradient)
        ]
        return sampled[0], np.stack(sampled[1:], axis=1)

    def trusts(self, pixels: np.ndarray) -> np.ndarray:
        """Whether the distance at each of the pixels ``(n, 2)`` tells anything, bool ``(n,)``."""
        return ndimage.map_coordinates(self.trusted, pixels.T, order=0, mode="constant", cval=False)


def pixel_size(view: ViewGeometry) -> np.ndarray:
    """mm between pixels at the isocentre, (row, column)."""
    return np.array(view.spacing) * view.sod / view.sid


def silhouette_field(
    probability: np.ndarray, detector: ViewGeometry, film: ViewGeometry
) -> SilhouetteField | None:
    """Distances to the line at which a silhouette's probability is one half.

    The line is found between pixels by linear interpolation, so that distances are good to a small
    part of a pixel. Only the largest piece counts, without its holes.

    Args:
        probability: ``(rows, columns)``, 0–1, on ``detector``.
        detector: on which the silhouette was estimated.
        film: the film's own detector, in the same plane; beyond it there is nothing to see.

    Returns:
        None where no border of a silhouette is seen.
    """
    solid = _largest_piece(probability)
    size = pixel_size(detector)
    if np.count_nonzero(solid > 0.5) * size.prod() < _LEAST_SILHOUETTE:
        return None
    points, ends = _border(solid, detector, film)
    if len(points) == 0:
        return None
    pixels = np.moveaxis(np.indices(solid.shape), 0, -1)
    distance, nearest = cKDTree(points * size).query(pixels * size)
    distance = np.where(solid > 0.5, -distance, distance)
    trusted = ~ends[nearest] & _on_film(pixels, detector, film)
    return SilhouetteField(distance, np.array(np.gradient(distance)), trusted)


def _largest_piece(probability: np.ndarray) -> np.ndarray:
    """The probability without other pieces above one half, and without holes."""
    # Pieces that touch at a corner are one, so that no border leans on another piece's pixels.
    pieces, count = ndimage.label(probability > 0.5, structure=np.ones((3, 3)))
    if count == 0:
        return np.zeros_like(probability)
    largest = pieces == 1 + np.bincount(pieces.ravel())[1:].argmax()
    solid = np.where((pieces > 0) & ~largest, 0.0, probability)
    return np.where(_holes(largest), 1.0, solid)


def _holes(mask: np.ndarray) -> np.ndarray:
    """What is not of the mask and not linked to the rim of the picture, bool."""
    pieces, count = ndimage.label(~mask)
    hole = np.ones(count + 1, dtype=bool)
    for rim in (0, pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1]):
        hole[rim] = False
    return hole[pieces]


def _border(
    solid: np.ndarray, detector: ViewGeometry, film: ViewGeometry
) -> tuple[np.ndarray, np.ndarray]:
    """Points ``(n, 2)`` along the border that is seen, and at which of them it breaks off."""
    kept, ends = [np.zeros((0, 2))], [np.zeros(0, dtype=bool)]
    for contour in find_contours(solid, 0.5):
        closed = bool(np.array_equal(contour[0], contour[-1]))
        points = resampled(contour, _CONTOUR_STEP)
        seen = _on_film(points, detector, film)
        around = np.pad(seen, 1, mode="wrap" if closed else "constant")
        kept.append(points[seen])
        ends.append(~(around[:-2] & around[2:])[seen])
    return np.concatenate(kept), np.concatenate(ends)


def _on_film(pixels: np.ndarray, detector: ViewGeometry, film: ViewGeometry) -> np.ndarray:
    """Which pixels ``(..., 2)`` of the detector lie well within the film, bool ``(...)``."""
    steps = np.stack([detector.row_step, detector.column_step])
    there = film.project(detector.first_pixel + pixels @ steps)
    margin = _FILM_MARGIN / pixel_size(film)
    inside = np.all((there >= margin) & (there <= np.array(film.shape) - 1 - margin), axis=-1)
    last = np.array(detector.shape) - 1 - _BORDER_PIXELS
    return inside & np.all((pixels >= _BORDER_PIXELS) & (pixels <= last), axis=-1)


def rim_points(
    surface: Surface, motion: np.ndarray, view: ViewGeometry, field_of_view: float
) -> np.ndarray:
    """Points that make the outline of a surface on a detector, about a pixel apart.

    The outline is that of the silhouette which a perfect network would see: it runs where rays pass
    through as much bone as makes a silhouette one half. On thin edges, as those of a patella seen
    from the front, that is a millimetre within the outermost rays.

    Args:
        surface: closed, RAS mm.
        motion: 4×4, by which it is moved, RAS mm.
        view: source and detector.
        field_of_view: mm a side of the cube about the isocentre in which the surface was made; at
            its faces the surface is cut off, and has no rim.

    Returns:
        ``(n, 3)`` RAS mm, before the motion.
    """
    moved = surface.transformed(motion)
    fine = _cut_to(_finer(view), moved.vertices)
    if 0 in fine.shape:
        return np.zeros((0, 3))
    length, middle = chords(moved, fine)
    length = ndimage.gaussian_filter(length, _BLUR / pixel_size(fine))
    solid = _largest_piece(np.minimum(length / _WHOLE, 1.0))
    pixels = np.concatenate(
        [np.zeros((0, 2)), *(resampled(contour, _FINER) for contour in find_contours(solid, 0.5))]
    )
    if len(pixels) == 0:
        return np.zeros((0, 3))
    # A contour runs between pixels of which one may lie beside the bone.
    nearest = ndimage.distance_transform_edt(
        np.isnan(middle), return_distances=False, return_indices=True
    )
    share = ndimage.map_coordinates(middle[tuple(nearest)], pixels.T, order=1, mode="nearest")
    ends = fine.first_pixel + pixels @ np.stack([fine.row_step, fine.column_step])
    points = view.source + share[:, None] * (ends - view.source)
    back = np.linalg.inv(motion)
    points = points @ back[:3, :3].T + back[:3, 3]
    return points[np.all(np.abs(points) < 0.5 * field_of_view - _CUT_MARGIN, axis=1)]


def _finer(view: ViewGeometry) -> ViewGeometry:
    """The same detector with each pixel divided."""
    row_step, column_step = view.row_step / _FINER, view.column_step / _FINER
    return replace(
        view,
        first_pixel=view.first_pixel - (_FINER - 1) / 2 * (row_step + column_step),
        row_step=row_step,
        column_step=column_step,
        shape=(view.shape[0] * _FINER, view.shape[1] * _FINER),
    )


def _cut_to(view: ViewGeometry, points: np.ndarray) -> ViewGeometry:
    """The part of a detector on which points ``(n, 3)`` fall, and a little around it."""
    pixels = view.project(points)
    first = np.clip(np.floor(pixels.min(axis=0)).astype(int) - _AROUND, 0, view.shape)
    end = np.clip(np.ceil(pixels.max(axis=0)).astype(int) + _AROUND + 1, first, view.shape)
    rows, columns = end - first
    return replace(
        view,
        first_pixel=view.first_pixel + first[0] * view.row_step + first[1] * view.column_step,
        shape=(int(rows), int(columns)),
    )
