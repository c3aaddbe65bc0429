"""Reading PNG, JPEG and TIFF with Pillow; NRRD, MHA, MHD and NIfTI with SimpleITK."""

from __future__ import annotations

import gzip
import math
import warnings as python_warnings
import zlib
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from PIL import Image, ImageOps

from XRayTo3DLib.errors import InputFileError
from XRayTo3DLib.imaging.grey import grey_of
from XRayTo3DLib.imaging.picture_size import check_size
from XRayTo3DLib.imaging.radiograph import Origin, Sourced
from XRayTo3DLib.imaging.scale import SPACING_LIMITS
from XRayTo3DLib.imaging.stated_film import StatedFilm, StatedScale

PICTURE_FORMATS = ("PNG", "JPEG", "TIFF")
VOLUME_SUFFIXES = (".nrrd", ".nhdr", ".mha", ".mhd", ".nii", ".nii.gz")
_PICTURE_MAGICS = (b"\x89PNG", b"\xff\xd8\xff", b"II*\x00", b"MM\x00*")
_GREY_MODES = ("1", "L", "LA", "La", "I", "F")
_NIFTI_HEADER = 348
_BLOCK = 1 << 20
_PHOTOMETRIC = 262
_MILLIMETRES_PER_INCH = 25.4
# Programs write the density of the screen or of the paper where they know none.
_SCREEN_DENSITIES = (72, 96)
_PAPER_DENSITIES = (100, 150, 200, 300, 600, 1200)
# Files that state no scale are 1 mm a pixel; wider than any detector, it is none.
_WIDEST_DETECTOR = 500.0


def looks_like_picture(path: Path) -> bool:
    """Whether the first bytes are those of PNG, JPEG or TIFF."""
    with path.open("rb") as file:
        return file.read(4).startswith(_PICTURE_MAGICS)


def named_like_volume(path: Path) -> bool:
    """Whether the name ends as NRRD, MetaImage or NIfTI files do."""
    return path.name.lower().endswith(VOLUME_SUFFIXES)


def read_picture(path: Path, inverted: bool | None = None) -> StatedFilm:
    """A PNG, JPEG or TIFF, bone bright.

    Args:
        path: the file.
        inverted: the user's word whether bone is dark in the file; bright by default.

    Raises:
        InputFileError: the file is damaged, in colour, of several pages, or of no film's size.
    """
    with python_warnings.catch_warnings():
        python_warnings.simplefilter("ignore")  # the size is checked here, before decoding
        try:
            image = Image.open(path, formats=PICTURE_FORMATS)
            shape = (image.height, image.width)
        except Image.DecompressionBombError as error:
            raise InputFileError(path, "claims more pixels than a radiograph has.") from error
        except Exception as error:  # Pillow raises whatever the damage leads it to
            raise _damaged(path) from error
        with image:
            check_size(path, shape)
            return _picture(image, path, inverted)


def _picture(image: Image.Image, path: Path, inverted: bool | None) -> StatedFilm:
    try:
        pages = getattr(image, "n_frames", 1)
    except Exception as error:
        raise _damaged(path) from error
    if pages > 1:
        raise InputFileError(path, f"holds {pages} pictures, not one film; save one by itself.")
    white_is_zero = _white_is_zero(image)
    density = image.info.get("dpi")
    try:
        values = _decoded(image)
    except Exception as error:
        raise _damaged(path) from error
    pixels = grey_of(values, path) if values.ndim == 3 else values.astype(np.float32)
    dark_bone = _polarity(inverted)
    if white_is_zero != dark_bone.value:
        pixels = -pixels
    scale = _scale_of_density(density, path, (pixels.shape[0], pixels.shape[1]))
    return StatedFilm(pixels, dark_bone, scale)


def _damaged(path: Path) -> InputFileError:
    return InputFileError(path, "is a damaged or truncated picture; export the film again.")


def _decoded(image: Image.Image) -> np.ndarray:
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith(_GREY_MODES) and image.mode != "LAB":
        values = np.asarray(image)
        return values[..., 0] if values.ndim == 3 else values
    return np.asarray(image.convert("RGB"))


def _white_is_zero(image: Image.Image) -> bool:
    """Whether a TIFF counts from white and Pillow leaves it so (it turns 8 bits itself)."""
    tags = getattr(image, "tag_v2", {})
    return tags.get(_PHOTOMETRIC) == 0 and image.mode not in ("1", "L")


def _scale_of_density(
    density: tuple[float, float] | None, path: Path, shape: tuple[int, int]
) -> StatedScale:
    if density is None or not all(float(value) > 0 for value in density):
        return StatedScale()
    across, down = (float(value) for value in density)
    spacing = (_MILLIMETRES_PER_INCH / down, _MILLIMETRES_PER_INCH / across)
    low, high = SPACING_LIMITS
    if _near(across, _SCREEN_DENSITIES) or not all(low <= value <= high for value in spacing):
        return StatedScale()
    warnings: tuple[str, ...] = ()
    if _near(across, _PAPER_DENSITIES):
        width, height = spacing[1] * shape[1], spacing[0] * shape[0]
        warnings = (
            f"{path.name}: its {across:.0f} dpi make the detector {width:.0f} × {height:.0f} mm; "
            "if that is the density of a print rather than of the film, give --spacing.",
        )
    source = Sourced(spacing, Origin.HEADER, f"resolution {across:.4g} dpi")
    return StatedScale(spacing=source, warnings=warnings)


def _near(value: float, densities: tuple[int, ...]) -> bool:
    return any(abs(value - density) < 0.5 for density in densities)


def read_volume_file(path: Path, inverted: bool | None = None) -> StatedFilm:
    """A film stored as NRRD, MHA, MHD or NIfTI: two axes, or three of which one is a single slice.

    The pixels are taken in the order of the file; its axes say nothing of a film's directions.

    Args:
        path: the file.
        inverted: the user's word whether bone is dark in the file; bright by default.

    Raises:
        InputFileError: the file is damaged, in colour, a volume, or of no film's size.
    """
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise _unreadable(path) from error
    axes = [axis for axis, size in enumerate(reader.GetSize()) if size > 1]
    if len(axes) != 2:
        sizes = " × ".join(str(size) for size in reader.GetSize())
        raise InputFileError(path, f"holds {sizes} voxels, not one film; use a single 2D picture.")
    column_axis, row_axis = axes
    size, step = reader.GetSize(), reader.GetSpacing()
    check_size(path, (size[row_axis], size[column_axis]))
    _check_nifti_is_whole(path, reader)
    try:
        image = reader.Execute()
    except RuntimeError as error:
        raise _unreadable(path) from error
    components = image.GetNumberOfComponentsPerPixel()
    values = np.squeeze(sitk.GetArrayFromImage(image))
    pixels = grey_of(values, path) if components > 1 else values.astype(np.float32)
    dark_bone = _polarity(inverted)
    scale = _scale_of_volume((step[row_axis], step[column_axis]), pixels.shape)
    return StatedFilm(-pixels if dark_bone.value else pixels, dark_bone, scale)


def _check_nifti_is_whole(path: Path, reader: sitk.ImageFileReader) -> None:
    """ITK fills the missing end of a NIfTI file with nothing and does not say so."""
    if not reader.HasMetaDataKey("bitpix"):
        return
    needed = _NIFTI_HEADER + math.prod(reader.GetSize()) * int(reader.GetMetaData("bitpix")) // 8
    found = 0
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
            while found < needed and (block := file.read(_BLOCK)):
                found += len(block)
    except (EOFError, zlib.error) as error:
        raise _unreadable(path) from error
    if found < needed:
        raise _unreadable(path)


def _unreadable(path: Path) -> InputFileError:
    return InputFileError(path, "cannot be read (damaged or cut short); export the film again.")


def _scale_of_volume(spacing: tuple[float, float], shape: tuple[int, ...]) -> StatedScale:
    if spacing == (1.0, 1.0) and max(shape) > _WIDEST_DETECTOR:
        return StatedScale()
    return StatedScale(spacing=Sourced(spacing, Origin.HEADER, "spacing of the file"))


def _polarity(inverted: bool | None) -> Sourced[bool]:
    if inverted is None:
        return Sourced(False, Origin.ASSUMED, "bone taken as bright; --inverted if it is dark")
    return Sourced(inverted, Origin.USER, "--inverted")
