"""Casts on a film: plaster or fibreglass about the leg.

Rays that graze a shell cross much more of it than those that go through its walls: a cast draws a
bright band along either side of the leg, off the bones, darker on both sides, as padding and skin
let more rays through than the edge of the shell. Nothing else is bright along the whole of a leg
beside the bones. The band is the path down the film, sought by dynamic programming (Amini et al.,
IEEE PAMI 12, 1990), along which the film stands out most; how much it stands out along most of its
length tells whether it is one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from XRayTo3DLib.imaging.radiograph import Radiograph, Side, View
from XRayTo3DLib.reconstruction.about_middle import mask_on

_STEP = 1.4
"""mm between pixels at the isocentre in which bands are looked for, about: the thinnest cast is
two of them."""

_ALONG, _ACROSS = 4.0, 0.8
"""mm, standard deviations by which the film is smoothed along the leg and across it."""

_NEAREST, _FARTHEST = 2.5, 15.0
"""mm beside the middle of a band between which the film must be darker."""

_OFF_BONE = 6.0
"""mm from the nearest bone within which its own border is bright."""

_OUTSIDE = 0.6
"""Share that counts of how much darker it is outside, where there is air, than the band."""

_MOST = 0.15
"""Share of the film's contrast above which a band is no likelier to be one."""

_SHARE_OF_LENGTH = 0.4
"""A band stands out so much or more along all but this share of its length."""


_FRONTAL, _LATERAL = 0.04, 0.04
"""Shares of the film's contrast by which casts stand out: on a frontal film the mean of both sides,
on a lateral one in front, for behind lie the folds of thigh and calf."""


@dataclass(frozen=True)
class Bands:
    """How much bands on either side of the bones stand out, as shares of the film's contrast."""

    left: float
    right: float


def shows_cast(film: Radiograph, bones: tuple[Tensor, float]) -> bool:
    """Whether the leg on a film seems to be in a cast.

    Args:
        film: bone bright, upright, of the view and the side that it says.
        bones: silhouettes ``(4, rows, columns)`` 0–1 about the middle of the film, and mm between
            their pixels at the isocentre.
    """
    bands = bands_beside(film, *bones)
    if film.view.value is not View.LATERAL:
        return (bands.left + bands.right) / 2 > _FRONTAL
    # As seen from the tube, the front of a right knee is at the left.
    front = bands.left if film.side.value is Side.RIGHT else bands.right
    return front > _LATERAL


def bands_beside(film: Radiograph, silhouettes: Tensor, coarse: float) -> Bands:
    """The strongest bright band down the film on either side of the bones.

    Args:
        film: bone bright, upright.
        silhouettes: ``(4, rows, columns)`` 0–1 about the middle of the film.
        coarse: mm between their pixels, at the isocentre.
    """
    picture, step = _reduced(film)
    bone = mask_on(silhouettes.amax(dim=0).numpy() > 0.5, coarse, picture.shape, step)
    rows = np.flatnonzero(bone.any(axis=1))
    if not len(rows):
        return Bands(0.0, 0.0)
    rows = np.arange(rows[0], rows[-1] + 1)
    middle = _middles(bone[rows])
    standing = _standing_out(picture[rows], middle, step)
    near = ndimage.distance_transform_edt(~bone, sampling=step)[rows] < _OFF_BONE
    columns = np.arange(picture.shape[1])
    sides = [columns < middle[:, None], columns > middle[:, None]]
    left, right = (_strength(np.where(side & ~near, standing, 0.0)) for side in sides)
    return Bands(left, right)


def _reduced(film: Radiograph) -> tuple[np.ndarray, float]:
    """The film on 0–1 in pixels of about :data:`_STEP`, smoothed, and their size, mm."""
    size = float(np.mean(film.spacing.value)) / film.magnification
    block = max(1, round(_STEP / size))
    image = torch.from_numpy(np.ascontiguousarray(film.pixels, dtype=np.float32))
    picture = F.avg_pool2d(image[None, None], block)[0, 0].numpy()
    step = size * block
    low, high = np.percentile(picture, [1.0, 99.0])
    picture = np.clip((picture - low) / max(high - low, 1e-6), 0.0, 1.0)
    return ndimage.gaussian_filter(picture, (_ALONG / step, _ACROSS / step)), step


def _middles(bone: np.ndarray) -> np.ndarray:
    """Column of the bones' middle in each row."""
    columns = np.arange(bone.shape[1])
    count = bone.sum(axis=1)
    seen = count > 0
    middles = (bone @ columns)[seen] / count[seen]
    return np.interp(np.arange(len(bone)), np.flatnonzero(seen), middles)


def _standing_out(picture: np.ndarray, middle: np.ndarray, step: float) -> np.ndarray:
    """By how much each pixel is brighter than the darkest on either side of it, in its row."""
    near, far = round(_NEAREST / step), round(_FARTHEST / step)
    count = picture.shape[1]
    padded = np.pad(picture, ((0, 0), (far, far)), constant_values=np.inf)
    to_left, to_right = (
        picture
        - np.min([padded[:, far + sign * k :][:, :count] for k in range(near, far + 1)], axis=0)
        for sign in (-1, 1)
    )
    on_left = np.arange(count) < middle[:, None]
    outside = np.where(on_left, to_left, to_right)
    inside = np.where(on_left, to_right, to_left)
    return np.clip(np.minimum(inside, _OUTSIDE * outside), 0.0, None)


def _strength(standing: np.ndarray) -> float:
    """What the best path from the top row to the bottom one, a column a row, stands out by."""
    worth = np.minimum(standing, _MOST)
    rows, columns = worth.shape
    total = worth[0]
    came = np.zeros((rows, columns), dtype=int)
    padded = np.full(columns + 2, -np.inf)
    options = np.lib.stride_tricks.sliding_window_view(padded, columns)  # left, straight, right
    for row in range(1, rows):
        padded[1:-1] = total
        best = options.argmax(axis=0)
        came[row] = best - 1
        total = options.max(axis=0) + worth[row]
    column = int(total.argmax())
    along = np.empty(rows)
    for row in range(rows - 1, -1, -1):
        along[row] = worth[row, column]
        column = min(max(column + int(came[row, column]), 0), columns - 1)
    return float(np.quantile(along, _SHARE_OF_LENGTH))
