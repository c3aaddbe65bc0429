"""Films, segments and record of a knee in a scene of Slicer's own MRML library."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.film_options import FilmOptions, read_films
from XRayTo3DLib.imaging.radiograph import Origin, Side, View
from XRayTo3DLib.reconstruction.reconstruct import reconstruct
from XRayTo3DLib.reconstruction.result import Reconstruction
from XRayTo3DLib.resources import resource_path
from XRayTo3DLib.slicer.films import film_of, place_film
from XRayTo3DLib.slicer.knee_nodes import KneeNodes, knees_in, remove_knee, show_knee
from XRayTo3DLib.slicer.loaded_film import film_source
from XRayTo3DLib.slicer.nodes import nodes_of
from XRayTo3DLib.slicer.segments import (
    EDITING_SPACING,
    segmentations_logic,
    surfaces_of,
    volumes_of,
)


def open_edges(polydata: vtk.vtkPolyData) -> int:
    edges = vtk.vtkFeatureEdges()
    edges.SetInputData(polydata)
    edges.BoundaryEdgesOn()
    edges.NonManifoldEdgesOff()
    edges.FeatureEdgesOff()
    edges.ManifoldEdgesOff()
    edges.Update()
    return edges.GetOutput().GetNumberOfCells()


def ids(scene: slicer.vtkMRMLScene) -> set[str]:
    return {node.GetID() for node in nodes_of(scene, "vtkMRMLNode")}


@pytest.mark.parametrize("number", [0, 1])
def test_a_landmark_falls_on_its_pixel(knee: KneeNodes, number: int) -> None:
    view, film = knee.geometry.views[number], knee.films[number]
    to_ijk = vtk.vtkMatrix4x4()
    film.GetRASToIJKMatrix(to_ijk)
    for landmark in np.array([[0, 0, 0], [30, -20, 45], [-25, 12, -60]], dtype=float):
        row, column = view.project(landmark)
        # Where the ray from the source through the landmark meets the film, by Slicer's matrix.
        near, far = (
            np.array(to_ijk.MultiplyPoint([*point, 1.0]))[:3]
            for point in (view.source, view.source + 2 * (landmark - view.source))
        )
        met = near + (far - near) * (0 - near[2]) / (far[2] - near[2])
        assert met[:2] == pytest.approx([column, row], abs=1e-6)


def test_films_keep_pixels_and_facts(knee: KneeNodes, reconstruction: Reconstruction) -> None:
    film = film_of(knee.lateral)
    given = reconstruction.lateral
    np.testing.assert_array_equal(film.pixels, given.pixels)
    for name in ("spacing", "sid", "sod", "view", "side", "orientation", "inverted", "warnings"):
        assert getattr(film, name) == getattr(given, name), name
    assert film.path is not None
    assert film.path.name == "knee_lateral.dcm"
    assert knee.lateral.GetSpacing()[:2] == pytest.approx(given.spacing.value[::-1])


def test_a_film_moves_with_its_detector(knee: KneeNodes) -> None:
    view = knee.geometry.frontal.moved(np.eye(3), (0.0, 0.0, 12.0))
    place_film(knee.frontal, view)
    assert knee.frontal.GetOrigin() == pytest.approx(view.first_pixel)


def test_segments_are_named_coloured_and_coded(knee: KneeNodes) -> None:
    segmentation = knee.segmentation.GetSegmentation()
    segments = [segmentation.GetNthSegment(n) for n in range(segmentation.GetNumberOfSegments())]
    assert [s.GetName() for s in segments] == ["Femur", "Tibia", "Patella", "Fibula"]
    for bone, segment in zip(Bone, segments, strict=True):
        assert segment.GetColor() == pytest.approx(bone.style.rgb)
        entry = slicer.vtkSlicerTerminologyEntry()
        logic = slicer.vtkSlicerTerminologiesModuleLogic()
        assert logic.DeserializeTerminologyEntry(_terminology(segment), entry)
        assert entry.GetTypeObject().GetCodeMeaning() == bone.title
        assert entry.GetTypeModifierObject().GetCodeMeaning() == "Right"


def _terminology(segment: slicer.vtkSegment) -> str:
    text = vtk.reference("")
    assert segment.GetTag("TerminologyEntry", text)
    return str(text)


def test_surfaces_are_closed_and_those_of_the_reconstruction(
    knee: KneeNodes, reconstruction: Reconstruction
) -> None:
    surfaces = surfaces_of(knee.segmentation)
    assert set(surfaces) == set(reconstruction.surfaces)
    for bone, surface in surfaces.items():
        truth = reconstruction.surfaces[bone]
        assert open_edges(surface.to_vtk()) == 0
        assert surface.volume == pytest.approx(truth.volume, rel=0.02)
        locator = vtk.vtkImplicitPolyDataDistance()
        locator.SetInput(truth.to_vtk())
        apart = [abs(locator.EvaluateFunction(point)) for point in surface.vertices[::20]]
        assert np.mean(apart) < 0.25 * EDITING_SPACING
    assert volumes_of(knee.segmentation)[Bone.PATELLA] == pytest.approx(
        surfaces[Bone.PATELLA].volume / 1000
    )


def test_the_probability_lies_where_the_bones_are(knee: KneeNodes) -> None:
    to_ijk = vtk.vtkMatrix4x4()
    knee.probability.GetRASToIJKMatrix(to_ijk)
    image = knee.probability.GetImageData()
    x, y, z = image.GetDimensions()
    values = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(z, y, x)
    shaft = surfaces_of(knee.segmentation)[Bone.FEMUR].vertices
    high = shaft[shaft[:, 2] > 40].mean(axis=0)
    i, j, k = (round(value) for value in to_ijk.MultiplyPoint([*high, 1.0])[:3])
    assert values[k, j, i] > 50
    assert values[0, 0, 0] < 10


def test_a_left_knee_stays_a_left_knee(
    scene: slicer.vtkMRMLScene, reconstruction: Reconstruction
) -> None:
    films = [reconstruction.frontal.pixels[:, ::-1], reconstruction.lateral.pixels[:, ::-1]]
    left = reconstruct(
        *(np.ascontiguousarray(film) for film in films),
        side=Side.LEFT,
        spacing=reconstruction.frontal.spacing.value,
        sid=reconstruction.frontal.sid.value,
        sod=reconstruction.frontal.sod.value,
        refine=False,
    )
    knee = show_knee(scene, left)
    assert knee.side is Side.LEFT
    surfaces = surfaces_of(knee.segmentation)
    # The fibula lies outside of the tibia, which is to the left of a left knee.
    assert surfaces[Bone.FIBULA].vertices[:, 0].mean() < surfaces[Bone.TIBIA].vertices[:, 0].mean()
    assert knee.films[1].GetOrigin()[0] < -50


def test_a_knee_is_found_again_and_removed(scene: slicer.vtkMRMLScene, knee: KneeNodes) -> None:
    (again,) = knees_in(scene)
    assert again.segmentation is knee.segmentation
    assert again.report["side"] == "right"
    assert again.geometry.angle == pytest.approx(90.0)
    remove_knee(scene, again)
    assert knees_in(scene) == []


def test_a_failure_half_way_leaves_the_scene_as_it_was(
    scene: slicer.vtkMRMLScene, reconstruction: Reconstruction, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = ids(scene)

    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("XRayTo3DLib.slicer.knee_nodes.add_probability", fail)
    with pytest.raises(MemoryError):
        show_knee(scene, reconstruction)
    assert ids(scene) == before


def test_a_saved_scene_comes_back(knee: KneeNodes, tmp_path: Path) -> None:
    volumes = volumes_of(knee.segmentation)
    scene = knee.record.GetScene()
    assert scene.WriteToMRB(str(tmp_path / "knee.mrb"))
    other = slicer.vtkMRMLScene()
    segmentations_logic(other)
    set_cache(other, tmp_path / "cache")
    assert other.ReadFromMRB(str(tmp_path / "knee.mrb"), True)
    (again,) = knees_in(other)
    assert again.report == knee.report
    np.testing.assert_allclose(
        again.geometry.lateral.first_pixel, knee.geometry.lateral.first_pixel
    )
    np.testing.assert_allclose(
        film_of(again.frontal).pixels, film_of(knee.frontal).pixels, atol=1e-6
    )
    assert film_of(again.frontal).side == film_of(knee.frontal).side
    for bone, volume in volumes_of(again.segmentation).items():
        assert volume == pytest.approx(volumes[bone], rel=1e-3)


def set_cache(scene: slicer.vtkMRMLScene, folder: Path) -> None:
    """Where a bundle is unpacked, which the application says otherwise."""
    folder.mkdir()
    cache = slicer.vtkCacheManager()
    cache.SetRemoteCacheDirectory(str(folder))
    manager = slicer.vtkDataIOManager()
    manager.SetCacheManager(cache)
    scene.SetCacheManager(cache)
    scene.SetDataIOManager(manager)


def volume_of(scene: slicer.vtkMRMLScene, array: np.ndarray, name: str) -> object:
    node = slicer.util.addVolumeFromArray(array, name=name)
    node.SetSpacing(0.2, 0.25, 1.0)
    return node


def test_a_loaded_volume_is_a_film(
    scene: slicer.vtkMRMLScene, reconstruction: Reconstruction
) -> None:
    ap = volume_of(scene, reconstruction.frontal.pixels[None], "some AP")
    lateral = volume_of(scene, reconstruction.lateral.pixels[None], "some lateral")
    films = read_films(
        FilmOptions(film_source(ap), sid=1100.0, sod=1000.0),
        FilmOptions(film_source(lateral)),
        side=Side.RIGHT,
    )
    assert [film.view.value for film in films] == [View.AP, View.LATERAL]
    assert films[0].spacing.value == pytest.approx((0.25, 0.2))
    assert films[0].sid.origin is Origin.USER
    assert films[1].sid.origin is Origin.ASSUMED
    assert any("some lateral" in sentence for sentence in films[1].warnings)
    np.testing.assert_allclose(films[0].pixels, reconstruction.frontal.pixels, atol=1e-6)


def test_the_file_behind_a_volume_is_read(scene: slicer.vtkMRMLScene) -> None:
    node = volume_of(scene, np.random.default_rng(0).random((1, 20, 20)), "from the database")
    node.SetAttribute("DICOM.instanceUIDs", "1.2.3")
    file = resource_path("SampleData", "knee_ap.dcm")

    class Database:
        def fileForInstance(self, uid: str) -> str:  # noqa: N802 - Slicer's own name
            return str(file) if uid == "1.2.3" else ""

    assert film_source(node, Database()) == file


@pytest.mark.parametrize(
    ("shape", "said"), [((5, 20, 20), "5 slices"), ((1, 20, 20, 3), "in colours")]
)
def test_what_is_no_film_is_refused(
    scene: slicer.vtkMRMLScene, shape: tuple[int, ...], said: str
) -> None:
    array = np.random.default_rng(0).random(shape)
    if len(shape) == 4:
        node = slicer.util.addVolumeFromArray(
            array, name="picture", nodeClassName="vtkMRMLVectorVolumeNode"
        )
    else:
        node = slicer.util.addVolumeFromArray(array, name="scan")
    with pytest.raises(XRayTo3DError, match=said):
        film_source(node)
