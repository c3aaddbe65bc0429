"""A density in a scene: its place, its rendering, its films from any side, and its files."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import torch
import vtk
from draw_density import SLAB_MM, SLAB_UNITS
from PIL import Image
from scipy import ndimage

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.materials import from_hounsfield
from XRayTo3DLib.progress import Cancelled
from XRayTo3DLib.slicer import density_work
from XRayTo3DLib.slicer.density_layout import (
    RERENDERED,
    density_layout_xml,
    register_density_layout,
    show_density_in_layout,
    show_picture,
    show_uncertainty,
)
from XRayTo3DLib.slicer.density_nodes import (
    DensityNodes,
    add_density,
    densities_in,
    density_of,
    remove_density,
)
from XRayTo3DLib.slicer.density_rendering import (
    Preset,
    preset_of,
    render_as,
    rendering_logic,
    scalar_opacity,
)
from XRayTo3DLib.slicer.density_work import Films, density_readiness, estimate_films, save_density
from XRayTo3DLib.slicer.export import FileThereError
from XRayTo3DLib.slicer.latest import LatestWins
from XRayTo3DLib.slicer.layout import BONES, FREE, slice_view
from XRayTo3DLib.slicer.nodes import nodes_of
from XRayTo3DLib.slicer.rerendered import Rerendered, Viewpoint, remove_rerendered, rerendered_in
from XRayTo3DLib.slicer.work import load_samples
from XRayTo3DLib.tomography.density import REFERENCE_KEV, DensityVolume
from XRayTo3DLib.tomography.density_network import DensityNetwork, DensityNetworkSettings
from XRayTo3DLib.tomography.density_weights import SHIPPED, save_density_weights

GRID = VolumeGrid((52, 40, 44), 3.0, (4.0, -20.0, 7.0))
BEAD = np.array([29.5, 11.5, 26.5])
"""RAS mm of a bead of metal in the leg of :func:`leg`, off its middle in every direction."""


def leg() -> DensityVolume:
    """A cylinder of muscle about the grid's middle, and the bead."""
    x, y, z = (axis - middle for axis, middle in zip(GRID.axes(), GRID.centre, strict=True))
    units = np.full(GRID.shape, -1000.0)
    units[:, np.hypot(x[None, :], y[:, None]) < 50.0] = 50.0
    index = np.round(GRID.to_index(BEAD)).astype(int)
    units[tuple(index)] = 30000.0
    attenuation = from_hounsfield(units, REFERENCE_KEV).astype(np.float32)
    return DensityVolume(attenuation, GRID, np.full(GRID.shape, 0.002, np.float32))


@pytest.fixture
def density(scene: slicer.vtkMRMLScene) -> DensityNodes:
    facts = {"model": "phantom", "side": "right", "warnings": [], "agreement": [0.9, 0.8]}
    return add_density(scene, leg(), load_samples(scene), facts)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a network that has learnt nothing."""
    torch.manual_seed(0)
    settings = DensityNetworkSettings(size=16, base=2, levels=2, film_base=2, film_features=2)
    path = tmp_path_factory.mktemp("weights") / "untrained.safetensors"
    save_density_weights(DensityNetwork(settings), path, {})
    return path


def ids(scene: slicer.vtkMRMLScene) -> set[str]:
    return {node.GetID() for node in nodes_of(scene, "vtkMRMLNode")}


def still(stage: str, fraction: float) -> None:
    pass


def bead_on(pixels: np.ndarray) -> np.ndarray:
    """(row, column) of the middle of the bead, which stands out from the smooth leg."""
    values = pixels.astype(float)
    above = values - ndimage.median_filter(values, size=21)
    return np.argwhere(above > 0.5 * above.max()).mean(axis=0)


def value_at(node: slicer.vtkMRMLScalarVolumeNode, point: np.ndarray) -> float:
    """Of the voxel that Slicer shows at a place, RAS mm."""
    to_ijk = vtk.vtkMatrix4x4()
    node.GetRASToIJKMatrix(to_ijk)
    voxel = [round(value) for value in to_ijk.MultiplyPoint([*point, 1.0])[:3]]
    return node.GetImageData().GetScalarComponentAsDouble(*voxel, 0)


def test_a_voxel_is_where_the_patient_has_it(density: DensityNodes) -> None:
    assert value_at(density.volume, BEAD) == 30000
    assert value_at(density.volume, BEAD * (-1, 1, 1)) == 50
    assert value_at(density.volume, GRID.first) == -1000
    assert density.deviation.GetName() == "Density uncertainty (HU)"
    # By hand: 0.002 / mm over the attenuation of water at 60 keV, 0.02059 / mm, of 1000 HU.
    assert value_at(density.deviation, BEAD) == pytest.approx(97.1, abs=1.0)


def test_what_the_scene_holds_is_the_density(density: DensityNodes) -> None:
    found = density_of(density.volume)
    assert found.grid == GRID
    np.testing.assert_allclose(found.hounsfield, leg().hounsfield, atol=0.51)


def test_a_turned_density_is_refused(density: DensityNodes) -> None:
    directions = vtk.vtkMatrix4x4()
    density.volume.GetIJKToRASDirectionMatrix(directions)
    directions.SetElement(0, 0, -1.0)
    density.volume.SetIJKToRASDirectionMatrix(directions)
    with pytest.raises(XRayTo3DError, match=r"Density \(HU\) has been turned"):
        density_of(density.volume)


def test_removing_leaves_the_films_and_nothing_else(scene: slicer.vtkMRMLScene) -> None:
    rendering_logic(scene)
    films = load_samples(scene)
    before = ids(scene)
    density = add_density(scene, leg(), films, {})
    assert density.rendering is not None
    Rerendered(density.volume).show(Viewpoint())
    assert len(ids(scene) - before) >= 6
    remove_density(scene, density)
    remove_rerendered(scene)
    assert ids(scene) == before


def test_a_saved_scene_brings_all_of_it_back(density: DensityNodes, tmp_path: Path) -> None:
    scene = density.volume.GetScene()
    render_as(density.rendering, Preset.BONE)
    picture = Rerendered(density.volume).show(Viewpoint(20.0))
    assert scene.WriteToMRB(str(tmp_path / "density.mrb"))
    other = slicer.vtkMRMLScene()
    rendering_logic(other)
    cache = slicer.vtkCacheManager()
    (tmp_path / "cache").mkdir()
    cache.SetRemoteCacheDirectory(str(tmp_path / "cache"))
    other.SetCacheManager(cache)
    other.SetDataIOManager(slicer.vtkDataIOManager())
    other.GetDataIOManager().SetCacheManager(cache)
    assert other.ReadFromMRB(str(tmp_path / "density.mrb"), True)
    (again,) = densities_in(other)
    assert again.facts == density.facts
    assert [film.GetName() for film in again.films] == ["AP film", "lateral film"]
    assert value_at(again.volume, BEAD) == 30000
    assert value_at(again.deviation, BEAD) == value_at(density.deviation, BEAD)
    assert preset_of(again.rendering) is Preset.BONE
    opacity = again.rendering.GetVolumePropertyNode().GetScalarOpacity()
    for units in (0.0, 200.0, 700.0):
        assert opacity.GetValue(units) == pytest.approx(
            scalar_opacity(Preset.BONE).GetValue(units), abs=1e-4
        )
    assert rerendered_in(other).GetOrigin() == pytest.approx(picture.GetOrigin())


def test_presets_show_soft_tissue_or_hide_it() -> None:
    film_like, bone = (scalar_opacity(preset) for preset in Preset)
    for units in (-1000.0, -300.0):
        assert film_like.GetValue(units) == bone.GetValue(units) == 0.0
    assert 0.0 < film_like.GetValue(50.0) < 0.2 * film_like.GetValue(1000.0)
    assert bone.GetValue(50.0) == 0.0
    assert bone.GetValue(1000.0) > 0.8


@pytest.mark.parametrize("viewpoint", [Viewpoint(), Viewpoint(70.0, 20.0, 800.0)])
def test_the_picture_stands_where_its_detector_would(
    density: DensityNodes, viewpoint: Viewpoint
) -> None:
    rerendered = Rerendered(density.volume)
    node = rerendered.show(viewpoint)
    pixels = slicer.util.arrayFromVolume(node)[0]
    assert pixels.shape == (256, 256)
    row, column = bead_on(pixels)
    to_ras = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(to_ras)
    place = np.array(to_ras.MultiplyPoint([column, row, 0.0, 1.0])[:3])
    source = rerendered.camera(viewpoint).view.source
    ray = (place - source) / np.linalg.norm(place - source)
    beside = np.linalg.norm(np.cross(BEAD - source, ray))
    assert beside < 0.5
    behind = GRID.centre - source
    assert np.linalg.norm(behind) == pytest.approx(viewpoint.sid - 100.0)


def test_a_stereo_pair_brings_what_is_near_to_the_tube_forward(density: DensityNodes) -> None:
    # From the front the bead lies before the middle: the left eye sees it more to the right.
    pixels = Rerendered(density.volume).picture(Viewpoint(stereo=True))
    assert pixels.shape == (256, 520)
    left, right = (bead_on(eye) for eye in (pixels[:, :256], pixels[:, 264:]))
    assert left[0] == pytest.approx(right[0], abs=1)
    assert left[1] > right[1] + 3


def test_voltage_changes_the_picture_and_not_what_is_white_in_front(density: DensityNodes) -> None:
    rerendered = Rerendered(density.volume)
    soft, hard = (rerendered.picture(Viewpoint(kvp=kvp)).astype(float) for kvp in (60.0, 120.0))
    assert np.abs(soft - hard).max() > 2
    fresh = Rerendered(density.volume).picture(Viewpoint(kvp=120.0))
    np.testing.assert_array_equal(hard, fresh)


def test_pictures_go_into_one_node(density: DensityNodes) -> None:
    scene = density.volume.GetScene()
    rerendered = Rerendered(density.volume)
    node = rerendered.show(Viewpoint())
    before, image = ids(scene), node.GetImageData()
    for turn in (5.0, 10.0, 15.0):
        assert rerendered.show(Viewpoint(turn)) is node
    assert node.GetImageData() is image
    assert rerendered.show(Viewpoint(stereo=True)) is node
    assert node.GetImageData().GetDimensions() == (520, 256, 1)
    assert Rerendered(density.volume).show(Viewpoint()) is node
    assert ids(scene) == before


def test_whoever_shows_the_picture_is_told_of_a_new_one(density: DensityNodes) -> None:
    rerendered = Rerendered(density.volume)
    node = rerendered.show(Viewpoint())
    told: list[str] = []
    event = slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent
    tag = node.AddObserver(event, lambda _caller, name: told.append(name))
    rerendered.show(Viewpoint(30.0))
    node.RemoveObserver(tag)
    assert told


class Window:
    """Calls later what it is given, as a window between two movements of the hand."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def later(self, then: Callable[[], None]) -> None:
        self.waiting.append(then)

    def idle(self) -> int:
        now, self.waiting = self.waiting, []
        for then in now:
            then()
        return len(now)


def test_only_the_latest_of_many_wishes_is_done() -> None:
    window, done = Window(), []
    wishes = LatestWins(done.append, window.later)
    for wish in range(100):
        wishes.want(wish)
    assert window.idle() == 1
    assert done == [99]
    assert window.idle() == 0


def test_wishes_during_the_work_are_done_after_it() -> None:
    window, done = Window(), []

    def work(wish: int) -> None:
        done.append(wish)
        if wish == 1:
            for other in (2, 3):
                wishes.want(other)

    wishes = LatestWins(work, window.later)
    wishes.want(1)
    window.idle()
    assert done == [1]
    window.idle()
    assert done == [1, 3]
    wishes.want(4)
    wishes.forget()
    window.idle()
    assert done == [1, 3]


def test_the_layout_shares_slice_and_3d_with_that_of_the_bones(
    scene: slicer.vtkMRMLScene,
) -> None:
    views = ElementTree.fromstring(density_layout_xml()).iter("view")
    tags = {view.get("singletontag"): view.get("class") for view in views}
    slices = dict.fromkeys((RERENDERED, FREE), "vtkMRMLSliceNode")
    assert tags == {**slices, BONES: "vtkMRMLViewNode"}
    node = scene.AddNewNodeByClass("vtkMRMLLayoutNode")
    for _ in range(2):
        register_density_layout(node)


def test_the_slice_shows_density_and_uncertainty(density: DensityNodes) -> None:
    scene = density.volume.GetScene()
    show_density_in_layout(density)
    (composite,) = nodes_of(scene, "vtkMRMLSliceCompositeNode")
    assert composite.GetBackgroundVolumeID() == density.volume.GetID()
    show_uncertainty(density, True)
    assert composite.GetForegroundVolumeID() == density.deviation.GetID()
    assert composite.GetForegroundOpacity() > 0
    show_uncertainty(density, False)
    assert composite.GetForegroundVolumeID() is None


def test_the_view_follows_the_tube_and_keeps_the_users_zoom(density: DensityNodes) -> None:
    scene = density.volume.GetScene()
    rerendered = Rerendered(density.volume)
    node = slice_view(scene, RERENDERED)
    node.SetDimensions(300, 300, 1)

    def show(viewpoint: Viewpoint) -> np.ndarray:
        picture = rerendered.show(viewpoint)
        show_picture(picture, rerendered.detector(viewpoint))
        to_xy = vtk.vtkMatrix4x4()
        vtk.vtkMatrix4x4.Invert(node.GetXYToRAS(), to_xy)
        to_ras = vtk.vtkMatrix4x4()
        picture.GetIJKToRASMatrix(to_ras)
        columns, rows, _ = picture.GetImageData().GetDimensions()
        corners = ([0, 0, 0, 1], [columns - 1, rows - 1, 0, 1])
        return np.array([to_xy.MultiplyPoint(to_ras.MultiplyPoint(c))[:3] for c in corners])

    for viewpoint in (Viewpoint(), Viewpoint(stereo=True), Viewpoint()):
        (left, top, before), (right, bottom, behind) = show(viewpoint)
        assert 0 <= left < right <= 300
        assert 0 <= bottom < top <= 300
        assert [before, behind] == pytest.approx([0.0, 0.0], abs=1e-6)
    node.SetFieldOfView(60.0, 60.0, 1.0)
    (_, _, before), (_, _, behind) = show(Viewpoint(80.0, 30.0))
    assert node.GetFieldOfView()[:2] == (60.0, 60.0)
    assert [before, behind] == pytest.approx([0.0, 0.0], abs=1e-6)


def test_density_is_saved_as_the_patient_has_it(density: DensityNodes, tmp_path: Path) -> None:
    path = save_density(density.volume, tmp_path / "density.nrrd")
    image = sitk.ReadImage(str(path))
    place = (BEAD * (-1, -1, 1)).tolist()  # files are LPS
    assert image.GetPixel(*image.TransformPhysicalPointToIndex(place)) == 30000
    before = path.read_bytes()
    with pytest.raises(FileThereError):
        save_density(density.volume, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_the_films_that_are_missing_are_named(scene: slicer.vtkMRMLScene) -> None:
    frontal, lateral = load_samples(scene)
    assert Films.BOTH.chosen(frontal, lateral) == (frontal, lateral)
    assert Films.AP.chosen(frontal, None) == (frontal,)
    assert Films.LATERAL.chosen(None, lateral) == (lateral,)
    with pytest.raises(XRayTo3DError, match="Choose the lateral film"):
        Films.BOTH.chosen(frontal, None)


def test_weights_that_are_missing_are_told(weights: Path, tmp_path: Path) -> None:
    assert f"{SHIPPED}.safetensors" == density_work._WEIGHTS
    assert density_readiness(weights).ready
    missing = density_readiness(tmp_path / "none.safetensors")
    assert not missing.ready
    assert "none.safetensors" in missing.sentence


def test_an_estimate_takes_the_place_of_the_one_before(
    scene: slicer.vtkMRMLScene, weights: Path
) -> None:
    films = load_samples(scene)
    stages: list[str] = []
    add_density(scene, leg(), films, {})
    estimate = estimate_films(
        scene, films[:1], weights, "cpu", lambda stage, fraction: stages.append(stage)
    )
    assert "Network" in stages
    assert estimate.films == films[:1]
    assert estimate.facts["side"] == "right"
    assert estimate.deviation is not None
    (only,) = densities_in(scene)
    assert only.volume is estimate.volume
    assert scene.GetNumberOfNodesByClass("vtkMRMLVolumePropertyNode") == 1
    assert scene.IsNodePresent(films[0])


def test_a_cancelled_estimate_leaves_the_scene_as_it_was(
    scene: slicer.vtkMRMLScene, weights: Path
) -> None:
    films = load_samples(scene)
    before = ids(scene)
    places = [node.GetOrigin() for node in films]
    with pytest.raises(Cancelled):
        estimate_films(scene, films, weights, "cpu", still, lambda: True)
    with pytest.raises(XRayTo3DError, match="none.safetensors"):
        estimate_films(scene, films, Path("none.safetensors"), "cpu", still)
    assert ids(scene) == before
    assert [node.GetOrigin() for node in films] == places


def test_the_film_like_rendering_obeys_beer_and_lambert(tmp_path: Path) -> None:
    environment = {**os.environ, "VTK_DEFAULT_OPENGL_WINDOW": "vtkEGLRenderWindow"}
    probe = "import vtk; w = vtk.vtkRenderWindow(); w.SetOffScreenRendering(1); w.Render()"
    command = [sys.executable, "-c", probe + "; assert w.GetClassName() == 'vtkEGLRenderWindow'"]
    if subprocess.run(command, env=environment, capture_output=True).returncode:
        pytest.skip("no EGL to draw with off screen (apt install libegl1 libgl1-mesa-dri)")
    script = Path(__file__).with_name("draw_density.py")
    command = [sys.executable, str(script), str(tmp_path), "--slab"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    picture = np.asarray(Image.open(tmp_path / "slab.png")).astype(float)
    attenuation = -np.log1p(-scalar_opacity(Preset.FILM_LIKE).GetValue(SLAB_UNITS))
    expected = 255.0 * (1.0 - np.exp(-attenuation * SLAB_MM))
    assert 100.0 < expected < 200.0
    np.testing.assert_allclose(picture[45:55, 45:55], expected, atol=5.0)
    assert picture[3:8, 3:8].max() < 3.0
