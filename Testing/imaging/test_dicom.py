from __future__ import annotations

import io

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from film_files import film, item, picture, saved, unit
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from XRayTo3DLib.imaging.dicom import read_dicom
from XRayTo3DLib.imaging.dicom_pixels import stored_values, voi_values
from XRayTo3DLib.imaging.radiograph import Origin, Side, View


def named(value):
    """The keywords of a table's row, as its name."""
    return "-".join(value) or "nothing" if isinstance(value, dict) else None


def read(dataset, tmp_path, inverted=None):
    return read_dicom(saved(dataset, tmp_path / "film.dcm"), inverted)


PLAIN = [
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
]


@pytest.mark.parametrize("syntax", PLAIN, ids=lambda syntax: syntax.name)
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_uncompressed_pixels_are_exact(tmp_path, syntax, signed, bits):
    pixels = picture(top=2**bits - 1).astype(np.int64) - (2 ** (bits - 1) if signed else 0)
    typed = pixels.astype(np.int16 if signed else np.uint16)
    if syntax is ExplicitVRBigEndian:
        typed = typed.astype(typed.dtype.newbyteorder(">"))
    dataset = film(typed, bits)
    dataset.file_meta.TransferSyntaxUID = syntax
    np.testing.assert_array_equal(read(dataset, tmp_path).pixels, pixels)


@pytest.mark.parametrize(
    ("syntax", "plugin", "module", "signed"),
    [
        (RLELossless, "pydicom", "pydicom", False),
        (RLELossless, "pydicom", "pydicom", True),
        (JPEG2000Lossless, "pylibjpeg", "openjpeg", False),
        (JPEG2000Lossless, "pylibjpeg", "openjpeg", True),
        (JPEGLSLossless, "pyjpegls", "jpeg_ls", False),
    ],
)
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_lossless_pixels_are_exact(tmp_path, syntax, plugin, module, signed, bits):
    pytest.importorskip(module)
    pixels = picture(top=2**bits - 1).astype(np.int64) - (2 ** (bits - 1) if signed else 0)
    width = 8 if bits == 8 else 16
    dataset = film(pixels.astype(f"{'int' if signed else 'uint'}{width}"), bits)
    dataset.compress(syntax, encoding_plugin=plugin)
    np.testing.assert_array_equal(read(dataset, tmp_path).pixels, pixels)


@pytest.mark.parametrize("compressor", ["JPEG", "JPEG2000"])
@pytest.mark.parametrize("pixel_type", [np.uint8, np.uint16, np.int16])
def test_what_gdcm_compresses_without_loss_is_exact(tmp_path, compressor, pixel_type):
    pixels = picture(top=200).astype(pixel_type)
    image = sitk.GetImageFromArray(pixels[None])
    image.SetMetaData("0008|0060", "DX")
    writer = sitk.ImageFileWriter()
    writer.SetFileName(str(tmp_path / "film.dcm"))
    writer.UseCompressionOn()
    writer.SetCompressor(compressor)
    writer.Execute(image)
    np.testing.assert_array_equal(read_dicom(tmp_path / "film.dcm").pixels, pixels)


def test_baseline_jpeg(tmp_path):
    row, column = np.mgrid[:80, :96]
    pixels = np.round(row + 1.5 * column).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=95)
    dataset = film(pixels, 8)
    dataset.PixelData = encapsulate([stream.getvalue()])
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    np.testing.assert_allclose(read(dataset, tmp_path).pixels, pixels, atol=3)


@pytest.mark.parametrize(
    ("compressed", "plain"),
    [
        ("MR_small_RLE.dcm", "MR_small.dcm"),
        ("MR_small_jp2klossless.dcm", "MR_small.dcm"),
        ("MR_small_jpeg_ls_lossless.dcm", "MR_small.dcm"),
        ("MR_small_bigendian.dcm", "MR_small.dcm"),
    ],
)
def test_files_of_other_makers_decode_alike(compressed, plain):
    stored = [
        stored_values(pydicom.dcmread(get_testdata_file(name, download=False)), "a file")
        for name in (compressed, plain)
    ]
    np.testing.assert_array_equal(stored[0], stored[1])


def test_twelve_bit_extended_jpeg():
    lossy, other = (
        stored_values(pydicom.dcmread(get_testdata_file(name, download=False)), "a file")
        for name in ("JPGExtended.dcm", "JPEG2000.dcm")
    )
    # Two pixels as pydicom's own tests have them, and the same picture in another compression.
    assert (lossy[420, 140], lossy[230, 120]) == (244, 95)
    assert np.corrcoef(lossy.ravel(), other.ravel())[0, 1] > 0.95


@pytest.mark.parametrize("compressed", [False, True])
def test_overlays_in_the_unused_bits_are_cleared(tmp_path, compressed):
    pixels = picture()
    stored = pixels | (np.uint16(1) << 14)
    stored[::2] |= np.uint16(1) << 12
    dataset = film(stored, 12)
    if compressed:
        dataset.compress(RLELossless, encoding_plugin="pydicom")
    np.testing.assert_array_equal(read(dataset, tmp_path).pixels, pixels)


TABLE = item(
    LUTDescriptor=[256, 100, 16],
    LUTData=np.round(4000 * np.sqrt(np.arange(256))).astype("<u2").tobytes(),
)


@pytest.mark.parametrize(
    "attributes",
    [
        {"RescaleSlope": "0.5", "RescaleIntercept": "-100"},
        {"RescaleSlope": "-1", "RescaleIntercept": "4095"},
        {"WindowCenter": "1800", "WindowWidth": "1500"},
        {"WindowCenter": ["1800", "90"], "WindowWidth": ["1500", "10"]},
        {"WindowCenter": "1800", "WindowWidth": "1500", "VOILUTFunction": "LINEAR_EXACT"},
        {"WindowCenter": "1800", "WindowWidth": "1500", "VOILUTFunction": "SIGMOID"},
        {
            "RescaleSlope": "2",
            "RescaleIntercept": "-1000",
            "WindowCenter": "2000",
            "WindowWidth": "3000",
        },
        {"VOILUTSequence": [TABLE]},
        {"VOILUTSequence": [TABLE], "WindowCenter": "1", "WindowWidth": "2"},
        {"ModalityLUTSequence": [TABLE]},
    ],
    ids=named,
)
def test_luts_are_pydicoms(tmp_path, attributes):
    dataset = film(**attributes)
    path = saved(dataset, tmp_path / "film.dcm")
    reference = pydicom.dcmread(path)
    expected = apply_voi_lut(apply_modality_lut(reference.pixel_array, reference), reference)
    np.testing.assert_allclose(unit(read_dicom(path).pixels), unit(expected), atol=2e-5)


@pytest.mark.parametrize(
    ("value", "expected"), [(99.4, 0.0), (99.5, 0.0), (100.0, 0.5), (149.5, 1.0), (200.0, 1.0)]
)
def test_a_window_by_hand(value, expected):
    # PS3.3 C.11.2.1.2.1 with c = 100.5, w = 2: only values from 99.5 to 100.5 are grey.
    dataset = film(WindowCenter="100.5", WindowWidth="2")
    assert voi_values(np.array([0.0, value, 1000.0]), dataset)[1] == pytest.approx(expected)


def test_a_window_that_leaves_nothing_is_passed_over(tmp_path):
    result = read(film(WindowCenter="60000", WindowWidth="10"), tmp_path)
    np.testing.assert_array_equal(result.pixels, picture())


@pytest.mark.parametrize(
    ("attributes", "dark_bone", "said"),
    [
        ({"PhotometricInterpretation": "MONOCHROME1"}, True, 0),
        ({"PhotometricInterpretation": "MONOCHROME2"}, False, 0),
        (
            {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"},
            True,
            0,
        ),
        (
            {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "IDENTITY"},
            True,
            1,
        ),
        (
            {
                "PresentationIntentType": "FOR PROCESSING",
                "PixelIntensityRelationship": "LOG",
                "PixelIntensityRelationshipSign": 1,
            },
            True,
            0,
        ),
        (
            {
                "PresentationIntentType": "FOR PROCESSING",
                "PhotometricInterpretation": "MONOCHROME1",
                "PixelIntensityRelationship": "LOG",
                "PixelIntensityRelationshipSign": -1,
            },
            False,
            0,
        ),
    ],
    ids=named,
)
def test_polarity(tmp_path, attributes, dark_bone, said):
    result = read(film(**attributes), tmp_path)
    assert result.inverted.value is dark_bone
    assert result.inverted.origin is Origin.HEADER
    assert len(result.warnings) == said
    expected = -picture().astype(float) if dark_bone else picture()
    np.testing.assert_array_equal(result.pixels, expected)


def test_the_users_polarity_beats_the_header(tmp_path):
    result = read(film(PhotometricInterpretation="MONOCHROME1"), tmp_path, inverted=False)
    assert result.inverted.origin is Origin.USER
    np.testing.assert_array_equal(result.pixels, picture())


@pytest.mark.parametrize("sign", [1, -1])
def test_exposure_becomes_attenuation(tmp_path, sign):
    # A wedge of 0 to 100 mm and 0.05 per mm before a detector that counts up to 60,000.
    thickness = np.broadcast_to(np.linspace(0, 100, 90), (72, 90))
    exposure = np.round(60000 * np.exp(-0.05 * thickness)).astype(np.uint16)
    dataset = film(
        exposure if sign > 0 else np.uint16(65535) - exposure,
        16,
        PresentationIntentType="FOR PROCESSING",
        PixelIntensityRelationship="LIN",
        PixelIntensityRelationshipSign=sign,
        WindowCenter="3",
        WindowWidth="2",
    )
    np.testing.assert_allclose(read(dataset, tmp_path).pixels, 0.05 * thickness, atol=2e-3)


@pytest.mark.parametrize(
    ("attributes", "view", "origin"),
    [
        ({"ViewPosition": "AP"}, View.AP, Origin.HEADER),
        ({"ViewPosition": "PA"}, View.PA, Origin.HEADER),
        ({"ViewPosition": "LL"}, View.LATERAL, Origin.HEADER),
        ({"ViewPosition": "RL"}, View.LATERAL, Origin.HEADER),
        ({"ViewPosition": "LATERAL"}, View.LATERAL, Origin.HEADER),
        ({"ViewPosition": "ML"}, View.LATERAL, Origin.HEADER),
        ({"ViewCodeSequence": [item(CodeValue="272479007")]}, View.PA, Origin.HEADER),
        ({"ViewCodeSequence": [item(CodeValue="R-10206")]}, View.AP, Origin.HEADER),
        ({"ViewCodeSequence": [item(CodeValue="399260004")]}, View.LATERAL, Origin.HEADER),
        ({"PatientOrientation": ["P", "F"]}, View.LATERAL, Origin.HEADER),
        ({"PatientOrientation": ["F", "R"]}, View.AP, Origin.HEADER),
        ({"SeriesDescription": "Knee lat. standing"}, View.LATERAL, Origin.ASSUMED),
        ({"SeriesDescription": "KNEE_AP"}, View.AP, Origin.ASSUMED),
    ],
    ids=named,
)
def test_view(tmp_path, attributes, view, origin):
    stated = read(film(**attributes), tmp_path).view
    assert (stated.value, stated.origin) == (view, origin)


@pytest.mark.parametrize(
    "attributes",
    [{}, {"SeriesDescription": "Knee AP and LAT"}, {"SeriesDescription": "happy platelets"}],
    ids=named,
)
def test_no_view_is_invented(tmp_path, attributes):
    assert read(film(**attributes), tmp_path).view is None


@pytest.mark.parametrize(
    ("position", "words"), [("LM", "outer side"), ("LLO", "oblique"), ("AX", "neither")]
)
def test_an_unusual_view_is_said(tmp_path, position, words):
    assert any(words in text for text in read(film(ViewPosition=position), tmp_path).warnings)


RIGHT_KNEE = item(CodeValue="72696002", AnatomicRegionModifierSequence=[item(CodeValue="24028007")])


@pytest.mark.parametrize(
    ("attributes", "side", "origin"),
    [
        ({"ImageLaterality": "L"}, Side.LEFT, Origin.HEADER),
        ({"Laterality": "R"}, Side.RIGHT, Origin.HEADER),
        ({"ImageLaterality": "L", "Laterality": "R"}, Side.LEFT, Origin.HEADER),
        ({"FrameLaterality": "L"}, Side.LEFT, Origin.HEADER),
        ({"AnatomicRegionSequence": [RIGHT_KNEE]}, Side.RIGHT, Origin.HEADER),
        ({"ViewPosition": "LL"}, Side.LEFT, Origin.ASSUMED),
        ({"SeriesDescription": "Knee left AP"}, Side.LEFT, Origin.ASSUMED),
    ],
    ids=named,
)
def test_side(tmp_path, attributes, side, origin):
    stated = read(film(**attributes), tmp_path).side
    assert (stated.value, stated.origin) == (side, origin)


def test_both_legs_on_a_film_is_said(tmp_path):
    result = read(film(ImageLaterality="B"), tmp_path)
    assert result.side is None
    assert "--side" in result.warnings[0]


def test_the_patient_is_kept_only_as_a_digest(tmp_path):
    result = read(film(PatientID="4711-Miller", StudyDate="20200102"), tmp_path)
    assert len(result.study.patient) == 64
    assert "4711" not in repr(result) and "Miller" not in repr(result)


def test_a_data_set_without_preamble_or_meta_header(tmp_path):
    path = tmp_path / "film"
    dataset = film()
    del dataset.file_meta
    pydicom.dcmwrite(path, dataset, implicit_vr=True, little_endian=True)
    np.testing.assert_array_equal(read_dicom(path).pixels, picture())
