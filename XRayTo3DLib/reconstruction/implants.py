"""Metal on a film: plates, screws, nails and prostheses.

Metal stops nearly all rays, so that it stands out from whatever is around it by a step all along
its outline; bone, which is round and spongy inside, does so along parts of its outline at most.
Pieces are what a threshold leaves of the film, at whichever grey they stand out best (the extremal
regions of Matas et al., Image and Vision Computing 22, 2004, with another measure of merit). Lead
letters are as sharp, but their strokes are thinner than any implant that matters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from XRayTo3DLib.imaging.radiograph import Radiograph

_STEP = 0.7
"""mm between pixels at the isocentre in which metal is looked for, about; the finest implants that
matter span five, and grain averages out."""

_STROKE = 1.6
"""mm; what a disc of this radius does not fit into is a letter, or a wire."""

_RIM = 1.4
"""mm on either side of an outline between which the step is measured."""

_GREYS = np.linspace(0.4, 0.98, 15)
"""Thresholds, shares of the film's contrast."""

_LEAST, _MOST = 40.0, 5000.0
"""mm² of a piece of metal at the isocentre; what is larger is the border of the exposed field."""

_ALONG_BORDER = 25.0
"""mm of a piece that may lie on the border of the film: more than a nail does, and less than the
unexposed margin."""

_QUARTILE = 25.0
"""Percentile of the steps along an outline that must be high: three quarters of it stand out."""

_SHARP = 0.35
"""Share of the film's contrast by which metal stands out."""

_CLOSE = 3.0
"""mm from a bone within which a piece lies on it."""

_ON_BONE = 0.4
"""Share of a piece that must do so. Lead letters lie beside the leg."""


def metal_on(film: Radiograph, bones: Callable[[], tuple[Tensor, float]] | None = None) -> float:
    """How much metal a film shows.

    Args:
        film: bone bright, upright or not.
        bones: gives silhouettes ``(4, rows, columns)`` about the middle of the film and mm between
            their pixels at the isocentre; asked only if there is something sharp, which counts only
            if it lies on a bone. Without, all that is sharp counts.

    Returns:
        mm² at the isocentre of the pieces that stand out as only metal does; 0 where there is none.
    """
    picture, step = _reduced(film)
    pieces = list(_pieces(picture, step))
    if pieces and bones is not None:
        bone = _bone_around(picture.shape, step, *bones())
        pieces = [piece for piece in pieces if bone[piece].mean() > _ON_BONE]
    found = np.any(pieces, axis=0) if pieces else np.zeros(1)
    return float(found.sum()) * step**2


def _bone_around(
    shape: tuple[int, ...], step: float, silhouettes: Tensor, coarse: float
) -> np.ndarray:
    """Which pixels of the reduced film lie on a bone or close to it."""
    near = ndimage.binary_dilation(silhouettes.amax(dim=0).numpy() > 0.5, _disc(_CLOSE / coarse))
    places = [
        np.round((np.arange(size) - (size - 1) / 2) * step / coarse + (count - 1) / 2).astype(int)
        for size, count in zip(shape, near.shape, strict=True)
    ]
    inside = [(place >= 0) & (place < n) for place, n in zip(places, near.shape, strict=True)]
    rows, columns = (np.clip(place, 0, n - 1) for place, n in zip(places, near.shape, strict=True))
    return near[np.ix_(rows, columns)] & inside[0][:, None] & inside[1]


def _reduced(film: Radiograph) -> tuple[np.ndarray, float]:
    """The film on 0–1 in pixels of about :data:`_STEP`, and their size, mm at the isocentre."""
    size = float(np.mean(film.spacing.value)) / film.magnification
    block = max(1, round(_STEP / size))
    image = torch.from_numpy(np.ascontiguousarray(film.pixels, dtype=np.float32))
    image = F.avg_pool2d(image[None, None], block)[0, 0]
    picture = ndimage.gaussian_filter(image.numpy(), 0.4)
    low, high = np.percentile(picture, [1.0, 99.8])
    return np.clip((picture - low) / max(high - low, 1e-6), 0.0, 1.0), size * block


def _pieces(picture: np.ndarray, step: float) -> Iterator[np.ndarray]:
    """Masks of what stands out."""
    rim = _disc(_RIM / step)
    steps = ndimage.maximum_filter(picture, footprint=rim) - ndimage.minimum_filter(
        picture, footprint=rim
    )
    thick = ndimage.grey_opening(picture, footprint=_disc(_STROKE / step))
    for grey in _GREYS:
        labels, _ = ndimage.label(thick >= grey)
        for number, box in enumerate(ndimage.find_objects(labels), start=1):
            piece = labels[box] == number
            if _could_be_metal(piece, box, picture.shape, step) and _stands_out(piece, steps[box]):
                whole = np.zeros(picture.shape, dtype=bool)
                whole[box] = piece
                yield whole


def _could_be_metal(
    piece: np.ndarray, box: tuple[slice, ...], shape: tuple[int, ...], step: float
) -> bool:
    if not _LEAST < piece.sum() * step**2 < _MOST:
        return False
    rows, columns = box
    along = 0
    if rows.start == 0:
        along += piece[0].sum()
    if rows.stop == shape[0]:
        along += piece[-1].sum()
    if columns.start == 0:
        along += piece[:, 0].sum()
    if columns.stop == shape[1]:
        along += piece[:, -1].sum()
    return along * step < _ALONG_BORDER


def _stands_out(piece: np.ndarray, steps: np.ndarray) -> bool:
    outline = piece & ~ndimage.binary_erosion(np.pad(piece, 1))[1:-1, 1:-1]
    return bool(np.percentile(steps[outline], _QUARTILE) > _SHARP)


def _disc(radius: float) -> np.ndarray:
    reach = max(1, int(np.ceil(radius)))
    row, column = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    return row**2 + column**2 <= max(radius, 1.0) ** 2
