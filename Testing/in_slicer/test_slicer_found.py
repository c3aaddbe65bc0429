"""Where the knee was found: a box and the joint line on a film of Slicer's own library."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import slicer
import vtk
from scipy.ndimage import rotate

from XRayTo3DLib.imaging.geometry import ViewGeometry, film_geometry
from XRayTo3DLib.imaging.radiograph import Origin, Side, Sourced
from XRayTo3DLib.progress import Cancelled
from XRayTo3DLib.reconstruction.finding import FoundKnee, find_knee
from XRayTo3DLib.reconstruction.leaning import lean_on
from XRayTo3DLib.reconstruction.weights import load_model
from XRayTo3DLib.slicer.films import film_of, restate_film, show_film
from XRayTo3DLib.slicer.found_knee import (
    FoundOnFilm,
    find_on_films,
    follow_film,
    found_on,
    found_sentence,
    look_at_films,
    remove_found,
    show_found,
)
from XRayTo3DLib.slicer.layout import AP, LATERAL, composite_of
from XRayTo3DLib.slicer.nodes import Node, nodes_of
from XRayTo3DLib.slicer.panel_texts import origin_text
from XRayTo3DLib.slicer.words import in_panel_words
from XRayTo3DLib.slicer.work import Settings, load_samples, reconstruct_films

CPU = Settings(device="cpu", refine=False)


def still(stage: str, fraction: float) -> None:
    pass


@pytest.fixture
def films(scene: slicer.vtkMRMLScene) -> tuple[Node, Node]:
    return load_samples(scene)


@pytest.fixture(scope="module")
def knees() -> dict[int, FoundKnee]:
    """Found once; finding takes some seconds a film."""
    scene = slicer.vtkMRMLScene()
    model = load_model()
    return {n: find_knee(film_of(node), model) for n, node in enumerate(load_samples(scene))}


def world(node: Node) -> np.ndarray:
    point = [0.0, 0.0, 0.0]
    places = []
    for n in range(node.GetNumberOfControlPoints()):
        node.GetNthControlPointPositionWorld(n, point)
        places.append(list(point))
    return np.array(places)


def drag(found: FoundOnFilm, millimetres: np.ndarray) -> None:
    """As the handle in the middle of a box does: every point by as much, in the world."""
    for n, place in enumerate(world(found.box) + millimetres):
        found.box.SetNthControlPointPositionWorld(n, vtk.vtkVector3d(*place))


@pytest.mark.parametrize("number", [0, 1])
def test_box_and_line_lie_on_the_film_where_the_knee_is(
    films: tuple[Node, Node], knees: dict[int, FoundKnee], number: int
) -> None:
    film, knee = films[number], knees[number]
    found = show_found(film, knee)
    view = film_geometry(film_of(film))
    for node, pixels in ((found.box, knee.box), (found.line, knee.joint_line)):
        expected = view.first_pixel + pixels @ np.stack([view.row_step, view.column_step])
        np.testing.assert_allclose(world(node), expected, atol=1e-6)
    assert found.centre == pytest.approx(knee.centre)
    assert not found.moved
    assert found_on(film) == found
    # The shipped films show the joint near their middle.
    middle = (np.array(film_of(film).pixels.shape) - 1) / 2
    assert np.abs(np.array(found.centre) - middle).max() * max(knee.scale.step) < 15


def test_the_box_stays_on_a_film_whose_scale_is_corrected(
    films: tuple[Node, Node], knees: dict[int, FoundKnee]
) -> None:
    found = show_found(films[0], knees[0])
    before = world(found.box)
    restate_film(films[0], spacing=(0.5, 0.4), sid=1200.0)
    follow_film(films[0])
    view = film_geometry(film_of(films[0]))
    expected = view.first_pixel + knees[0].box @ np.stack([view.row_step, view.column_step])
    np.testing.assert_allclose(world(found.box), expected, atol=1e-6)
    assert np.abs(world(found.box) - before).max() > 1
    assert found.centre == pytest.approx(knees[0].centre)


def test_apply_takes_the_middle_of_a_box_that_was_moved(
    scene: slicer.vtkMRMLScene, films: tuple[Node, Node], knees: dict[int, FoundKnee]
) -> None:
    boxes = [show_found(film, knees[n]) for n, film in enumerate(films)]
    view = film_geometry(film_of(films[0]))
    drag(boxes[0], 12 * view.row_step + 20 * view.column_step)
    assert boxes[0].moved
    assert not boxes[1].moved
    wanted = np.array(knees[0].centre) + (12, 20)
    assert boxes[0].centre == pytest.approx(wanted)
    knee = reconstruct_films(scene, *films, CPU, still)
    isocentre = knee.geometry.frontal.project(np.zeros(3))
    assert isocentre == pytest.approx(wanted, abs=1e-3)
    # It is still on the film, which was moved so that the isocentre falls there.
    np.testing.assert_allclose(
        world(boxes[0].box).mean(axis=0),
        knee.geometry.frontal.first_pixel
        + wanted @ np.stack([knee.geometry.frontal.row_step, knee.geometry.frontal.column_step]),
        atol=1e-6,
    )


def lean_of(view: ViewGeometry) -> float:
    """Degrees by which the world's z leans to the right on a film."""
    row, column = view.project(np.array([0.0, 0.0, 1.0])) - view.project(np.zeros(3))
    return float(np.degrees(np.arctan2(column, -row)))


def test_a_box_that_was_moved_does_not_cost_the_lean_of_the_leg(
    scene: slicer.vtkMRMLScene, films: tuple[Node, Node], knees: dict[int, FoundKnee]
) -> None:
    expected = []
    for node in films:
        film = film_of(node)
        middle = (np.array(film.pixels.shape) - 1) / 2
        expected.append(lean_on(film, load_model(), (middle[0], middle[1])).degrees - 14.0)
        # SciPy turns counter-clockwise as the picture is seen: the leg leans to the left.
        pixels = rotate(film.pixels, 14.0, reshape=False, order=1, mode="nearest")
        show_film(node, replace(film, pixels=pixels), film_geometry(film))
    boxes = [show_found(film, knees[n]) for n, film in enumerate(films)]
    view = film_geometry(film_of(films[0]))
    drag(boxes[0], 5 * view.row_step - 6 * view.column_step)
    knee = reconstruct_films(scene, *films, replace(CPU, check_films=False), still)
    assert knee.geometry.frontal.project(np.zeros(3)) == pytest.approx(boxes[0].centre, abs=1e-3)
    leans = [lean_of(view) for view in knee.geometry.views]
    assert leans == pytest.approx(expected, abs=2.0)


def test_a_box_says_how_the_leg_leans_where_nothing_is_looked_for(
    scene: slicer.vtkMRMLScene, films: tuple[Node, Node], knees: dict[int, FoundKnee]
) -> None:
    show_found(films[0], replace(knees[0], roll=7.0))
    settings = replace(CPU, check_films=False, find_joint=False)
    knee = reconstruct_films(scene, *films, settings, still)
    assert lean_of(knee.geometry.frontal) == pytest.approx(7.0)
    assert lean_of(knee.geometry.lateral) == pytest.approx(0.0)


def test_finding_again_takes_the_place_of_the_first(
    scene: slicer.vtkMRMLScene, films: tuple[Node, Node], knees: dict[int, FoundKnee]
) -> None:
    before = {node.GetID() for node in nodes_of(scene, "vtkMRMLNode")}
    show_found(films[0], knees[0])
    once = len(nodes_of(scene, "vtkMRMLNode"))
    show_found(films[0], knees[0])
    assert len(nodes_of(scene, "vtkMRMLNode")) == once
    remove_found(films[0])
    assert found_on(films[0]) is None
    left = [node for node in nodes_of(scene, "vtkMRMLNode") if node.GetID() not in before]
    assert not [node for node in left if node.IsA("vtkMRMLMarkupsNode")]


def test_a_cancelled_search_leaves_the_scene_as_it_was(
    scene: slicer.vtkMRMLScene, films: tuple[Node, Node]
) -> None:
    before = {node.GetID() for node in nodes_of(scene, "vtkMRMLNode")}
    with pytest.raises(Cancelled):
        find_on_films(list(films), still, lambda: True)
    assert {node.GetID() for node in nodes_of(scene, "vtkMRMLNode")} == before


def test_both_films_are_shown_in_their_views(
    scene: slicer.vtkMRMLScene, films: tuple[Node, Node]
) -> None:
    look_at_films(list(films))
    for name, film in zip((AP, LATERAL), films, strict=True):
        assert composite_of(scene, name).GetBackgroundVolumeID() == film.GetID()


def test_the_sentence_says_how_the_knee_stands(knees: dict[int, FoundKnee]) -> None:
    assert "lateral film: the leg leans by" in found_sentence(knees[1])
    assert "mm at the joint" in found_sentence(knees[0])
    assert "±" in found_sentence(knees[0])
    assert "is bent by" not in found_sentence(knees[0])
    assert "move the box" in found_sentence(replace(knees[0], confidence=0.1))


def test_what_the_check_finds_is_shown_as_found(
    scene: slicer.vtkMRMLScene, films: tuple[Node, Node]
) -> None:
    for node in films:
        film = film_of(node)
        guessed = replace(
            film,
            pixels=1.0 - film.pixels,
            inverted=Sourced(False, Origin.ASSUMED),
            side=Sourced(Side.RIGHT, Origin.ASSUMED),
        )
        show_film(node, guessed, film_geometry(guessed))
    reconstruct_films(scene, *films, CPU, still)
    for node in films:
        film = film_of(node)
        assert (film.inverted.value, origin_text(film.inverted)) == (True, "found")
        told = [in_panel_words(line) for line in film.warnings]
        assert any("looks dark" in line for line in told)
        assert not any("--" in line for line in told)


def test_what_looks_wrong_is_told_once_however_often_apply_is_pressed(
    scene: slicer.vtkMRMLScene, films: tuple[Node, Node]
) -> None:
    restate_film(films[0], inverted=not film_of(films[0]).inverted.value)
    pixels = film_of(films[0]).pixels
    for _ in range(2):
        reconstruct_films(scene, *films, CPU, still)
        (told,) = film_of(films[0]).warnings
        assert "Bone in the file" in in_panel_words(told) or "dark" in told
        # What the user says is never changed.
        assert film_of(films[0]).inverted.origin is Origin.USER
        np.testing.assert_array_equal(film_of(films[0]).pixels, pixels)
