"""Films whose style was translated, laid over the films in a scene of Slicer's own library."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import slicer
import vtk
from panel_stand_ins import module_file
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation
from scipy.stats import spearmanr

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.geometry import BiplanarGeometry
from XRayTo3DLib.imaging.pair import read_pair
from XRayTo3DLib.imaging.radiograph import Side
from XRayTo3DLib.reconstruction.reconstruct import reconstruct
from XRayTo3DLib.resources import resource_path
from XRayTo3DLib.slicer.export import save_scene
from XRayTo3DLib.slicer.films import film_of, pixels_of, show_film
from XRayTo3DLib.slicer.knee_nodes import KneeNodes, knees_in
from XRayTo3DLib.slicer.layout import AP, LATERAL, composite_of, show_in_layout
from XRayTo3DLib.slicer.nodes import Node, array_of, nodes_of
from XRayTo3DLib.slicer.segments import segmentations_logic
from XRayTo3DLib.slicer.styled_films import (
    remove_styled,
    show_styled,
    styled_detectors,
    styled_films,
)
from XRayTo3DLib.slicer.work import (
    SHIPPED_STYLE,
    Settings,
    load_samples,
    reconstruct_films,
    set_side,
)

SAMPLE_NAMES = ("knee_ap.dcm", "knee_lateral.dcm")
STYLED = Settings(
    device="cpu", style=SHIPPED_STYLE, check_films=False, find_joint=False, refine=False
)


def still(stage: str, fraction: float) -> None:
    pass


def with_style(scene: slicer.vtkMRMLScene, left: bool = False) -> KneeNodes:
    films = load_samples(scene)
    if left:  # the same knee in a mirror
        for node in films:
            film = film_of(node)
            show_film(node, replace(film, pixels=film.pixels[:, ::-1]), geometry(node))
        set_side(list(films), Side.LEFT)
    return reconstruct_films(scene, *films, STYLED, still)


def reading_scene(cache: Path) -> slicer.vtkMRMLScene:
    """A scene that can read what was saved; reading unpacks it into a folder."""
    scene = slicer.vtkMRMLScene()
    segmentations_logic(scene)
    manager, data = slicer.vtkCacheManager(), slicer.vtkDataIOManager()
    cache.mkdir()
    manager.SetRemoteCacheDirectory(str(cache))
    data.SetCacheManager(manager)
    scene.SetDataIOManager(data)
    return scene


def geometry(node: Node):
    from XRayTo3DLib.imaging.geometry import film_geometry

    return film_geometry(film_of(node))


def to_ras(node: Node) -> np.ndarray:
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return array_of(matrix)


def below(film: Node, over: Node) -> tuple[np.ndarray, np.ndarray]:
    """Where the pixels of one volume are on another: its pixels there, and mm off its plane."""
    rows, columns = pixels_of(over).shape
    row, column = np.mgrid[:rows, :columns]
    ijk = np.stack([column, row, 0 * row, 1 + 0 * row], axis=-1)
    places = ijk @ (np.linalg.inv(to_ras(film)) @ to_ras(over)).T
    pixels = map_coordinates(
        pixels_of(film), [places[..., 1], places[..., 0]], order=1, mode="constant", cval=np.nan
    )
    return pixels, places[..., 2]


@pytest.mark.parametrize("left", [False, True])
def test_translated_films_lie_on_the_films(scene: slicer.vtkMRMLScene, left: bool) -> None:
    knee = with_style(scene, left)
    for film, over in zip(knee.films, styled_films(knee.films), strict=True):
        pixels, off = below(film, over)
        assert np.abs(off).max() < 1e-3
        seen = np.isfinite(pixels)
        assert seen.mean() > 0.3

        def likeness(picture: np.ndarray, pixels=pixels, seen=seen) -> float:
            return float(np.corrcoef(picture[seen], pixels[seen])[0, 1])

        translated = pixels_of(over)
        assert likeness(translated) > 0.85
        # Anywhere else it is less alike: neither mirrored nor moved by a centimetre.
        assert likeness(translated[:, ::-1]) < likeness(translated) - 0.05
        for shift in (-15, 15):
            for axis in (0, 1):
                assert likeness(np.roll(translated, shift, axis)) < likeness(translated)


@pytest.mark.parametrize("side", list(Side))
def test_they_stay_on_films_that_a_refinement_moved(side: Side) -> None:
    frontal, lateral, _ = read_pair(*(resource_path("SampleData", name) for name in SAMPLE_NAMES))
    films = (frontal, lateral)
    if side is Side.LEFT:
        films = tuple(
            replace(f, pixels=f.pixels[:, ::-1], side=replace(f.side, value=side)) for f in films
        )
    options = {"check_films": False, "find_joint": False, "refine": False, "ap_lean": 6.0}
    found = reconstruct(*films, style=SHIPPED_STYLE, **options)
    assert found.styled is not None
    turn = Rotation.from_euler("xyz", [4.0, -3.0, 2.0], degrees=True).as_matrix()
    moved = BiplanarGeometry(*(v.moved(turn, (3.0, -5.0, 6.0)) for v in found.geometry.views))
    stands = styled_detectors(found.styled, moved)
    for film, stand, view, shown in zip(
        films, stands, moved.views, found.styled.before, strict=True
    ):
        places = view.project(stand.pixel_positions())
        greys = map_coordinates(film.pixels, places.transpose(2, 0, 1), order=1, cval=np.nan)
        seen = np.isfinite(greys)
        assert seen.mean() > 0.8

        def likeness(picture: np.ndarray, greys=greys, seen=seen) -> float:
            return float(spearmanr(greys[seen], picture[seen]).statistic)

        # The network's picture is the film in larger pixels and another tone.
        assert likeness(shown) > 0.99
        for shift in (-2, 2):
            for axis in (0, 1):
                assert likeness(np.roll(shown, shift, axis)) < likeness(shown)


def test_they_come_and_go_over_the_films_and_with_a_new_reconstruction(
    scene: slicer.vtkMRMLScene,
) -> None:
    before = len(nodes_of(scene, "vtkMRMLScalarVolumeNode"))
    knee = with_style(scene)
    translated = styled_films(knee.films)
    assert [node.GetName() for node in translated] == [
        "AP film, translated",
        "lateral film, translated",
    ]
    show_in_layout(knee)
    shown = [composite_of(scene, name) for name in (AP, LATERAL)]
    show_styled(knee.films, True)
    for composite, film, node in zip(shown, knee.films, translated, strict=True):
        assert composite.GetBackgroundVolumeID() == film.GetID()
        assert composite.GetForegroundVolumeID() == node.GetID()
        assert composite.GetForegroundOpacity() == pytest.approx(0.5)
    show_styled(knee.films, False)
    assert not any(composite.GetForegroundVolumeID() for composite in shown)
    show_styled(knee.films, True)

    plain = replace(STYLED, style=None)
    again = reconstruct_films(scene, *knee.films, plain, still)
    assert styled_films(again.films) == ()
    assert not any(scene.IsNodePresent(node) for node in translated)
    show_styled(again.films, True)
    # Two films and the probability of bone.
    assert len(nodes_of(scene, "vtkMRMLScalarVolumeNode")) == before + 3


def test_a_scene_that_was_saved_has_them_again(scene: slicer.vtkMRMLScene, tmp_path: Path) -> None:
    knee = with_style(scene)
    greys = [pixels_of(node) for node in styled_films(knee.films)]
    path = save_scene(scene, tmp_path / "knee.mrb")
    other = reading_scene(tmp_path / "cache")
    assert other.ReadFromMRB(str(path), True)
    (knee,) = knees_in(other)
    for node, grey in zip(styled_films(knee.films), greys, strict=True):
        np.testing.assert_allclose(pixels_of(node), grey, atol=1e-6)
    remove_styled(knee.films)
    assert styled_films(knee.films) == ()


def test_bad_weights_of_style_leave_the_scene_as_it_was(
    scene: slicer.vtkMRMLScene, tmp_path: Path
) -> None:
    films = load_samples(scene)
    before = {node.GetID() for node in nodes_of(scene, "vtkMRMLNode")}
    with pytest.raises(XRayTo3DError, match=r"none\.safetensors"):
        bad = replace(STYLED, style=tmp_path / "none.safetensors")
        reconstruct_films(scene, *films, bad, still)
    assert {node.GetID() for node in nodes_of(scene, "vtkMRMLNode")} == before


def test_the_word_for_the_shipped_translation_is_the_librarys() -> None:
    from XRayTo3DLib.style.style_weights import SHIPPED

    assert SHIPPED_STYLE == SHIPPED


def test_the_panels_parameters_become_settings(tmp_path: Path) -> None:
    with module_file() as module:
        parameters = module.XRayTo3DParameterNode()
        assert module.settingsOf(parameters) == Settings()
        parameters.translateStyle, parameters.acceptAny, parameters.checkFilms = True, True, False
        told = module.settingsOf(parameters)
        assert (told.style, told.accept_any, told.check_films) == (SHIPPED_STYLE, True, False)
        told = []
        for parameters.refineWhere in ("Always", "Never"):
            told.append(module.settingsOf(parameters).refine)
        assert told == [True, False]
        parameters.styleWeights = str(tmp_path / "mine.safetensors")
        assert module.settingsOf(parameters).style == tmp_path / "mine.safetensors"
