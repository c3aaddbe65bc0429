from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from film_files import picture, unit
from PIL import Image

from XRayTo3DLib.imaging.radiograph import Origin, View
from XRayTo3DLib.imaging.reading import read_radiograph

EIGHT_BITS = (picture() >> 4).astype(np.uint8)


def read(path, **options):
    return read_radiograph(path, view=View.AP, **options)


@pytest.mark.parametrize(
    ("name", "pixels", "options"),
    [
        ("eight.png", EIGHT_BITS, {}),
        ("sixteen.png", picture(top=60000), {}),
        ("eight.tif", EIGHT_BITS, {}),
        ("sixteen.tif", picture(top=60000), {"compression": "tiff_lzw"}),
        ("float.tiff", picture().astype(np.float32) / 7, {}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_lossless_pictures_are_exact(tmp_path, name, pixels, options):
    Image.fromarray(pixels).save(tmp_path / name, **options)
    result = read(tmp_path / name)
    assert result.pixels.dtype == np.float32
    np.testing.assert_allclose(result.pixels, unit(pixels), atol=1e-6)


def test_jpeg(tmp_path):
    row, column = np.mgrid[:80, :96]
    pixels = np.round(row + 1.5 * column).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "film.jpg", quality=95)
    np.testing.assert_allclose(read(tmp_path / "film.jpg").pixels, unit(pixels), atol=0.02)


@pytest.mark.parametrize("suffix", ["nrrd", "mha", "mhd", "nii", "nii.gz"])
@pytest.mark.parametrize("pixel_type", [np.uint8, np.int16, np.uint16, np.float32])
@pytest.mark.parametrize("slices", [False, True])
def test_volume_files(tmp_path, suffix, pixel_type, slices):
    pixels = (picture(top=250) - 3.0 * np.issubdtype(pixel_type, np.signedinteger)).astype(
        pixel_type
    )
    image = sitk.GetImageFromArray(pixels[None] if slices else pixels)
    image.SetSpacing((0.2, 0.1, 1.0) if slices else (0.2, 0.1))
    path = tmp_path / f"film.{suffix}"
    sitk.WriteImage(image, str(path))
    result = read(path)
    np.testing.assert_allclose(result.pixels, unit(pixels), atol=1e-6)
    assert result.spacing.value == pytest.approx((0.1, 0.2))
    assert result.spacing.origin is Origin.HEADER


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P"])
def test_grey_saved_otherwise(tmp_path, mode):
    Image.fromarray(EIGHT_BITS).convert(mode).save(tmp_path / "film.png")
    np.testing.assert_allclose(read(tmp_path / "film.png").pixels, unit(EIGHT_BITS), atol=1e-6)


@pytest.mark.parametrize("pixels", [EIGHT_BITS, picture()], ids=["8", "16"])
def test_a_tiff_that_counts_from_white(tmp_path, pixels):
    path = tmp_path / "film.tif"
    Image.fromarray(pixels).save(path, tiffinfo={262: 0})
    # What is in the file, past any interpretation, is what ITK reads.
    stored = sitk.GetArrayFromImage(sitk.ReadImage(str(path))).astype(float)
    np.testing.assert_allclose(read(path).pixels, unit(-stored), atol=1e-6)


def test_inverted(tmp_path):
    Image.fromarray(EIGHT_BITS).save(tmp_path / "film.png")
    result = read(tmp_path / "film.png", inverted=True)
    np.testing.assert_allclose(result.pixels, 1 - unit(EIGHT_BITS), atol=1e-6)
    assert result.inverted.value and result.inverted.origin is Origin.USER
    assert read(tmp_path / "film.png").inverted.origin is Origin.ASSUMED


@pytest.mark.parametrize("rotation", [1, 3, 6, 8])
def test_the_turn_in_a_cameras_file_is_applied(tmp_path, rotation):
    exif = Image.Exif()
    exif[274] = rotation
    Image.fromarray(EIGHT_BITS).save(tmp_path / "film.png", exif=exif)
    quarter_turns = {1: 0, 3: 2, 6: -1, 8: 1}[rotation]
    expected = np.rot90(unit(EIGHT_BITS), quarter_turns)
    np.testing.assert_allclose(read(tmp_path / "film.png").pixels, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("dpi", "spacing", "said"),
    [
        (None, None, "No pixel spacing"),
        (72, None, "No pixel spacing"),
        (96, None, "No pixel spacing"),
        (1, None, "No pixel spacing"),
        (254, 0.1, None),
        (300, 25.4 / 300, "print"),
    ],
)
@pytest.mark.parametrize("suffix", ["png", "tif", "jpg"])
def test_density(tmp_path, dpi, spacing, said, suffix):
    path = tmp_path / f"film.{suffix}"
    Image.fromarray(EIGHT_BITS).save(path, **({} if dpi is None else {"dpi": (dpi, dpi)}))
    result = read(path)
    if spacing is None:
        assert result.spacing.origin is Origin.ASSUMED
    else:
        assert result.spacing.origin is Origin.HEADER
        assert result.spacing.value == pytest.approx((spacing, spacing), rel=1e-3)
    about_scale = [text for text in result.warnings if "--spacing" in text]
    assert len(about_scale) == (said is not None)
    assert said is None or said in about_scale[0]


def test_one_millimetre_a_pixel_is_no_scale(tmp_path):
    wide = np.tile(np.arange(900, dtype=np.uint16), (100, 1))
    sitk.WriteImage(sitk.GetImageFromArray(wide), str(tmp_path / "film.nrrd"))
    assert read(tmp_path / "film.nrrd").spacing.origin is Origin.ASSUMED
