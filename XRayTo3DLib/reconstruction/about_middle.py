"""Pictures about the middle of a film, of different size and different pixels."""

from __future__ import annotations

import numpy as np


def mask_on(mask: np.ndarray, spacing: float, shape: tuple[int, ...], step: float) -> np.ndarray:
    """A mask on another picture with the same middle; beside the mask there is nothing.

    Args:
        mask: ``(rows, columns)`` bool.
        spacing: mm between its pixels.
        shape: of the other picture.
        step: mm between the other's pixels.
    """
    places = [
        np.round((np.arange(size) - (size - 1) / 2) * step / spacing + (count - 1) / 2).astype(int)
        for size, count in zip(shape, mask.shape, strict=True)
    ]
    inside = [(place >= 0) & (place < n) for place, n in zip(places, mask.shape, strict=True)]
    rows, columns = (np.clip(place, 0, n - 1) for place, n in zip(places, mask.shape, strict=True))
    return mask[np.ix_(rows, columns)] & inside[0][:, None] & inside[1]
