"""How many pixels a radiograph can have; checked before they are read."""

from __future__ import annotations

from pathlib import Path

from XRayTo3DLib.errors import InputFileError

SMALLEST_SIDE = 64
LARGEST_SIDE = 12000


def check_size(path: Path, shape: tuple[int, int]) -> None:
    """Refuse thumbnails, and sizes that no detector has.

    Args:
        path: the file, for messages.
        shape: (rows, columns).

    Raises:
        InputFileError: a side is below 64 or above 12,000 pixels.
    """
    rows, columns = shape
    if min(shape) < SMALLEST_SIDE:
        raise InputFileError(
            path,
            f"has {columns} × {rows} pixels; a radiograph needs at least {SMALLEST_SIDE} a side.",
        )
    if max(shape) > LARGEST_SIDE:
        raise InputFileError(
            path,
            f"claims {columns} × {rows} pixels, more than {LARGEST_SIDE} a side; it is damaged or "
            "no radiograph: export the film again.",
        )
