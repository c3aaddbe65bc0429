"""Finding the joint on the films: on drawn masks, and on cut films with the shipped weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.surface import read_surface
from XRayTo3DLib.evaluation.alignment import aligned
from XRayTo3DLib.evaluation.tables import score_knee
from XRayTo3DLib.imaging.centres import stated_centres
from XRayTo3DLib.imaging.geometry import geometry_of
from XRayTo3DLib.imaging.radiograph import Origin, Radiograph
from XRayTo3DLib.imaging.reading import read_radiograph
from XRayTo3DLib.reconstruction.centring import find_centres, joint_position
from XRayTo3DLib.reconstruction.reconstruct import reconstruct
from XRayTo3DLib.reconstruction.weights import Model, load_model
from XRayTo3DLib.resources import resource_path

STEP = 1.36


def masks(joint: int, left: int, right: int) -> torch.Tensor:
    """Femur above a row, tibia from it on, both between two columns."""
    drawn = torch.zeros(4, 128, 128)
    drawn[0, :joint, left:right] = 1
    drawn[1, joint:, left:right] = 1
    return drawn


@pytest.mark.parametrize(("joint", "left", "right"), [(64, 40, 90), (30, 10, 60), (100, 70, 120)])
def test_the_joint_is_between_femur_and_tibia(joint: int, left: int, right: int) -> None:
    found = joint_position(masks(joint, left, right), STEP)
    assert found == pytest.approx((joint - 0.5, (left + right - 1) / 2))


def test_a_gap_is_halved_and_an_overlap_too() -> None:
    drawn = masks(64, 40, 90)
    drawn[1, 64:70] = 0
    assert joint_position(drawn, STEP)[0] == pytest.approx(66.5)
    drawn = masks(64, 40, 90)
    drawn[1, 56:64, 40:90] = 1  # the femur's condyles over the edge of the tibia
    found = joint_position(drawn, STEP)[0]
    assert 55 <= found <= 64


@pytest.mark.parametrize("missing", [0, 1])
def test_without_femur_or_tibia_there_is_no_joint(missing: int) -> None:
    drawn = masks(64, 40, 90)
    drawn[missing] = 0
    assert joint_position(drawn, STEP) is None


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model()


@pytest.fixture(scope="module")
def films() -> tuple[Radiograph, Radiograph]:
    frontal, lateral = (
        read_radiograph(resource_path("SampleData", f"knee_{view}.dcm"))
        for view in ("ap", "lateral")
    )
    return frontal, lateral


def cut(film: Radiograph, rows: int, columns: int) -> Radiograph:
    """The film without its first rows and columns, so that its middle is not the joint's."""
    return replace(film, pixels=film.pixels[rows:, columns:])


def test_films_that_stand_well_are_left_alone(
    model: Model, films: tuple[Radiograph, Radiograph]
) -> None:
    stated = stated_centres(*films)
    assert find_centres(model, *films, geometry_of(*films), stated) == stated


def millimetres(film: Radiograph) -> np.ndarray:
    """From pixel to pixel at the isocentre, (down, right)."""
    return np.array(film.spacing.value) / film.magnification


def widened(film: Radiograph, columns: int) -> Radiograph:
    """The film with more of its right border, so that its middle is not the joint's."""
    return replace(film, pixels=np.pad(film.pixels, ((0, 0), (0, columns)), mode="edge"))


@pytest.mark.parametrize(("rows", "columns"), [(300, 0), (0, 400), (300, 400)])
def test_the_joint_is_found_on_a_cut_film(
    model: Model, films: tuple[Radiograph, Radiograph], rows: int, columns: int
) -> None:
    frontal = widened(cut(films[0], rows, 0), columns)
    middle = (np.array(films[0].pixels.shape) - 1) / 2 - (rows, 0)
    pair = (frontal, films[1])
    stated = stated_centres(*pair)
    found = find_centres(model, *pair, geometry_of(*pair), stated)
    assert found.frontal.origin is Origin.FOUND
    off = (np.array(found.frontal.value) - middle) * millimetres(frontal)
    assert np.abs(off).max() < 10.0
    assert (found.frontal.value[0] == stated.frontal.value[0]) == (rows == 0)
    assert (found.frontal.value[1] == stated.frontal.value[1]) == (columns == 0)
    assert any("frontal film the joint was found" in line for line in found.warnings)


def test_films_that_were_both_cut_below_are_moved_alike(
    model: Model, films: tuple[Radiograph, Radiograph]
) -> None:
    pair = tuple(
        replace(film, pixels=film.pixels[: -round(36.0 / millimetres(film)[0])]) for film in films
    )
    stated = stated_centres(*pair)
    found = find_centres(model, *pair, geometry_of(*pair), stated)
    moves = [
        (np.array(after.value) - before.value) * millimetres(film)
        for after, before, film in zip(
            (found.frontal, found.lateral), (stated.frontal, stated.lateral), pair, strict=True
        )
    ]
    np.testing.assert_allclose(moves[0], moves[1], atol=1e-6)
    assert moves[0] == pytest.approx([18.0, 0.0], abs=6.0)


@pytest.mark.parametrize("other_said", [False, True])
def test_where_the_joint_is_higher_on_one_film_a_centre_moves_up_or_down_alone(
    model: Model, films: tuple[Radiograph, Radiograph], other_said: bool
) -> None:
    rows = round(24.0 / millimetres(films[1])[0])
    pair = (films[0], cut(films[1], rows, 0))
    stated = stated_centres(*pair)
    if other_said:
        stated = stated_centres(*pair, lateral_centre=stated.lateral.value)
    moved = 0 if other_said else 1
    found = find_centres(model, *pair, geometry_of(*pair), stated)
    centres, before = (found.frontal, found.lateral), (stated.frontal, stated.lateral)
    assert centres[1 - moved] == before[1 - moved]
    assert centres[moved].value[1] == before[moved].value[1]
    # Half of the rows that were cut off move the middle; both films showed the joint alike before.
    rise = (centres[moved].value[0] - before[moved].value[0]) * millimetres(films[moved])[0]
    assert rise == pytest.approx(12.0 if other_said else -12.0, abs=5.0)
    assert any(f"moved by {abs(rise):.0f} mm" in line for line in found.warnings)


def test_what_the_user_says_stays(model: Model, films: tuple[Radiograph, Radiograph]) -> None:
    pair = (cut(films[0], 200, 0), films[1])
    said = (300.0, 250.0)
    stated = stated_centres(*pair, ap_centre=said)
    geometry = geometry_of(*pair, ap_centre=said)
    assert find_centres(model, *pair, geometry, stated).frontal.value == said


def test_a_cut_film_is_reconstructed_better_for_it(films: tuple[Radiograph, Radiograph]) -> None:
    pair = (cut(films[0], 200, 0), films[1])
    truth = {
        bone: read_surface(resource_path("SampleData", "truth", f"{bone.key}.ply")) for bone in Bone
    }

    def dice(find_joint: bool) -> float:
        result = reconstruct(*pair, find_joint=find_joint, refine=False)
        surfaces, _ = aligned(result.surfaces, truth)
        grid, who = result.grid, {"knee": "sample", "person": "nobody", "film": "cut"}
        return float(np.mean([row.dice for row in score_knee(surfaces, truth, grid, **who)]))

    assert dice(True) > dice(False) + 0.05
