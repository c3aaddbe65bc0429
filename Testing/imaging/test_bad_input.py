from __future__ import annotations

import contextlib
import io
import warnings
import zlib

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from film_files import film, picture, saved
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.uid import RLELossless

from XRayTo3DLib.errors import InputFileError, XRayTo3DError
from XRayTo3DLib.imaging.radiograph import View
from XRayTo3DLib.imaging.reading import read_radiograph


def png(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG")
    return stream.getvalue()


def tiff(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "TIFF")
    return stream.getvalue()


def dicom(*arguments, **attributes) -> bytes:
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, film(*arguments, **attributes), enforce_file_format=True)
    return stream.getvalue()


def sample(name: str) -> bytes:
    with open(get_testdata_file(name, download=False), "rb") as file:
        return file.read()


def two_pages() -> bytes:
    stream = io.BytesIO()
    page = Image.fromarray(picture())
    page.save(stream, "TIFF", save_all=True, append_images=[page])
    return stream.getvalue()


def huge_png() -> bytes:
    """A PNG whose header claims 40,000 pixels a side."""
    data = bytearray(png(picture()))
    data[16:24] = (40000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    return bytes(data)


COLOURS = np.random.default_rng(3).integers(0, 256, (80, 90, 3)).astype(np.uint8)
NOT_A_NUMBER = picture().astype(np.float32)
NOT_A_NUMBER[3, 4] = np.nan
INFINITE = picture().astype(np.float32)
INFINITE[3, 4] = np.inf

BAD_FILES = {
    "empty.dcm": (b"", "is empty"),
    "text.dcm": (b"These are the findings of the radiologist. " * 40, "not a DICOM file"),
    "report.pdf": (b"%PDF-1.7" + b"\0" * 500, "is not a film that can be read"),
    "half.dcm": (dicom()[:4000], "cut short"),
    "header.dcm": (dicom()[:200], "cut short"),
    "half.png": (png(picture())[:3000], "truncated"),
    "half.tif": (tiff(picture())[:3000], "truncated"),
    "only_magic.png": (b"\x89PNG", "truncated"),
    "noise.nrrd": (b"\0" * 500, "cannot be read"),
    "photograph.png": (png(COLOURS), "colour picture"),
    "photograph.dcm": (sample("SC_rgb_gdcm_KY.dcm"), "colour picture"),
    "palette.dcm": (
        dicom(PhotometricInterpretation="PALETTE COLOR"),
        "colour picture",
    ),
    "frames.dcm": (sample("SC_rgb_rle_2frame.dcm"), "holds 2 frames"),
    "pages.tif": (two_pages(), "holds 2 pictures"),
    "ct.dcm": (sample("CT_small.dcm"), "Modality CT"),
    "mr.dcm": (sample("MR_small_RLE.dcm"), "Modality MR"),
    "plan.dcm": (sample("rtplan.dcm"), "Modality RTPLAN"),
    "nothing.dcm": (dicom(PixelData=None), "without a picture"),
    "no_bits.dcm": (dicom(BitsStored=None), "how its picture is stored"),
    "one.png": (png(np.array([[7]], dtype=np.uint8)), "at least 64"),
    "one.dcm": (dicom(np.array([[7]], dtype=np.uint16)), "at least 64"),
    "strip.png": (png(picture(63, 200)), "at least 64"),
    "huge.png": (huge_png(), "claims"),
    "huge.dcm": (dicom(Rows=60000, Columns=60000), "claims 60000 × 60000"),
    "more_rows.dcm": (dicom(Rows=80), "cannot be decoded"),
    "constant.png": (png(np.full((80, 90), 9, np.uint8)), "blank"),
    "constant.dcm": (dicom(np.full((80, 90), 9, np.uint16)), "blank"),
    "nan.tif": (tiff(NOT_A_NUMBER), "no numbers"),
    "infinite.tif": (tiff(INFINITE), "no numbers"),
    "negative.dcm": (dicom(ImagerPixelSpacing=[-0.1, 0.1]), "--spacing"),
    "zero.dcm": (dicom(ImagerPixelSpacing=[0, 0]), "--spacing"),
    "coarse.dcm": (dicom(PixelSpacing=[5, 5]), "--spacing"),
    "fine.dcm": (dicom(ImagerPixelSpacing=["1e-4", "1e-4"]), "--spacing"),
    "near.dcm": (dicom(DistanceSourceToDetector="110"), "--sid"),
    "beyond.dcm": (dicom(DistanceSourceToPatient="2000", DistanceSourceToDetector="1000"), "--sod"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_refused_in_one_sentence(tmp_path, capfd, name):
    content, words = BAD_FILES[name]
    path = tmp_path / name
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InputFileError, match=words) as caught:
            read_radiograph(path, view=View.AP)
    assert_is_one_sentence(str(caught.value), name)
    assert capfd.readouterr() == ("", "")


def assert_is_one_sentence(text: str, name: str) -> None:
    assert text.startswith(f"{name}: ") or text.startswith(f"{name} ")
    assert text.endswith(".") and "\n" not in text and ". " not in text
    assert len(text) < 250


@pytest.mark.parametrize(("name", "words"), [("absent.dcm", "not exist"), (".", "is a folder")])
def test_no_file(tmp_path, name, words):
    with pytest.raises(InputFileError, match=words):
        read_radiograph(tmp_path / name, view=View.AP)


@pytest.mark.parametrize("shape", [(3, 70, 80), (70, 1, 1)])
@pytest.mark.parametrize("suffix", ["nrrd", "mha", "nii.gz"])
def test_a_volume_or_a_line_is_no_film(tmp_path, shape, suffix):
    path = tmp_path / f"volume.{suffix}"
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros(shape, np.uint8)), str(path))
    with pytest.raises(InputFileError, match="not one film"):
        read_radiograph(path, view=View.AP)


@pytest.mark.parametrize("suffix", ["nrrd", "mha", "nii", "nii.gz"])
@pytest.mark.parametrize("share", [0.97, 0.5, 0.05])
def test_truncated_volume_files(tmp_path, capfd, suffix, share):
    whole, path = tmp_path / f"whole.{suffix}", tmp_path / f"part.{suffix}"
    sitk.WriteImage(sitk.GetImageFromArray(picture()), str(whole))
    content = whole.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputFileError):
        read_radiograph(path, view=View.AP)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("compressor", ["JPEG", "JPEG2000", "RLE"])
@pytest.mark.parametrize("share", [0.97, 0.5])
def test_truncated_compressed_dicom(tmp_path, capfd, compressor, share):
    path = tmp_path / "film.dcm"
    if compressor == "RLE":
        dataset = film()
        dataset.compress(RLELossless, encoding_plugin="pydicom")
        saved(dataset, path)
    else:
        image = sitk.GetImageFromArray(picture()[None])
        image.SetMetaData("0008|0060", "DX")
        writer = sitk.ImageFileWriter()
        writer.SetFileName(str(path))
        writer.UseCompressionOn()
        writer.SetCompressor(compressor)
        writer.Execute(image)
    read_radiograph(path, view=View.AP)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputFileError):
        read_radiograph(path, view=View.AP)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("what", ["length of a fragment", "size of the frame"])
def test_compressed_pixels_that_claim_too_much(tmp_path, what):
    """A decoder makes room for what it is told: that must be true before it is asked."""
    path = tmp_path / "film.dcm"
    image = sitk.GetImageFromArray(picture()[None])
    image.SetMetaData("0008|0060", "DX")
    writer = sitk.ImageFileWriter()
    writer.SetFileName(str(path))
    writer.UseCompressionOn()
    writer.SetCompressor("JPEG2000")
    writer.Execute(image)
    read_radiograph(path, view=View.AP)
    content = bytearray(path.read_bytes())
    start = content.index(b"\xff\x4f\xff\x51")  # SOC and SIZ, ISO/IEC 15444-1 A.4 and A.5
    if what == "length of a fragment":
        content[start - 4 : start] = b"\x00\x00\x00\xf0"  # little-endian, 4 GB
    else:
        content[start + 8 : start + 16] = (30000).to_bytes(4, "big") * 2
        content[start + 24 : start + 32] = (30000).to_bytes(4, "big") * 2
    path.write_bytes(content)
    resource = pytest.importorskip("resource")  # there is none on Windows
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused = pytest.raises(InputFileError, match="film.dcm")
    with refused if what == "size of the frame" else contextlib.nullcontext():
        read_radiograph(path, view=View.AP)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kB


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"spacing": 0.0}, "--spacing"),
        ({"spacing": -0.1}, "--spacing"),
        ({"spacing": 3.0}, "--spacing"),
        ({"spacing": float("nan")}, "--spacing"),
        ({"spacing": (0.1, 0.2, 0.3)}, "--spacing"),
        ({"sid": 100.0}, "--sid"),
        ({"sid": 9000.0}, "--sid"),
        ({"sid": float("inf")}, "--sid"),
        ({"sid": 1000.0, "sod": 1000.0}, "--sod"),
        ({"sid": 1000.0, "sod": -5.0}, "--sod"),
        ({"sid": 1000.0, "sod": float("nan")}, "--sod"),
    ],
    ids=str,
)
def test_bad_arguments(tmp_path, options, words):
    path = saved(film(), tmp_path / "film.dcm")
    with pytest.raises(InputFileError, match=words) as caught:
        read_radiograph(path, view=View.AP, **options)
    assert_is_one_sentence(str(caught.value), "film.dcm")


@pytest.mark.parametrize("content", [dicom(PatientOrientation=["L", "F"]), png(picture())])
def test_damaged_files_are_read_or_refused(tmp_path, content, capfd):
    generator = np.random.default_rng(11)
    refused = 0
    for index in range(200):
        damaged = bytearray(content)
        # Half of the damage goes to the header, where there is more to get wrong.
        reach = len(damaged) if index % 2 else 600
        for _ in range(generator.integers(1, 6)):
            damaged[generator.integers(0, reach)] = generator.integers(0, 256)
        path = tmp_path / "film"
        path.write_bytes(damaged)
        try:
            read_radiograph(path, view=View.AP)
        except XRayTo3DError:
            refused += 1
    assert refused > 20
    assert capfd.readouterr().err == ""
