"""Metal on a film: plates, screws, nails, wires and prostheses.

A small network marks it pixel by pixel (:mod:`XRayTo3DLib.reconstruction.implant_network`). What
counts are pieces of it, large enough, that lie on a bone: buttons, zips and balls for calibration
are metal too.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from XRayTo3DLib.imaging.radiograph import Radiograph
from XRayTo3DLib.reconstruction.about_middle import mask_on
from XRayTo3DLib.reconstruction.implant_network import (
    STEP,
    ImplantNetwork,
    as_seen,
    shipped_implant_network,
)

_LIKELY = 0.5
"""Probability from which a pixel is taken for metal."""

_SURE, _LEAST = 0.95, 36.0
"""Probability that so many mm² (at the isocentre) of a piece must reach: so chosen that at most 3 %
of films without metal, of people of the training and of the validation, show some."""

_CLOSE = 3.0
"""mm from a bone within which a piece lies on it."""

_ON_BONE = 0.4
"""Share of a piece that must do so."""


def metal_on(film: Radiograph, bones: Callable[[], tuple[Tensor, float]] | None = None) -> float:
    """How much metal a film shows.

    Args:
        film: bone bright, upright or not.
        bones: gives silhouettes ``(4, rows, columns)`` about the middle of the film and mm between
            their pixels at the isocentre; asked only if there is metal, which counts only if it
            lies on a bone. Without, all metal counts.

    Returns:
        mm² at the isocentre of the pieces of metal, up to twice too much where bright bone beside
        metal is marked with it; 0 where there is none.
    """
    likely, step = metal_likely(film, shipped_implant_network())
    pieces = _pieces(likely, _LEAST / step**2)
    if pieces and bones is not None:
        bone = _bone_around(likely.shape, step, *bones())
        pieces = [piece for piece in pieces if bone[piece].mean() > _ON_BONE]
    return float(sum(piece.sum() for piece in pieces)) * step**2


@torch.inference_mode()
def metal_likely(film: Radiograph, network: ImplantNetwork) -> tuple[np.ndarray, float]:
    """Probability of metal, ``(rows, columns)`` about the middle of the film, coarser than it.

    Args:
        film: bone bright.
        network: that marks metal.

    Returns:
        the probability, 0–1, and mm between its pixels at the isocentre.
    """
    picture, step = _reduced(film)
    return network(as_seen(picture)[None])[0, 0].sigmoid().numpy(), step


def _reduced(film: Radiograph) -> tuple[Tensor, float]:
    """The film in pixels of about :data:`STEP`, and their size, mm at the isocentre."""
    size = float(np.mean(film.spacing.value)) / film.magnification
    image = torch.from_numpy(np.ascontiguousarray(film.pixels, dtype=np.float32))[None, None]
    # Averaging blocks first keeps fine detail from turning into false coarse detail.
    block = max(1, int(STEP / size))
    image = F.avg_pool2d(image, block)
    shape = [max(1, round(count * block * size / STEP)) for count in image.shape[-2:]]
    step = image.shape[-2] * block * size / shape[0]
    return F.interpolate(image, shape, mode="bilinear", align_corners=False)[0, 0], step


def _pieces(likely: np.ndarray, least: float) -> list[np.ndarray]:
    """Masks of what is marked in one piece, at least ``least`` pixels of it for sure."""
    labels, count = ndimage.label(likely > _LIKELY, np.ones((3, 3)))
    sure = ndimage.sum_labels(likely > _SURE, labels, range(1, count + 1))
    return [labels == number + 1 for number in np.flatnonzero(sure >= least)]


def _bone_around(
    shape: tuple[int, ...], step: float, silhouettes: Tensor, coarse: float
) -> np.ndarray:
    """Which pixels of the reduced film lie on a bone or close to it."""
    near = ndimage.binary_dilation(silhouettes.amax(dim=0).numpy() > 0.5, _disc(_CLOSE / coarse))
    return mask_on(near, coarse, shape, step)


def _disc(radius: float) -> np.ndarray:
    reach = max(1, int(np.ceil(radius)))
    row, column = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    return row**2 + column**2 <= max(radius, 1.0) ** 2
