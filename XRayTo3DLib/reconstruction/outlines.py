"""The outlines of reconstructed bones on the films that they came from."""

from __future__ import annotations

import numpy as np

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.imaging.radiograph import Radiograph
from XRayTo3DLib.reconstruction.projected import edge_agreement, outline, silhouette
from XRayTo3DLib.reconstruction.result import Reconstruction

Contours = list[np.ndarray]
"""Contours of one bone on one film, each ``(n, 2)`` pixel (row, column)."""

Outlines = dict[Bone, tuple[Contours, Contours]]
"""Of each bone found, on the frontal and on the lateral film."""

_MARGIN_MM = 10.0


def outlines_of(reconstruction: Reconstruction) -> Outlines:
    """Project every surface on both films."""
    frontal, lateral = reconstruction.geometry.views
    return {
        bone: (outline(silhouette(surface, frontal)), outline(silhouette(surface, lateral)))
        for bone, surface in sorted(reconstruction.surfaces.items())
    }


def agreement(film: Radiograph, contours: Contours) -> float | None:
    """How well contours lie on edges of the film, 0–1; None where none of them is on it.

    See :func:`XRayTo3DLib.reconstruction.projected.edge_agreement`. Only the neighbourhood of the
    contours is looked at, for speed.
    """
    if not contours:
        return None
    spacing = np.array(film.spacing.value)
    points = np.concatenate(contours)
    margin = _MARGIN_MM / spacing
    first = np.maximum(np.floor(points.min(axis=0) - margin), 0).astype(int)
    last = np.ceil(points.max(axis=0) + margin).astype(int) + 1
    value = edge_agreement(
        film.pixels[first[0] : last[0], first[1] : last[1]],
        [contour - first for contour in contours],
        spacing=film.spacing.value,
    )
    return value if np.isfinite(value) else None
