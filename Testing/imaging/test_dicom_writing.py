from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from film_files import picture, unit

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.dicom_writing import derived_uid, write_radiograph_dicom
from XRayTo3DLib.imaging.radiograph import Origin, Side, View
from XRayTo3DLib.imaging.reading import read_radiograph

PIXELS = picture(top=60000)
FACTS = {
    "view": View.LATERAL,
    "side": Side.LEFT,
    "spacing": (0.15, 0.2),
    "sid": 1150.0,
    "sod": 1000.0,
    "patient_orientation": ("A", "F"),
    "description": "Generated knee, lateral",
}


@pytest.mark.parametrize(
    ("view", "side", "orientation", "turn"),
    [
        (View.AP, Side.RIGHT, ("L", "F"), lambda film: film),
        (View.PA, Side.LEFT, ("R", "F"), lambda film: film[:, ::-1]),
        (View.LATERAL, Side.RIGHT, ("P", "F"), lambda film: film),
        (View.LATERAL, Side.LEFT, ("P", "F"), lambda film: film[:, ::-1]),
        (View.LATERAL, Side.LEFT, ("A", "H"), lambda film: film[::-1]),
    ],
)
def test_what_is_written_is_read(tmp_path, view, side, orientation, turn):
    path = tmp_path / "film.dcm"
    facts = {**FACTS, "view": view, "side": side, "patient_orientation": orientation}
    write_radiograph_dicom(path, PIXELS, **facts)
    film = read_radiograph(path)
    np.testing.assert_allclose(film.pixels, turn(unit(PIXELS)), atol=1e-6)
    stated = (film.view, film.side, film.spacing, film.sid, film.sod, film.orientation)
    assert [fact.origin for fact in stated] == [Origin.HEADER] * 6
    assert (film.view.value, film.side.value, film.orientation.value) == (view, side, orientation)
    assert film.spacing.value == (0.15, 0.2)
    assert film.sid.value == 1150
    assert film.sod.value == pytest.approx(1000, abs=1e-5)
    assert film.warnings == ()


def test_another_reader_sees_the_same(tmp_path):
    path = tmp_path / "film.dcm"
    write_radiograph_dicom(path, PIXELS, **FACTS)
    image = sitk.ReadImage(str(path))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image)[0], PIXELS)
    assert image.GetSpacing()[:2] == pytest.approx((0.2, 0.15))
    assert image.GetMetaData("0010|0010").strip() == "Nobody^Generated"


def test_same_input_same_bytes(tmp_path):
    for name in ("first", "second"):
        write_radiograph_dicom(tmp_path / name, PIXELS, **FACTS)
    first = (tmp_path / "first").read_bytes()
    assert first == (tmp_path / "second").read_bytes()
    other = PIXELS.copy()
    other[0, 0] += 1
    write_radiograph_dicom(tmp_path / "other", other, **FACTS)
    uids = {pydicom.dcmread(tmp_path / name).SOPInstanceUID for name in ("first", "other")}
    assert len(uids) == 2 and all(uid.is_valid for uid in uids)


def test_the_films_of_a_pair_share_a_study(tmp_path):
    study = derived_uid("a pair")
    for instance in (1, 2):
        path = tmp_path / f"{instance}"
        write_radiograph_dicom(path, PIXELS, **FACTS, study_uid=study, instance=instance)
    films = [pydicom.dcmread(tmp_path / name) for name in ("1", "2")]
    assert {film.StudyInstanceUID for film in films} == {study}
    assert len({film.SOPInstanceUID for film in films}) == 2
    assert len({film.SeriesInstanceUID for film in films}) == 2


def test_parts_of_a_uid_do_not_run_together():
    assert derived_uid("ab", "c") != derived_uid("a", "bc")


def test_mandatory_attributes_of_a_dx_image(tmp_path):
    """Types 1 and 2 of every mandatory module of PS3.3 A.26, from highdicom's tables."""
    standard = Path(pytest.importorskip("highdicom").__file__).parent / "_standard"
    tables = {
        name: json.loads((standard / f"{name}.json").read_text(encoding="utf-8")) for name in TABLES
    }
    write_radiograph_dicom(tmp_path / "film.dcm", PIXELS, **FACTS)
    dataset = pydicom.dcmread(tmp_path / "film.dcm")
    iod = tables["sop_class_iod_map"][dataset.SOPClassUID]
    mandatory = [m["key"] for m in tables["iod_module_map"][iod] if m["usage"] == "M"]
    assert {"dx-image", "dx-detector", "dx-anatomy-imaged"} <= set(mandatory)
    missing, empty = [], []
    for module in mandatory:
        for attribute in tables["module_attribute_map"][module]:
            for holder in _holders(dataset, attribute["path"]):
                keyword = attribute["keyword"]
                if attribute["type"] in ("1", "2") and keyword not in holder:
                    missing.append(f"{module}: {keyword}")
                elif attribute["type"] == "1" and holder[keyword].is_empty:
                    empty.append(f"{module}: {keyword}")
    assert not missing
    assert not empty


TABLES = ("sop_class_iod_map", "iod_module_map", "module_attribute_map")


def _holders(dataset, path):
    """The data sets at a path of sequences; none where a sequence on it is absent."""
    holders = [dataset]
    for keyword in path:
        holders = [item for holder in holders for item in holder.get(keyword) or ()]
    return holders


@pytest.mark.parametrize(
    ("pixels", "changes", "words"),
    [
        (PIXELS.astype(float), {}, "uint16"),
        (PIXELS[None], {}, "uint16"),
        (PIXELS, {"sod": 1200.0}, "SOD"),
        (PIXELS, {"spacing": (0.0, 0.1)}, "spacing"),
        (PIXELS, {"patient_orientation": ("L", "R")}, "directions"),
    ],
)
def test_refused(tmp_path, pixels, changes, words):
    with pytest.raises(XRayTo3DError, match=words):
        write_radiograph_dicom(tmp_path / "film.dcm", pixels, **{**FACTS, **changes})
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(XRayTo3DError, match="film.dcm could not be written"):
        write_radiograph_dicom(tmp_path / "nowhere" / "film.dcm", PIXELS, **FACTS)
