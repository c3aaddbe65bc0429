"""The grey picture in a file of three colour channels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from XRayTo3DLib.errors import InputFileError

# JPEG moves the channels of a grey picture apart by a few levels; a marker may have been drawn in
# colour. A photograph has colour nearly everywhere.
_CHANNEL_DIFFERENCE = 0.04
_COLOURED_SHARE = 0.02


def grey_of(channels: np.ndarray, path: Path) -> np.ndarray:
    """The mean of the colours of a grey film saved in colour.

    Args:
        channels: ``(rows, columns, 3)`` or, with opacity last, ``(rows, columns, 4)``, integer.
        path: the file, for messages.

    Returns:
        ``(rows, columns)`` float32.

    Raises:
        InputFileError: the picture is in colour.
    """
    if channels.ndim != 3 or channels.shape[-1] not in (3, 4):
        raise InputFileError(path, "is not a picture of one channel; export the film in grey.")
    colours = channels[..., :3].astype(np.float32)
    spread = colours.max(axis=-1) - colours.min(axis=-1)
    scale = max(float(colours.max()), 1.0)
    if float(np.mean(spread > _CHANNEL_DIFFERENCE * scale)) > _COLOURED_SHARE:
        raise InputFileError(path, "is a colour picture, not a radiograph; use a grey film.")
    return colours.mean(axis=-1)
