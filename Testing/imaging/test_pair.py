from __future__ import annotations

import shutil

import numpy as np
import pytest
from film_files import film, picture, saved
from PIL import Image

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.pair import check_pair, read_pair
from XRayTo3DLib.imaging.radiograph import Origin, Side, View

AP = {"ViewPosition": "AP", "PatientOrientation": ["L", "F"], "ImagerPixelSpacing": [0.2, 0.2]}
LATERAL = {
    "ViewPosition": "LATERAL",
    "PatientOrientation": ["P", "F"],
    "ImagerPixelSpacing": [0.2, 0.2],
}


@pytest.fixture
def pair(tmp_path):
    def make(ap=(), lateral=()):
        other = picture()[::-1].copy()
        return (
            saved(film(**{**AP, **dict(ap)}), tmp_path / "front.dcm"),
            saved(film(other, **{**LATERAL, **dict(lateral)}), tmp_path / "side.dcm"),
        )

    return make


def test_a_proper_pair_raises_no_suspicion(pair):
    common = {"Laterality": "L", "PatientID": "A", "StudyDate": "20200101"}
    ap, lateral, suspicions = read_pair(*pair(common, common))
    assert (ap.view.value, lateral.view.value) == (View.AP, View.LATERAL)
    assert ap.side.value is lateral.side.value is Side.LEFT
    assert suspicions == [] and ap.warnings == () and lateral.warnings == ()


@pytest.mark.parametrize("known", [0, 1])
def test_the_film_that_says_its_side_speaks_for_both(pair, known):
    said = [{}, {}]
    said[known] = {"Laterality": "L"}
    paths = pair(*said)
    films = read_pair(*paths)[:2]
    assert [film.side.value for film in films] == [Side.LEFT] * 2
    assert [film.side.origin for film in films] == [Origin.HEADER] * 2
    assert not any("--side" in text for film in films for text in film.warnings)
    # A left knee's lateral has the kneecap at the right: the file shows it at the left.
    right = read_pair(*paths, side=Side.RIGHT)[1]
    np.testing.assert_array_equal(films[1].pixels, right.pixels[:, ::-1])


def test_two_guesses_are_one_knee(pair):
    ap, lateral, _ = read_pair(*pair({}, {"SeriesDescription": "left"}))
    assert ap.side.value is lateral.side.value
    ap, lateral, _ = read_pair(*pair({"ProtocolName": "left"}, {"ProtocolName": "right"}))
    assert ap.side.value is lateral.side.value is Side.LEFT


@pytest.mark.parametrize(
    ("ap", "lateral", "words"),
    [
        (LATERAL, AP, "exchanged"),
        (LATERAL, LATERAL, "both lateral"),
        (AP, AP, "both frontal"),
        ({"Laterality": "L"}, {"Laterality": "R"}, "different knees"),
    ],
    ids=["exchanged", "laterals", "frontals", "knees"],
)
def test_refused(pair, ap, lateral, words):
    with pytest.raises(XRayTo3DError, match=words) as caught:
        read_pair(*pair(ap, lateral))
    assert "front.dcm and side.dcm" in str(caught.value)


def test_the_same_file_twice(pair, tmp_path):
    ap, _ = pair()
    for other in (ap, shutil.copy(ap, tmp_path / "copy.dcm")):
        with pytest.raises(XRayTo3DError, match="the same film"):
            read_pair(ap, other)


@pytest.mark.parametrize("mirror", [False, True])
def test_the_same_picture_in_two_files(tmp_path, mirror):
    Image.fromarray(picture()).save(tmp_path / "a.png")
    second = picture()[:, ::-1] if mirror else picture()
    Image.fromarray(np.ascontiguousarray(second)).save(tmp_path / "b.tif")
    with pytest.raises(XRayTo3DError, match="the same film"):
        read_pair(tmp_path / "a.png", tmp_path / "b.tif")


@pytest.mark.parametrize(
    ("ap", "lateral", "words"),
    [
        ({"ImagerPixelSpacing": [0.1, 0.1]}, {"ImagerPixelSpacing": [0.31, 0.31]}, "--spacing"),
        ({"PatientID": "SECRET1"}, {"PatientID": "SECRET2"}, "different patient identifiers"),
        ({"StudyDate": "20200101"}, {"StudyDate": "20210101"}, "different days"),
        ({"PatientID": "SECRET1"}, {}, None),
        ({"ImagerPixelSpacing": [0.1, 0.1]}, {"ImagerPixelSpacing": [0.29, 0.29]}, None),
    ],
    ids=["spacing", "patients", "days", "one patient", "similar spacing"],
)
def test_suspicions(pair, ap, lateral, words):
    films = read_pair(*pair(ap, lateral))
    assert len(films[2]) == (words is not None)
    assert words is None or words in films[2][0]
    assert "SECRET" not in repr(films)
    assert check_pair(films[0], films[1]) == films[2]
