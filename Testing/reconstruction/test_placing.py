"""Whole films, leaning and off centre, are reconstructed as the films of the knee alone are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import rotate

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.evaluation.alignment import aligned
from XRayTo3DLib.evaluation.metrics import solid_dice
from XRayTo3DLib.imaging.centres import stated_centres
from XRayTo3DLib.imaging.pair import read_pair
from XRayTo3DLib.imaging.radiograph import Origin, Radiograph, Side, Sourced
from XRayTo3DLib.reconstruction.finding import SURE
from XRayTo3DLib.reconstruction.leaning import lean_on
from XRayTo3DLib.reconstruction.placing import Placed, place
from XRayTo3DLib.reconstruction.reconstruct import reconstruct
from XRayTo3DLib.reconstruction.report import build_report
from XRayTo3DLib.reconstruction.result import Reconstruction
from XRayTo3DLib.reconstruction.weights import load_model
from XRayTo3DLib.resources import resource_path

LEAN = 9.0
FILMS = [resource_path("SampleData", f"knee_{view}.dcm") for view in ("ap", "lateral")]


@pytest.fixture(scope="module")
def pair() -> tuple[Radiograph, Radiograph]:
    frontal, lateral, _ = read_pair(*FILMS)
    return frontal, lateral


def on_a_whole_film(film: Radiograph, lean: float) -> Radiograph:
    """The film turned in its plane, in a corner of one that is much taller and wider."""
    turned = rotate(film.pixels, lean, reshape=False, order=1, mode="nearest")
    rows, columns = turned.shape
    large = np.full((2 * rows, columns + columns // 4), turned.min(), dtype=np.float32)
    large[rows // 3 : rows // 3 + rows, columns // 4 :] = turned
    return replace(film, pixels=large)


def mirrored(film: Radiograph) -> Radiograph:
    """As of the other knee."""
    pixels = np.ascontiguousarray(film.pixels[:, ::-1])
    return replace(film, pixels=pixels, side=Sourced(Side.LEFT, Origin.USER))


@pytest.fixture(scope="module")
def plain(pair: tuple[Radiograph, Radiograph]) -> Reconstruction:
    return reconstruct(*pair, check_films=False, refine=False)


def agreement(found: Reconstruction, plain: Reconstruction) -> float:
    """Least Dice of the long bones; the two lie differently by one rigid motion."""
    moved, _ = aligned(found.surfaces, plain.surfaces)
    dice = [
        solid_dice(moved[bone], plain.surfaces[bone], plain.grid, spacing=1.5)
        for bone in (Bone.FEMUR, Bone.TIBIA)
    ]
    return min(dice)


def test_leaning_films_off_centre(
    pair: tuple[Radiograph, Radiograph], plain: Reconstruction
) -> None:
    films = [on_a_whole_film(film, LEAN) for film in pair]
    found = reconstruct(*films, check_films=False, refine=False)
    assert agreement(found, plain) > 0.85
    assert found.centres.frontal.origin is Origin.FOUND
    assert sum("leaning" in sentence for sentence in found.warnings) == 2


def test_a_left_knee_is_the_mirror_image(
    pair: tuple[Radiograph, Radiograph], plain: Reconstruction
) -> None:
    films = [mirrored(on_a_whole_film(film, LEAN)) for film in pair]
    found = reconstruct(*films, check_films=False, refine=False)
    other = {bone: surface.mirrored() for bone, surface in found.surfaces.items()}
    assert agreement(replace(found, surfaces=other), plain) > 0.85


def turned(film: Radiograph, degrees: float) -> Radiograph:
    """The film of a knee alone, turned counter-clockwise: the leg leans to the left by as much."""
    return replace(film, pixels=rotate(film.pixels, degrees, reshape=False, order=1))


def leans(placed: Placed) -> list[float]:
    """Degrees by which the world's z leans to the right on each film."""
    steps = [
        view.project(np.array([0.0, 0.0, 1.0])) - view.project(np.zeros(3))
        for view in placed.geometry.views
    ]
    return [float(np.degrees(np.arctan2(right, -down))) for down, right in steps]


@pytest.mark.parametrize("side", list(Side))
def test_a_film_of_the_knee_alone_is_turned_upright(
    pair: tuple[Radiograph, Radiograph], side: Side
) -> None:
    model = load_model()
    films = pair if side is Side.RIGHT else tuple(map(mirrored, pair))
    middles = [(np.array(film.pixels.shape) - 1) / 2 for film in films]
    own = [
        lean_on(film, model, (middle[0], middle[1])).degrees
        for film, middle in zip(films, middles, strict=True)
    ]
    both = [turned(film, 12.0) for film in films]
    placed = place(model, *both, 90.0, stated_centres(*both))
    assert leans(placed) == pytest.approx([lean - 12.0 for lean in own], abs=1.5)
    assert sum("leans to the left" in line for line in placed.centres.warnings) == 2
    assert leans(place(model, *both, 90.0, stated_centres(*both), search=False)) == [0.0, 0.0]


def test_an_upright_leg_is_left_as_the_film_shows_it(
    pair: tuple[Radiograph, Radiograph],
) -> None:
    placed = place(load_model(), *pair, 90.0, stated_centres(*pair))
    assert leans(placed) == [0.0, 0.0]
    assert not placed.centres.warnings


def test_a_lean_that_somebody_states_counts(pair: tuple[Radiograph, Radiograph]) -> None:
    placed = place(load_model(), *pair, 90.0, stated_centres(*pair), leans=(5.0, -9.0))
    assert leans(placed) == pytest.approx([5.0, -9.0])
    options = {"check_films": False, "find_joint": False, "refine": False}
    found = reconstruct(*pair, lateral_lean=-9.0, **options)
    assert leans(Placed(*pair, found.geometry, found.centres)) == pytest.approx([0.0, -9.0])
    views = build_report(found)["views"]
    assert views["lateral"]["leg_leans_right_degrees"] == -9.0


def test_nothing_leans_where_there_is_no_knee(pair: tuple[Radiograph, Radiograph]) -> None:
    blank = replace(pair[0], pixels=np.zeros_like(pair[0].pixels))
    assert lean_on(blank, load_model(), (200.0, 200.0)).confidence < SURE


def test_what_the_user_says_is_left(pair: tuple[Radiograph, Radiograph]) -> None:
    films = [on_a_whole_film(film, 0.0) for film in pair]
    stated = stated_centres(*films, (300.0, 310.0), (320.0, 330.0))
    placed = place(load_model(), *films, 90.0, stated)
    assert placed.centres == stated


def test_films_of_a_knee_alone_are_not_searched(pair: tuple[Radiograph, Radiograph]) -> None:
    placed = place(load_model(), *pair, 90.0, stated_centres(*pair))
    assert not any("was found" in sentence for sentence in placed.centres.warnings)


def test_an_unknown_scale_is_taken_from_the_joint_and_said(
    pair: tuple[Radiograph, Radiograph],
) -> None:
    films = [replace(film, spacing=Sourced((0.5, 0.5), Origin.ASSUMED, "a guess")) for film in pair]
    placed = place(load_model(), *films, 90.0, stated_centres(*films))
    for film, true in zip((placed.frontal, placed.lateral), pair, strict=True):
        assert film.spacing.value[0] == pytest.approx(true.spacing.value[0], rel=0.2)
        assert film.spacing.origin is Origin.ASSUMED
    assert sum("condyles" in sentence for sentence in placed.centres.warnings) == 2
