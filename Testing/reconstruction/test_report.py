from __future__ import annotations

import json
from dataclasses import fields, replace

import numpy as np
import pytest

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.imaging.radiograph import View
from XRayTo3DLib.reconstruction.checked_film import CheckedFilm, Recognition
from XRayTo3DLib.reconstruction.outlines import agreement, outlines_of
from XRayTo3DLib.reconstruction.report import build_report
from XRayTo3DLib.reconstruction.result import Fit, Reconstruction


def capsule_volume(length: float, radius: float) -> float:
    return np.pi * radius**2 * (length + 4 / 3 * radius)


@pytest.mark.parametrize(
    ("bone", "length", "radius"),
    [
        (Bone.FEMUR, 70, 25),
        (Bone.TIBIA, 70, 22),
        (Bone.PATELLA, 8, 12),
        (Bone.FIBULA, 60, 8),
    ],
)
def test_volume_is_that_of_a_capsule(
    knee: Reconstruction, bone: Bone, length: float, radius: float
) -> None:
    facts = build_report(knee)["bones"][bone.key]
    assert facts["found"] is True
    assert facts["volume_mm3"] == pytest.approx(capsule_volume(length, radius), rel=0.01)
    assert facts["volume_cm3"] == pytest.approx(facts["volume_mm3"] / 1000, abs=0.005)


def test_bounding_box_is_that_of_a_capsule(knee: Reconstruction) -> None:
    box = build_report(knee)["bones"]["patella"]["bounding_box_ras_mm"]
    assert box["from"] == pytest.approx([-12, 30, 16], abs=0.2)
    assert box["to"] == pytest.approx([12, 54, 48], abs=0.2)


@pytest.mark.parametrize(
    ("bone", "sides"),
    [
        (Bone.FEMUR, ["superior"]),
        (Bone.TIBIA, ["inferior"]),
        (Bone.PATELLA, []),
        (Bone.FIBULA, ["inferior"]),
    ],
)
def test_a_bone_that_leaves_the_field_of_view_is_said_to_be_cut(
    knee: Reconstruction, bone: Bone, sides: list[str]
) -> None:
    assert build_report(knee)["bones"][bone.key]["cut_by_field_of_view"] == sides


@pytest.mark.parametrize(
    ("axis", "last", "side"),
    [
        (0, False, "inferior"),
        (0, True, "superior"),
        (1, False, "posterior"),
        (1, True, "anterior"),
        (2, False, "left"),
        (2, True, "right"),
    ],
)
def test_each_face_has_its_name(knee: Reconstruction, axis: int, last: bool, side: str) -> None:
    probabilities = np.zeros_like(knee.probabilities)
    probabilities[0] = 0.5
    face = [30, 30, 30]
    face[axis] = -1 if last else 0
    probabilities[(Bone.PATELLA, *face)] = 1.0
    report = build_report(replace(knee, probabilities=probabilities))
    assert report["bones"]["patella"]["cut_by_field_of_view"] == [side]
    # The name is the patient's: the face's RAS coordinate has the sign of that direction.
    centre = knee.grid.to_ras(np.array(face) % knee.grid.shape[0])[2 - axis]
    assert (centre > 0) == (side in ("superior", "anterior", "right"))


def test_every_fact_has_its_origin(knee: Reconstruction) -> None:
    view = build_report(knee)["views"]["frontal"]
    assert view["sid_mm"] == {
        "value": 1000.0,
        "origin": "header",
        "note": "DistanceSourceToDetector (0018,1110)",
    }
    assert view["spacing_mm"] == {
        "value": [2.0, 2.0],
        "origin": "assumed",
        "note": "usual pitch",
    }
    assert view["side"]["origin"] == "user"
    assert {"sod_mm", "view", "orientation_in_file", "bone_dark_in_file"} <= view.keys()
    assert view["magnification"] == pytest.approx(1000 / 900, abs=1e-4)
    # The frontal beam comes from the front.
    assert view["geometry_ras_mm"]["source"] == pytest.approx([0, 900, 0], abs=1e-3)
    assert build_report(knee)["angle_between_views_degrees"] == pytest.approx(90)


def test_the_report_is_strict_json_without_folders(knee: Reconstruction) -> None:
    text = json.dumps(build_report(knee), allow_nan=False)
    report = json.loads(text)
    assert report["views"]["lateral"]["file"] == "lateral.dcm"
    assert "someone" not in text
    assert "not for clinical use" in report["notice"].lower()
    assert report["weights"] == {
        "name": "knee-test",
        "sha256": "0f" * 32,
        "licence": "CC BY-NC-SA 4.0",
    }
    assert report["surfaces"]["frame"] == "LPS"
    assert {"xrayto3d", "python", "torch", "vtk", "simpleitk"} == report["versions"].keys()


@pytest.mark.parametrize(("automatic", "why"), [(True, "bent knee"), (False, "asked for")])
def test_why_it_was_refined(knee: Reconstruction, automatic: bool, why: str) -> None:
    assert build_report(knee)["refinement"] is None
    fit = Fit(0.75, 0.5, "settled", -0.0, 12.34, automatic)
    refinement = build_report(replace(knee, fit=fit))["refinement"]
    assert why in refinement.pop("why")
    assert json.dumps(refinement) == json.dumps(
        {
            "outline_error_before_mm": 0.75,
            "outline_error_mm": 0.5,
            "stopped": "settled",
            "more_flexion_on_lateral_degrees": 0.0,
            "flexion_on_lateral_degrees": 12.3,
        }
    )
    blind = replace(knee, fit=Fit(np.nan, np.nan, "no evidence"))
    assert build_report(blind)["refinement"]["flexion_on_lateral_degrees"] is None


def test_what_a_film_looked_like(knee: Reconstruction) -> None:
    assert build_report(knee)["views"]["frontal"]["recognition"] is None
    names = ("view", "side", "mirrored", "upside_down", "inverted", "is_knee")
    sure = {name: 0.9 + number / 70 for number, name in enumerate(names)}
    facts = {field.name: getattr(knee.lateral, field.name) for field in fields(knee.lateral)}
    film = CheckedFilm(
        **facts,
        recognition=Recognition(View.LATERAL, None, True, False, True, True, sure),
        metal=123.45678,
        cast=True,
    )
    report = build_report(replace(knee, lateral=film))
    assert report["views"]["lateral"]["recognition"] == {
        "is_knee": True,
        "view": "lateral",
        "side": None,
        "mirrored": True,
        "upside_down": False,
        "inverted": True,
        "confidence": {name: round(value, 4) for name, value in sure.items()},
        "metal_mm2": 123.4568,
        "cast": True,
    }
    assert json.loads(json.dumps(report, allow_nan=False)) == report


@pytest.mark.parametrize(
    ("stages", "total"),
    [({"network": 1.25, "surfaces": 0.5}, 1.75), ({"network": 1.25, "total": 1.5}, 1.5)],
)
def test_total_time(knee: Reconstruction, stages: dict[str, float], total: float) -> None:
    seconds = build_report(replace(knee, seconds=stages))["seconds"]
    assert seconds == {**stages, "total": total}


def test_warnings_of_the_films_are_there_once(knee: Reconstruction) -> None:
    twice = replace(knee, warnings=(*knee.warnings, "AP.dcm: no pixel spacing."))
    assert build_report(twice)["warnings"] == [
        "The lateral film is cut at the back.",
        "AP.dcm: no pixel spacing.",
        "lateral.dcm: no pixel spacing.",
    ]


def test_a_bone_that_was_not_found_has_no_figures(knee: Reconstruction) -> None:
    without = {bone: surface for bone, surface in knee.surfaces.items() if bone is not Bone.FIBULA}
    assert build_report(replace(knee, surfaces=without))["bones"]["fibula"] == {"found": False}


def test_outlines_agree_with_the_film_they_belong_to(knee: Reconstruction) -> None:
    """Where no other bone is behind, the agreement is nearly 1; moved by 6 mm it falls."""
    true = outlines_of(knee)[Bone.PATELLA][1]
    moved_surface = {Bone.PATELLA: moved(knee.surfaces[Bone.PATELLA], (0, 6, 6))}
    wrong = outlines_of(replace(knee, surfaces=moved_surface))[Bone.PATELLA][1]
    good, bad = agreement(knee.lateral, true), agreement(knee.lateral, wrong)
    assert good is not None and bad is not None
    assert good > 0.9
    assert bad < good - 0.2


def test_a_bone_beside_the_film_has_no_agreement(knee: Reconstruction) -> None:
    away = {Bone.PATELLA: moved(knee.surfaces[Bone.PATELLA], (0, 0, 400))}
    facts = build_report(replace(knee, surfaces=away))["bones"]["patella"]
    assert facts["outline_agreement"] == {"frontal": None, "lateral": None}


def moved(surface: Surface, shift: tuple[float, float, float]) -> Surface:
    matrix = np.eye(4)
    matrix[:3, 3] = shift
    return surface.transformed(matrix)
