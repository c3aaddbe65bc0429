from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import vtk
from scipy.spatial import cKDTree

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.surface import Surface, read_surface, write_surface
from XRayTo3DLib.errors import InputFileError, XRayTo3DError

SUFFIXES = [".stl", ".ply", ".obj"]
TETRAHEDRON = Surface(
    np.array([[0.0, 0, 0], [3, 0, 0], [0, 4, 0], [0, 0, 5]]),
    np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]),
)


def faces_among(vertices: np.ndarray, surface: Surface) -> set[tuple[int, ...]]:
    """The faces of ``surface`` as numbers of ``vertices``, each begun at its least number."""
    distance, nearest = cKDTree(vertices).query(surface.vertices)
    assert distance.max() < 2e-3  # float32 and six digits of text
    numbers = nearest[surface.faces].tolist()
    return {tuple(np.roll(face, -int(np.argmin(face))).tolist()) for face in numbers}


def open_or_crossed_edges(polydata: vtk.vtkPolyData) -> int:
    edges = vtk.vtkFeatureEdges()
    edges.SetInputData(polydata)
    edges.FeatureEdgesOff()
    edges.ManifoldEdgesOff()
    edges.Update()
    return edges.GetOutput().GetNumberOfCells()


def stl_facets(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Normals and corners of a binary STL by the published layout: 80 bytes, count, records."""
    record = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    data = path.read_bytes()
    facets = np.frombuffer(data[84:], dtype=record)
    assert len(facets) == np.frombuffer(data[80:84], dtype="<u4")[0]
    return facets["normal"], facets["corners"]


def test_volume_of_a_tetrahedron_is_a_sixth_of_the_box():
    assert TETRAHEDRON.volume == pytest.approx(3 * 4 * 5 / 6)
    assert Surface(TETRAHEDRON.vertices, TETRAHEDRON.faces[:, ::-1]).volume == pytest.approx(-10)


@pytest.mark.parametrize("bone", Bone)
def test_volume_and_closedness_of_the_toy_knee_by_vtk(toy_knee, bone: Bone):
    surface = toy_knee[bone]
    polydata = surface.to_vtk()
    properties = vtk.vtkMassProperties()
    properties.SetInputData(polydata)
    assert surface.volume == pytest.approx(properties.GetVolume(), rel=1e-4)
    assert open_or_crossed_edges(polydata) == 0


def test_volume_of_a_capsule_is_the_analytic_one(toy_knee):
    radius, length = 25, 70
    exact = np.pi * radius**2 * length + 4 / 3 * np.pi * radius**3
    assert toy_knee[Bone.FEMUR].volume == pytest.approx(exact, rel=0.005)


def test_to_vtk_and_back_changes_nothing():
    there_and_back = Surface.from_vtk(TETRAHEDRON.to_vtk())
    np.testing.assert_array_equal(there_and_back.vertices, TETRAHEDRON.vertices)
    np.testing.assert_array_equal(there_and_back.faces, TETRAHEDRON.faces)


def test_to_vtk_owns_its_memory():
    vertices, faces = TETRAHEDRON.vertices.copy(), TETRAHEDRON.faces.copy()
    polydata = Surface(vertices, faces).to_vtk()
    vertices[:] = 99
    faces[:] = 0
    assert Surface.from_vtk(polydata).volume == pytest.approx(10)


@pytest.mark.parametrize(
    ("source", "faces", "volume"),
    [(vtk.vtkCubeSource, 12, 1.0), (vtk.vtkCylinderSource, 20, None)],
)
def test_from_vtk_cuts_polygons_into_triangles(source, faces, volume):
    made = source()
    made.Update()
    surface = Surface.from_vtk(made.GetOutput())
    assert surface.faces.shape == (faces, 3)
    # A prism of six sides and circumradius ½, 1 high, has the area 3√3/8 of its hexagon.
    assert surface.volume == pytest.approx(volume or 3 * np.sqrt(3) / 8, rel=1e-5)


def test_from_vtk_leaves_lines_out_and_takes_nothing_as_nothing():
    line = vtk.vtkLineSource()
    line.Update()
    for polydata in (line.GetOutput(), vtk.vtkPolyData()):
        surface = Surface.from_vtk(polydata)
        assert surface.vertices.shape == surface.faces.shape == (0, 3)
        assert surface.volume == 0


@pytest.mark.parametrize(
    ("matrix", "factor"),
    [
        (np.eye(4), 1),
        (np.diag([2.0, 2, 2, 1]), 8),
        (np.diag([-1.0, 1, 1, 1]), 1),
        (np.diag([-1.0, -1, 1, 1]), 1),
        (np.diag([1.0, 1, -3, 1]), 3),
    ],
)
def test_transformed_keeps_faces_outwards(matrix, factor):
    moved = matrix.copy()
    moved[:3, 3] = (10, -20, 30)
    surface = TETRAHEDRON.transformed(moved)
    assert surface.volume == pytest.approx(factor * TETRAHEDRON.volume)
    homogeneous = np.column_stack([TETRAHEDRON.vertices, np.ones(4)])
    np.testing.assert_allclose(surface.vertices, (homogeneous @ moved.T)[:, :3])


def test_mirrored_exchanges_left_and_right(toy_knee):
    fibula = toy_knee[Bone.FIBULA]
    left = fibula.mirrored()
    np.testing.assert_allclose(left.vertices, fibula.vertices * (-1, 1, 1))
    assert left.volume == pytest.approx(fibula.volume)


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".STL"])
@pytest.mark.parametrize(("frame", "flip"), [("LPS", (-1, -1, 1)), ("RAS", (1, 1, 1))])
def test_files_come_back_in_their_frame(tmp_path, toy_knee, suffix, frame, flip):
    path = tmp_path / f"fibula{suffix}"
    surface = toy_knee[Bone.FIBULA]
    write_surface(surface, path, frame)
    back = read_surface(path)
    expected = Surface(surface.vertices * flip, surface.faces)
    assert len(back.faces) == len(expected.faces)
    assert faces_among(expected.vertices, back) == faces_among(expected.vertices, expected)
    assert open_or_crossed_edges(back.to_vtk()) == 0


def test_surface_is_written_in_lps_unless_told_otherwise(tmp_path):
    write_surface(TETRAHEDRON, tmp_path / "a.stl")
    _, corners = stl_facets(tmp_path / "a.stl")
    np.testing.assert_allclose(corners.reshape(-1, 3).min(axis=0), (-3, -4, 0))


def test_stl_normals_point_outwards(tmp_path):
    write_surface(TETRAHEDRON, tmp_path / "a.stl")
    normals, corners = stl_facets(tmp_path / "a.stl")
    centre = TETRAHEDRON.vertices.mean(axis=0) * (-1, -1, 1)
    assert np.all(np.einsum("ij,ij->i", normals, corners.mean(axis=1) - centre) > 0)


@pytest.mark.parametrize("frame", ["LPS", "RAS"])
@pytest.mark.parametrize("suffix", [".stl", ".ply"])
def test_header_says_the_frame(tmp_path, frame, suffix):
    path = tmp_path / f"a{suffix}"
    write_surface(TETRAHEDRON, path, frame)
    header = path.read_bytes()[: 80 if suffix == ".stl" else 300]
    assert f"SPACE={frame}".encode() in header


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("gone.stl", None, "gone.stl: does not exist"),
        ("knee.nii", b"", "knee.nii: is not a surface; use one of .ply, .stl, .obj"),
        ("empty.stl", b"", "empty.stl: holds no triangle"),
        ("text.ply", b"this is no surface\n", "text.ply: holds no triangle"),
        ("points.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\n", "points.obj: holds no triangle"),
    ],
)
def test_bad_files_are_named_in_one_sentence(tmp_path, capfd, name, content, sentence):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputFileError, match=re.escape(sentence)) as caught:
        read_surface(path)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == "", "VTK's own messages reach the user's terminal."


@pytest.mark.parametrize(
    ("name", "frame", "sentence"),
    [
        ("a.stl", "LAS", "The frame of a surface is LPS or RAS, not 'LAS'."),
        ("a.vtk", "LPS", "a.vtk: cannot be written; use .stl, .ply or .obj."),
        ("no/such/folder/a.stl", "LPS", "a.stl: could not be written; check the folder"),
    ],
)
def test_what_cannot_be_written_is_said(tmp_path, capfd, name, frame, sentence):
    with pytest.raises(XRayTo3DError, match=re.escape(sentence)):
        write_surface(TETRAHEDRON, tmp_path / name, frame)
    assert not (tmp_path / name).exists()
    assert capfd.readouterr().err == "", "VTK's own messages reach the user's terminal."


def test_real_bones_are_read(shared_bones):
    # The frame of these files is RAS: the femur is above the tibia, the patella in front.
    knee = {bone: read_surface(shared_bones / "vhf_right" / f"{bone.key}.ply") for bone in Bone}
    middle = {bone: surface.vertices.mean(axis=0) for bone, surface in knee.items()}
    assert all(surface.volume > 1000 for surface in knee.values())
    assert middle[Bone.FEMUR][2] > middle[Bone.TIBIA][2]
    assert middle[Bone.PATELLA][1] > middle[Bone.FEMUR][1]
    assert middle[Bone.FIBULA][0] > middle[Bone.TIBIA][0]
