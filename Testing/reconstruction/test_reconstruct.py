"""The whole path on the sample radiographs, with the weights that are shipped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.surface import Surface, read_surface
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.evaluation.metrics import compare_bone
from XRayTo3DLib.imaging.geometry import geometry_of
from XRayTo3DLib.imaging.pair import read_pair
from XRayTo3DLib.imaging.radiograph import Origin, Radiograph, Side, Sourced, View
from XRayTo3DLib.progress import Cancelled
from XRayTo3DLib.reconstruction.networks import NetworkSettings, ReconstructionNetwork
from XRayTo3DLib.reconstruction.reconstruct import reconstruct
from XRayTo3DLib.reconstruction.report import build_report
from XRayTo3DLib.reconstruction.result import Reconstruction
from XRayTo3DLib.reconstruction.seeing import RightKnee
from XRayTo3DLib.reconstruction.weights import load_model, save_weights
from XRayTo3DLib.resources import resource_path


@pytest.fixture(scope="module")
def films() -> tuple[Radiograph, Radiograph]:
    frontal, lateral, suspicions = read_pair(*sample_paths())
    assert suspicions == []
    return frontal, lateral


@pytest.fixture(scope="module")
def whole() -> Reconstruction:
    """With all that is done by default."""
    return reconstruct(*sample_paths())


@pytest.fixture(scope="module")
def result() -> Reconstruction:
    """Without refinement, which takes longer than all the rest."""
    return reconstruct(*sample_paths(), refine=False)


def sample_paths() -> tuple[str, str]:
    return tuple(str(resource_path("SampleData", f"knee_{name}.dcm")) for name in ("ap", "lateral"))


def truth(bone: Bone) -> Surface:
    return read_surface(resource_path("SampleData", "truth", f"{bone.key}.ply"))


@pytest.mark.parametrize(
    ("bone", "dice", "assd"),
    [
        (Bone.FEMUR, 0.91, 1.6),
        (Bone.TIBIA, 0.91, 1.5),
        (Bone.PATELLA, 0.83, 1.7),
        (Bone.FIBULA, 0.87, 1.0),
    ],
)
def test_the_sample_knee_is_found(
    whole: Reconstruction, bone: Bone, dice: float, assd: float
) -> None:
    """The model card's accuracy is what the code gives; better weights raise these limits."""
    metrics = compare_bone(whole.surfaces[bone], truth(bone), whole.grid)
    assert metrics.dice > dice
    assert metrics.distances.assd < assd


def test_the_bent_sample_knee_is_refined_by_default(
    whole: Reconstruction, result: Reconstruction
) -> None:
    assert whole.fit is not None and whole.fit.automatic
    assert "refining" in whole.seconds
    assert result.fit is None
    refinement = build_report(whole)["refinement"]
    assert refinement["why"] == "the lateral film shows a bent knee"
    assert refinement["flexion_on_lateral_degrees"] > 5.0


def test_probabilities_sum_to_one(result: Reconstruction) -> None:
    np.testing.assert_allclose(result.probabilities.sum(axis=0), 1.0, atol=1e-4)


def test_what_the_header_says_is_kept(result: Reconstruction) -> None:
    assert result.side is Side.RIGHT
    for film in (result.frontal, result.lateral):
        origins = {film.side.origin, film.spacing.origin, film.sid.origin, film.sod.origin}
        assert origins == {Origin.HEADER}


def test_the_error_to_be_expected_is_said(result: Reconstruction) -> None:
    for bone, facts in build_report(result)["bones"].items():
        assert 0.2 < facts["expected_error_mm"] < 2.0, bone
    other = replace(result, model=replace(result.model, sha256="of weights never calibrated"))
    for facts in build_report(other)["bones"].values():
        assert facts["found"] and facts["expected_error_mm"] is None


def test_the_second_run_gives_the_same(result: Reconstruction) -> None:
    again = reconstruct(*sample_paths(), refine=False)
    np.testing.assert_array_equal(again.probabilities, result.probabilities)
    for bone, surface in result.surfaces.items():
        np.testing.assert_array_equal(again.surfaces[bone].vertices, surface.vertices)


def test_a_left_knee_is_the_mirror_of_a_right_one(
    films: tuple[Radiograph, Radiograph], result: Reconstruction
) -> None:
    frontal, lateral = films
    left = reconstruct(
        np.ascontiguousarray(frontal.pixels[:, ::-1]),
        np.ascontiguousarray(lateral.pixels[:, ::-1]),
        side=Side.LEFT,
        spacing=frontal.spacing.value,
        sid=frontal.sid.value,
        sod=frontal.sod.value,
        refine=False,
    )
    right = reconstruct(
        frontal.pixels,
        lateral.pixels,
        side=Side.RIGHT,
        spacing=frontal.spacing.value,
        sid=frontal.sid.value,
        sod=frontal.sod.value,
        refine=False,
    )
    assert left.side is Side.LEFT
    np.testing.assert_allclose(left.probabilities[..., ::-1], right.probabilities, atol=1e-3)
    fibula = left.surfaces[Bone.FIBULA].vertices[:, 0].mean()
    assert fibula < 0 < right.surfaces[Bone.FIBULA].vertices[:, 0].mean()


def test_arrays_do_as_well_as_files(
    films: tuple[Radiograph, Radiograph], result: Reconstruction
) -> None:
    again = reconstruct(*films, refine=False)
    np.testing.assert_array_equal(again.probabilities, result.probabilities)


def test_standard_films_put_a_landmark_where_their_matrices_say(
    films: tuple[Radiograph, Radiograph],
) -> None:
    model = load_model()
    geometry = geometry_of(*films)
    standard, matrices = RightKnee.of(*films, geometry, model.network.settings).inputs()
    assert standard.shape == (1, 2, 256, 256)
    point = np.array([12.0, -20.0, 31.0, 1.0])
    for view, matrix in zip(geometry.views, matrices[0].numpy(), strict=True):
        row, column, weight = matrix @ point
        target = view.resampled(0.68, 256)
        np.testing.assert_allclose(
            (row / weight, column / weight), target.project(point[:3]), atol=1e-2
        )


def test_films_are_recognised_whichever_network_reconstructs(
    films: tuple[Radiograph, Radiograph], tmp_path: Path
) -> None:
    settings = NetworkSettings(lifting="stack", size=16, upscale=1, base=2, levels=2)
    weights = tmp_path / "blind.safetensors"
    save_weights(ReconstructionNetwork(settings), weights, {})
    frontal, lateral = films
    found = reconstruct(frontal, lateral, weights=weights)
    assert found.frontal.recognition.view is View.AP
    assert found.lateral.recognition.view is View.LATERAL
    assert found.model.name == "blind"
    noise = np.random.default_rng(0).random(lateral.pixels.shape, dtype=np.float32)
    with pytest.raises(XRayTo3DError, match="does not look like a film of a knee"):
        reconstruct(frontal, replace(lateral, pixels=noise), weights=weights)


def test_films_given_in_the_wrong_order_give_the_same_knee(
    films: tuple[Radiograph, Radiograph], result: Reconstruction
) -> None:
    """Nothing says which film is which; the centres that were given go with the pictures."""
    frontal, lateral = (
        replace(
            film,
            view=Sourced(view, Origin.ASSUMED),
            orientation=Sourced(letters, Origin.ASSUMED),
        )
        for film, view, letters in (
            (films[1], View.AP, ("L", "F")),
            (films[0], View.LATERAL, ("P", "F")),
        )
    )
    rows, columns = films[0].pixels.shape
    middle = ((rows - 1) / 2, (columns - 1) / 2)
    again = reconstruct(frontal, lateral, lateral_centre=middle, refine=False)
    assert again.centres.frontal.origin is Origin.USER
    np.testing.assert_allclose(again.probabilities, result.probabilities, atol=1e-4)
    assert any("exchanged" in sentence for sentence in again.frontal.warnings)


def test_what_a_header_says_stands_and_is_warned_of(
    films: tuple[Radiograph, Radiograph],
) -> None:
    frontal = replace(films[0], pixels=1.0 - films[0].pixels)
    checked = reconstruct(frontal, films[1], refine=False)
    (sentence,) = checked.frontal.warnings
    assert "--ap-dark" in sentence
    np.testing.assert_array_equal(checked.frontal.pixels, frontal.pixels)
    unchecked = reconstruct(frontal, films[1], check_films=False, refine=False)
    assert unchecked.frontal.warnings == ()


def test_cancelling_stops_at_the_next_stage() -> None:
    stages = []

    def stop(stage: str, fraction: float) -> None:
        stages.append(stage)
        if stage == "Loading the network":
            raise Cancelled

    with pytest.raises(Cancelled):
        reconstruct(*sample_paths(), progress=stop)
    assert "Network" not in stages


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"angle": 5.0}, "angle"),
        ({"sid": 800.0, "sod": 900.0}, "sod"),
        ({"weights": "nowhere.safetensors"}, "nowhere.safetensors"),
    ],
)
def test_bad_arguments_are_said_in_a_sentence(change: dict, said: str) -> None:
    with pytest.raises(XRayTo3DError, match=f"(?i){said}"):
        reconstruct(*sample_paths(), **change)


def test_arrays_need_their_facts() -> None:
    picture = np.zeros((100, 100), dtype=np.float32)
    with pytest.raises(XRayTo3DError, match="side, spacing, sid and sod"):
        reconstruct(picture, picture.copy())
