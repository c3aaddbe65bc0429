from __future__ import annotations

import numpy as np
import pydicom
import pytest
from film_files import film, picture, saved, unit
from PIL import Image

from XRayTo3DLib.errors import InputFileError
from XRayTo3DLib.imaging.radiograph import Origin, Side, Sourced, View
from XRayTo3DLib.imaging.reading import read_radiograph


def read(tmp_path, *, view=View.AP, **options):
    attributes = options.pop("attributes", {})
    return read_radiograph(saved(film(**attributes), tmp_path / "f.dcm"), view=view, **options)


@pytest.mark.parametrize(
    ("attributes", "options", "spacing", "sid", "sod", "origins"),
    [
        ({"ImagerPixelSpacing": [0.1, 0.2]}, {}, (0.1, 0.2), 1000, 900, "HAA"),
        ({"PixelSpacing": [0.2, 0.2]}, {}, (0.2, 0.2), 1000, 900, "HAA"),
        ({"NominalScannedPixelSpacing": [0.3, 0.3]}, {}, (0.3, 0.3), 1000, 900, "HAA"),
        (
            {"ImagerPixelSpacing": [0.2, 0.2], "PixelSpacing": [0.16, 0.16]},
            {},
            (0.2, 0.2),
            1000,
            800,
            "HAH",
        ),
        (
            {"PixelSpacing": [0.18, 0.18], "PixelSpacingCalibrationType": "FIDUCIAL"},
            {},
            (0.2, 0.2),
            1000,
            900,
            "HAA",
        ),
        (
            {
                "PixelSpacing": [0.2, 0.1],
                "PixelSpacingCalibrationType": "GEOMETRY",
                "EstimatedRadiographicMagnificationFactor": "1.25",
            },
            {},
            (0.25, 0.125),
            1000,
            800,
            "HAH",
        ),
        (
            {"DistanceSourceToDetector": "1200", "DistanceSourceToPatient": "1100"},
            {"spacing": 0.2},
            (0.2, 0.2),
            1200,
            1100,
            "UHH",
        ),
        ({"DistanceSourceToDetector": "1200"}, {"spacing": 0.2}, (0.2, 0.2), 1200, 1100, "UHA"),
        ({"DistanceSourceToDetector": "0"}, {"spacing": 0.2}, (0.2, 0.2), 1000, 900, "UAA"),
        (
            {
                "DistanceSourceToDetector": "1150",
                "EstimatedRadiographicMagnificationFactor": "1.15",
            },
            {"spacing": (0.3, 0.4)},
            (0.3, 0.4),
            1150,
            1000,
            "UHH",
        ),
        (
            {
                "ImagerPixelSpacing": [0.1, 0.1],
                "DistanceSourceToDetector": "1150",
                "DistanceSourceToPatient": "1000",
            },
            {"spacing": 0.2, "sid": 2000, "sod": 1900},
            (0.2, 0.2),
            2000,
            1900,
            "UUU",
        ),
        ({"ImagerPixelSpacing": [-1, 0]}, {"spacing": 0.2}, (0.2, 0.2), 1000, 900, "UAA"),
        ({}, {"spacing": 0.2, "sod": 1400}, (0.2, 0.2), 1500, 1400, "UAU"),
    ],
    ids=str,
)
def test_scale(tmp_path, attributes, options, spacing, sid, sod, origins):
    result = read(tmp_path, attributes=attributes, **options)
    assert result.spacing.value == pytest.approx(spacing)
    assert result.sid.value == pytest.approx(sid)
    assert result.sod.value == pytest.approx(sod)
    initials = [s.origin.value[0].upper() for s in (result.spacing, result.sid, result.sod)]
    assert "".join(initials) == origins
    assert all(s.note for s in (result.spacing, result.sid, result.sod))


@pytest.mark.parametrize(
    ("attributes", "options", "words"),
    [
        ({}, {}, "give --spacing"),
        ({"CassetteSize": "24CMX30CM"}, {}, "CassetteSize"),
        ({"ImagerPixelSpacing": [0.2, 0.2]}, {}, None),
        (
            {"ImagerPixelSpacing": [0.2, 0.2], "PixelSpacing": [0.3, 0.3]},
            {},
            "do not fit together",
        ),
        (
            {
                "ImagerPixelSpacing": [0.2, 0.2],
                "EstimatedRadiographicMagnificationFactor": "1.1",
                "DistanceSourceToPatient": "700",
            },
            {},
            "check --sod",
        ),
        (
            {
                "ImagerPixelSpacing": [0.2, 0.2],
                "EstimatedRadiographicMagnificationFactor": "9",
            },
            {},
            "ignored",
        ),
        (
            {"ImagerPixelSpacing": [0.2, 0.2], "ViewPosition": "RL"},
            {"view": View.AP},
            "yours is used",
        ),
        (
            {"ImagerPixelSpacing": [0.2, 0.2], "Laterality": "L"},
            {"side": Side.RIGHT},
            "yours is used",
        ),
    ],
    ids=str,
)
def test_warnings(tmp_path, attributes, options, words):
    certain = {"Laterality": "R", "PatientOrientation": ["L", "F"], **attributes}
    result = read(tmp_path, attributes=certain, **options)
    if words is None:
        assert result.warnings == ()
    else:
        assert any(words in sentence for sentence in result.warnings), result.warnings


@pytest.mark.parametrize(
    ("rows", "attributes", "spacing"),
    [
        (1800, {}, 0.14),
        (500, {}, 0.5),
        (5000, {}, 0.05),
        (1500, {"CassetteSize": "24CMX30CM"}, 0.2),
        (1200, {"CassetteSize": "10INX12IN"}, 0.254),
    ],
)
def test_assumed_spacing(tmp_path, rows, attributes, spacing):
    dataset = film(np.tile(np.arange(64, dtype=np.uint16), (rows, 1)), **attributes)
    result = read_radiograph(saved(dataset, tmp_path / "f.dcm"), view=View.AP)
    assert result.spacing.value == pytest.approx((spacing, spacing))
    assert result.spacing.origin is Origin.ASSUMED


@pytest.mark.parametrize(
    ("view", "side", "letters", "turn"),
    [
        (View.AP, "R", ["L", "F"], lambda film: film),
        (View.AP, "R", ["R", "F"], lambda film: film[:, ::-1]),
        (View.AP, "L", ["L", "H"], lambda film: film[::-1]),
        (View.AP, "L", ["F", "L"], lambda film: film.T),
        # Rows run to the head, columns to the patient's left.
        (View.AP, "L", ["H", "L"], lambda film: film.T[::-1]),
        (View.LATERAL, "L", ["A", "F"], lambda film: film),
        (View.LATERAL, "L", ["P", "F"], lambda film: film[:, ::-1]),
        (View.LATERAL, "R", ["P", "F"], lambda film: film),
        (View.LATERAL, "R", ["AF", "FP"], lambda film: film[:, ::-1]),
        # Rows run to the foot, columns to the front; the kneecap belongs at the left.
        (View.LATERAL, "R", ["F", "A"], lambda film: film.T[:, ::-1]),
    ],
)
def test_films_come_out_upright(tmp_path, view, side, letters, turn):
    attributes = {
        "ImageLaterality": side,
        "PatientOrientation": letters,
        "ImagerPixelSpacing": [0.1, 0.2],
    }
    expected = np.ascontiguousarray(turn(unit(picture())))
    result = read(tmp_path, view=view, attributes=attributes)
    np.testing.assert_allclose(result.pixels, expected, atol=1e-6)
    assert result.orientation.value == tuple(letter[0] for letter in letters)
    assert result.orientation.origin is Origin.HEADER
    swapped = letters[0][0] in "HF"
    assert result.spacing.value == ((0.2, 0.1) if swapped else (0.1, 0.2))


def test_a_flip_mirrors_what_is_shown(tmp_path):
    plain = read(tmp_path, attributes={"PatientOrientation": ["R", "F"]})
    flipped = read(tmp_path, attributes={"PatientOrientation": ["R", "F"]}, flip=True)
    np.testing.assert_array_equal(flipped.pixels, plain.pixels[:, ::-1])
    assert flipped.orientation == Sourced(("L", "F"), Origin.USER, "--flip-ap")
    unsaid = read(tmp_path, flip=True, side=Side.RIGHT)
    np.testing.assert_allclose(unsaid.pixels, unit(picture())[:, ::-1], atol=1e-6)


def test_directions_of_another_view_are_said_and_not_applied(tmp_path):
    result = read(tmp_path, attributes={"PatientOrientation": ["A", "F"]}, side=Side.RIGHT)
    np.testing.assert_allclose(result.pixels, unit(picture()), atol=1e-6)
    assert result.orientation.origin is Origin.ASSUMED
    assert any("lateral film" in sentence for sentence in result.warnings)


def test_view_from_header_then_place_and_never_guessed(tmp_path):
    stated = read(tmp_path, view=None, attributes={"ViewPosition": "PA"}, fallback_view=View.AP)
    assert (stated.view.value, stated.view.origin) == (View.PA, Origin.HEADER)
    placed = read(tmp_path, view=None, fallback_view=View.LATERAL)
    assert (placed.view.value, placed.view.origin) == (View.LATERAL, Origin.USER)
    with pytest.raises(InputFileError, match="which view"):
        read(tmp_path, view=None)
    named = {"SeriesDescription": "KNEE LAT"}
    described = read(tmp_path, view=None, attributes=named, fallback_view=View.AP)
    assert any("order of the films" in sentence for sentence in described.warnings)


def test_side_is_assumed_loudly(tmp_path):
    result = read(tmp_path)
    assert (result.side.value, result.side.origin) == (Side.RIGHT, Origin.ASSUMED)
    assert any("--side left" in sentence for sentence in result.warnings)


def test_dicom_is_told_by_its_content(tmp_path):
    path = saved(film(), tmp_path / "IM0001.png")
    assert read_radiograph(path, view=View.AP).pixels.shape == (72, 90)
    Image.fromarray(picture()).save(tmp_path / "film.png")
    picture_named_dicom = (tmp_path / "film.png").rename(tmp_path / "film2.dcm")
    assert read_radiograph(picture_named_dicom, view=View.AP).pixels.shape == (72, 90)


def test_a_preamble_that_is_a_tiff_is_still_dicom(tmp_path):
    dataset = film()
    dataset.preamble = b"II*\x00" + b"\0" * 124
    pydicom.dcmwrite(tmp_path / "f", dataset, enforce_file_format=True)
    assert read_radiograph(tmp_path / "f", view=View.AP).pixels.shape == (72, 90)


def test_real_ankle(shared_radiographs):
    path = shared_radiographs / "real_ankle_not_a_knee.dcm"
    result = read_radiograph(path, fallback_view=View.LATERAL)
    assert result.pixels.shape == (1760, 1760)
    assert (result.view.value, result.side.value) == (View.AP, Side.RIGHT)
    assert result.orientation.value == ("R", "F") and result.inverted.value
    assert result.spacing.value[0] == pytest.approx(350 / 1760)
    # The shin bone is brighter than the flesh beside it, and that than the air.
    shin, flesh, air = (result.pixels[600, column] for column in (930, 1030, 1150))
    assert shin > flesh > air
    reference = pydicom.dcmread(path).pixel_array[:, ::-1].astype(float)
    assert np.corrcoef(result.pixels.ravel(), reference.ravel())[0, 1] < -0.95


def test_real_lateral(shared_radiographs):
    path = shared_radiographs / "real_lateral_right_flexed.png"
    result = read_radiograph(path, fallback_view=View.LATERAL, side=Side.RIGHT)
    np.testing.assert_allclose(result.pixels, unit(np.asarray(Image.open(path))), atol=1e-6)
    assert result.orientation.value == ("P", "F")
    assert any("--spacing" in sentence for sentence in result.warnings)
