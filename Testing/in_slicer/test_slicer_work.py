"""What the panel's buttons do, without a panel: load, correct, exchange, reconstruct, cancel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import slicer
from panel_stand_ins import module_file
from PIL import Image

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.geometry import film_geometry
from XRayTo3DLib.imaging.radiograph import Origin, Side, View
from XRayTo3DLib.progress import Cancelled
from XRayTo3DLib.resources import resource_path
from XRayTo3DLib.slicer.films import add_film, film_of, is_film, restate_film
from XRayTo3DLib.slicer.knee_nodes import knees_in
from XRayTo3DLib.slicer.nodes import nodes_of
from XRayTo3DLib.slicer.outlines import LiveOutlines, outline_models
from XRayTo3DLib.slicer.panel_texts import agreement_grade, film_warnings, origin_text
from XRayTo3DLib.slicer.words import in_panel_words
from XRayTo3DLib.slicer.work import (
    Settings,
    adopt_volume,
    agree_on_side,
    load_film,
    load_samples,
    reconstruct_films,
    set_side,
    swap_films,
)


def still(stage: str, fraction: float) -> None:
    pass


def content(scene: slicer.vtkMRMLScene) -> dict[str, str | None]:
    """Every node and where it stands, to see whether a scene is as it was."""
    return {
        node.GetID(): node.GetOrigin() if node.IsA("vtkMRMLScalarVolumeNode") else node.GetName()
        for node in nodes_of(scene, "vtkMRMLNode")
    }


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "film.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 70), dtype=np.uint8)).save(path)
    return path


def test_samples_are_loaded_as_a_pair(scene: slicer.vtkMRMLScene) -> None:
    frontal, lateral = load_samples(scene)
    assert film_of(frontal).view.value is View.AP
    assert film_of(lateral).view.value is View.LATERAL
    assert film_warnings(film_of(frontal), film_of(lateral)) == []


@pytest.mark.parametrize("view", [View.AP, View.LATERAL])
def test_a_film_in_the_wrong_place_is_refused(scene: slicer.vtkMRMLScene, view: View) -> None:
    other = "knee_lateral.dcm" if view is View.AP else "knee_ap.dcm"
    before = content(scene)
    with pytest.raises(XRayTo3DError, match="choose it as such"):
        load_film(scene, resource_path("SampleData", other), view)
    assert content(scene) == before


@pytest.mark.parametrize(("name", "data"), [("empty.dcm", b""), ("text.png", b"no picture")])
def test_a_bad_file_leaves_the_scene_as_it_was(
    scene: slicer.vtkMRMLScene, tmp_path: Path, name: str, data: bytes
) -> None:
    (tmp_path / name).write_bytes(data)
    before = content(scene)
    with pytest.raises(XRayTo3DError, match=name):
        load_film(scene, tmp_path / name, View.AP)
    assert content(scene) == before


def test_a_loaded_volume_becomes_a_film(scene: slicer.vtkMRMLScene) -> None:
    volume = slicer.util.addVolumeFromArray(np.random.default_rng(1).random((1, 90, 70)))
    volume.SetSpacing(0.4, 0.4, 1.0)
    film = adopt_volume(scene, volume, View.AP)
    assert is_film(film)
    assert film_of(film).spacing.value == (0.4, 0.4)
    assert adopt_volume(scene, film, View.AP) is film


def test_facts_that_are_corrected_stay_corrected(scene: slicer.vtkMRMLScene) -> None:
    frontal, _ = load_samples(scene)
    restate_film(frontal, sid=1300.0, spacing=(0.5, 0.5))
    film = film_of(frontal)
    assert (film.sid.value, film.sid.origin) == (1300.0, Origin.USER)
    assert frontal.GetSpacing()[:2] == pytest.approx((0.5, 0.5))
    assert frontal.GetOrigin() == pytest.approx(film_geometry(film).first_pixel)
    with pytest.raises(XRayTo3DError, match="must be less than the SID"):
        restate_film(frontal, sod=1400.0)
    assert film_of(frontal).sod == film.sod


def test_one_film_that_knows_its_side_tells_the_other(
    scene: slicer.vtkMRMLScene, picture: Path
) -> None:
    lateral = load_film(scene, resource_path("SampleData", "knee_lateral.dcm"), View.LATERAL)
    set_side([lateral], Side.LEFT)
    frontal = load_film(scene, picture, View.AP)
    agree_on_side(frontal, lateral)
    assert film_of(frontal).side.value is Side.LEFT
    assert not any("which knee" in line for line in film_of(frontal).warnings)


def test_films_are_exchanged_unless_a_header_forbids_it(
    scene: slicer.vtkMRMLScene, picture: Path
) -> None:
    frontal = load_film(scene, picture, View.AP)
    assert swap_films(frontal, None) == (None, frontal)
    assert film_of(frontal).view.value is View.LATERAL
    samples = load_samples(scene)
    before = [film_of(node).view for node in samples]
    with pytest.raises(XRayTo3DError, match="cannot be the lateral film"):
        swap_films(*samples)
    assert [film_of(node).view for node in samples] == before


def test_apply_again_takes_the_place_of_the_first(scene: slicer.vtkMRMLScene) -> None:
    frontal, lateral = load_samples(scene)
    first = reconstruct_films(scene, frontal, lateral, Settings(refine=False), still)
    LiveOutlines(first).stop()
    assert first.films == (frontal, lateral)
    second = reconstruct_films(scene, frontal, lateral, Settings(device="cpu", refine=False), still)
    assert [knee.record.GetID() for knee in knees_in(scene)] == [second.record.GetID()]
    assert outline_models(scene) == []
    assert scene.IsNodePresent(frontal)


@pytest.mark.parametrize("trouble", ["cancel", "weights", "pair"])
def test_whatever_stops_it_leaves_the_scene_as_it_was(
    scene: slicer.vtkMRMLScene, tmp_path: Path, trouble: str
) -> None:
    frontal, lateral = load_samples(scene)
    settings = Settings(weights=tmp_path / "none.safetensors") if trouble == "weights" else None
    if trouble == "pair":
        restate_film(frontal, side=Side.LEFT)
        restate_film(lateral, side=Side.RIGHT)
    stages: list[str] = []

    def watch(stage: str, fraction: float) -> None:
        stages.append(stage)

    before = content(scene)
    expected = Cancelled if trouble == "cancel" else XRayTo3DError
    with pytest.raises(expected):
        reconstruct_films(
            scene,
            frontal,
            lateral,
            settings or Settings(),
            watch,
            lambda: trouble == "cancel" and "Network" in stages,
        )
    assert content(scene) == before


def test_the_modules_logic_runs_without_a_desktop(scene: slicer.vtkMRMLScene) -> None:
    with module_file() as module:
        logic = module.XRayTo3DLogic()
        frontal, lateral = load_samples(scene)
        seen: list[str] = []
        knee = logic.process(frontal, lateral, pump=lambda stage, _: seen.append(stage))
    assert knee.segmentation.GetSegmentation().GetNumberOfSegments() == len(Bone)
    assert "Network" in seen


def test_a_mismatch_of_the_films_is_told_before_apply(scene: slicer.vtkMRMLScene) -> None:
    frontal, lateral = load_samples(scene)
    same = add_film(scene, film_of(frontal), film_geometry(film_of(frontal)), "again")
    sentences = film_warnings(film_of(frontal), film_of(same))
    assert len(sentences) == 1
    assert "same film" in sentences[0]


@pytest.mark.parametrize(
    ("share", "grade"), [(None, None), (0.9, "good"), (0.6, "fair"), (0.2, "poor")]
)
def test_grades(share: float | None, grade: str | None) -> None:
    assert agreement_grade(share) == grade


def test_sentences_name_controls_of_the_panel_not_options(
    scene: slicer.vtkMRMLScene, picture: Path
) -> None:
    film = film_of(load_film(scene, picture, View.LATERAL))
    assert len(film.warnings) >= 2
    for sentence in film.warnings:
        assert "--" in sentence
        assert "--" not in in_panel_words(sentence)
    assert origin_text(film.side) == "assumed"
