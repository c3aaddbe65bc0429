"""Bones drawn on films: label images, or one mask a bone, turned upright with their film."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from PIL import Image
from scipy import ndimage

from XRayTo3DLib.anatomy.bones import BACKGROUND, Bone
from XRayTo3DLib.errors import InputFileError
from XRayTo3DLib.imaging.orientation import Turn, turn_upright
from XRayTo3DLib.imaging.radiograph import Radiograph
from XRayTo3DLib.imaging.raster import VOLUME_SUFFIXES, named_like_volume

MaskFiles = Path | Mapping[Bone, Path]
"""A label image, or the mask of each bone."""

NOT_JUDGED = 255
"""Label of what nobody could tell, such as under shutters or metal: it counts for nothing."""

_PICTURES = ("PNG", "TIFF")
_PICTURE_SUFFIXES = (".png", ".tif", ".tiff")
_INDEXED_MODES = ("1", "L", "P", "I", "I;16")
_LABELS = (BACKGROUND, *Bone, NOT_JUDGED)


@dataclass(frozen=True)
class DrawnBone:
    """What is known of one bone on an upright film.

    Attributes:
        mask: ``(rows, columns)`` bool, its silhouette.
        judged: ``(rows, columns)`` bool, where the mask says the truth.
    """

    mask: np.ndarray
    judged: np.ndarray


def mask_files_in(path: Path) -> MaskFiles:
    """What a path means: a label image, or a folder with a mask for each bone, by its name.

    Raises:
        InputFileError: it does not exist, or is a folder without a mask such as ``femur.png``.
    """
    if path.is_file():
        return path
    if not path.is_dir():
        raise InputFileError(path, "does not exist; name the file of masks as the index has it.")
    found = {}
    for bone in Bone:
        for suffix in (*_PICTURE_SUFFIXES, *VOLUME_SUFFIXES):
            if (file := path / f"{bone.key}{suffix}").is_file():
                found[bone] = file
                break
    if not found:
        raise InputFileError(path, "holds no mask; name them femur.png, tibia.png and so on.")
    return found


def read_masks(files: MaskFiles, film: Radiograph) -> dict[Bone, DrawnBone]:
    """Read what was drawn on the film as its file has it, and turn it upright as the film was.

    Args:
        files: a mask for each bone, two values each, the lower one background; or a label image
            with 0 for background, 1–4 for femur, tibia, patella and fibula, and 255 for what is not
            to be judged. A pixel has but one label: where another bone is drawn, nothing is known
            of this one, so that overlapping bones are better told by masks of their own. PNG, TIFF,
            NRRD, MetaImage or NIfTI.
        film: upright.

    Returns:
        The bones that were drawn; nothing is known of the others.

    Raises:
        InputFileError: a file cannot be read, has another size than the film, or holds other
            values.
    """
    if isinstance(files, Path):
        labels = _upright(_values(files), film, files)
        _check_labels(labels, files)
        drawn = {bone: _of_label(labels, bone) for bone in Bone}
    else:
        everywhere = np.ones(film.pixels.shape, dtype=bool)
        drawn = {bone: DrawnBone(_mask(path, film), everywhere) for bone, path in files.items()}
    return {bone: found for bone, found in drawn.items() if found.mask.any()}


def _of_label(labels: np.ndarray, bone: Bone) -> DrawnBone:
    unknown = (labels != BACKGROUND) & (labels != bone)
    # The pixels beside carry the outline along which the mask was cut by what lies over it.
    return DrawnBone(labels == bone, ~ndimage.binary_dilation(unknown, iterations=2))


def _mask(path: Path, film: Radiograph) -> np.ndarray:
    values = _upright(_values(path), film, path)
    if len(found := np.unique(values)) > 2:
        raise InputFileError(
            path, f"holds {len(found)} values; the mask of one bone has two, 0 and another."
        )
    return values > found[0]


def _check_labels(labels: np.ndarray, path: Path) -> None:
    if strange := sorted(set(np.unique(labels).tolist()) - set(_LABELS)):
        raise InputFileError(
            path,
            f"holds the label {strange[0]:g}; use 1 femur, 2 tibia, 3 patella, 4 fibula, 255 not "
            "judged, or a folder with one mask a bone.",
        )


def _upright(values: np.ndarray, film: Radiograph, path: Path) -> np.ndarray:
    turn = _turn_of(film)
    expected = film.pixels.shape[::-1] if turn.transpose else film.pixels.shape
    if values.shape != expected:
        raise InputFileError(
            path,
            f"has {_size(values.shape)} pixels, but its film {_size(expected)}; draw masks on the "
            "film's own pixels.",
        )
    return turn.pixels(values)


def _turn_of(film: Radiograph) -> Turn:
    turn = turn_upright(film.orientation.value, film.view.value, film.side.value)
    return turn or Turn(transpose=False, flip_rows=False, flip_columns=False)


def _size(shape: tuple[int, ...]) -> str:
    return " × ".join(str(size) for size in shape)


def _values(path: Path) -> np.ndarray:
    if not path.is_file():
        raise InputFileError(path, "does not exist; check the index of films.")
    try:
        return _volume(path) if named_like_volume(path) else _picture(path)
    except InputFileError:
        raise
    except Exception as error:  # the readers raise whatever damage leads them to
        raise InputFileError(
            path, "is not a mask that can be read; use PNG, TIFF, NRRD, MHA or NIfTI."
        ) from error


def _picture(path: Path) -> np.ndarray:
    with Image.open(path, formats=_PICTURES) as image:
        if image.mode not in _INDEXED_MODES:
            raise InputFileError(
                path, f"is in colour ({image.mode}); save labels as grey values or a palette."
            )
        return np.asarray(image).astype(np.int64)


def _volume(path: Path) -> np.ndarray:
    values = np.squeeze(sitk.GetArrayFromImage(sitk.ReadImage(str(path))))
    if values.ndim != 2:
        raise InputFileError(path, f"is of the shape {values.shape}; a mask of a film is 2D.")
    return values
