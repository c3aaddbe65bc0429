"""Folders of films: the two sides between which a translation of style is learnt.

Nothing pairs a film of the one folder with one of the other (Zhu et al., ICCV 2017).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from torch import Tensor

from XRayTo3DLib.errors import InputFileError
from XRayTo3DLib.imaging.geometry import view_geometry
from XRayTo3DLib.imaging.normalisation import normalise_film
from XRayTo3DLib.imaging.radiograph import Radiograph, Side, View
from XRayTo3DLib.imaging.reading import read_radiograph
from XRayTo3DLib.reconstruction.standard_film import standard_film

FILM_SIZE = 256
FILM_SPACING = 0.68
"""Pixels a side, and mm between them at the isocentre, of the films that are translated."""

INDEX = "films.json"

_WHITE = 65535
_ENDINGS = (
    *(".dcm", ".dicom", ".dic", ".ima"),
    *(".png", ".jpg", ".jpeg", ".tif", ".tiff"),
    *(".nrrd", ".mha", ".mhd", ".nii", ".gz"),
)


def save_film(film: np.ndarray, path: Path) -> None:
    """Write a standard film ``(256, 256)`` in 0–1 as a 16-bit grey PNG, whole or not at all."""
    grey = np.round(np.clip(film, 0.0, 1.0) * _WHITE).astype(np.uint16)
    unfinished = path.with_name(f".{path.name}")
    sitk.WriteImage(sitk.GetImageFromArray(grey), str(unfinished))
    unfinished.replace(path)


def describe_films(folder: Path) -> dict[str, Any]:
    """What ``xrayto3d style-films`` wrote about a folder; empty for a folder of other films.

    Raises:
        InputFileError: the record is damaged.
    """
    index = Path(folder) / INDEX
    if not index.is_file():
        return {}
    try:
        return dict(json.loads(index.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise InputFileError(index, "is damaged; make the films again, elsewhere.") from error


def load_films(folder: Path) -> Tensor:
    """All films of a folder as the networks see them.

    Films that ``xrayto3d style-films`` made are taken as they are. Any other folder may hold films
    of every format that :func:`read_radiograph` reads; the joint is taken to be in the middle.

    Args:
        folder: searched below too.

    Returns:
        ``(N, 1, 256, 256)`` float32 in 0–1, in the order of their names.

    Raises:
        InputFileError: there is none, or one cannot be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputFileError(folder, "is not a folder; name a folder of films.")
    ready = bool(describe_films(folder))
    paths = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in _ENDINGS and path.is_file() and not path.name.startswith(".")
    )
    if not paths:
        raise InputFileError(
            folder, "holds no film; put some in, or make some with 'xrayto3d style-films'."
        )
    read = _read_ready if ready else _read_any
    return torch.stack([read(path) for path in paths])[:, None]


def _read_ready(path: Path) -> Tensor:
    try:
        grey = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    except RuntimeError as error:
        raise InputFileError(path, "is damaged; make the films again.") from error
    if grey.shape != (FILM_SIZE, FILM_SIZE) or grey.dtype != np.uint16:
        raise InputFileError(
            path,
            f"is not a film of {FILM_SIZE} × {FILM_SIZE} pixels in 16 bits; keep other films in a "
            "folder of their own.",
        )
    return torch.from_numpy(grey.astype(np.float32) / _WHITE)


def _read_any(path: Path) -> Tensor:
    # Frontal or lateral makes no difference but to how a film without a word on it is turned.
    return standard(read_radiograph(path, fallback_view=View.AP))


def standard(film: Radiograph) -> Tensor:
    """A film as the networks see it, ``(256, 256)`` in 0–1, the joint taken to be in its middle.

    The film of a left knee is mirrored, as for the networks.
    """
    mirrored = film.side.value is Side.LEFT
    pixels = film.pixels[:, ::-1] if mirrored else film.pixels
    view = view_geometry(
        film.view.value,
        Side.RIGHT,
        sid=film.sid.value,
        sod=film.sod.value,
        spacing=film.spacing.value,
        shape=(pixels.shape[0], pixels.shape[1]),
    )
    # Again after 16 bits or not, what a network sees has gone through the same function.
    return normalise_film(
        standard_film(np.ascontiguousarray(pixels), view, FILM_SPACING, FILM_SIZE)
    )
