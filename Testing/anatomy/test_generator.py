"""Generated knees: the same for a seed, plausible, their bones apart, the joint bent rightly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.deformation import SmoothField
from XRayTo3DLib.anatomy.distance import signed_depth
from XRayTo3DLib.anatomy.generator import KneeGenerator, KneeVariation
from XRayTo3DLib.anatomy.joint import JointPose, bend, joint_gaps
from XRayTo3DLib.anatomy.knee import (
    Knee,
    load_knees,
    person_of,
    posterior_angle,
    rotation,
    split_by_person,
)
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.errors import InputFileError, XRayTo3DError
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.radiograph import Side

_WRONG_SIDE = '{"a": {"side": "middle", "bones": [], "licence": ""}}'


@pytest.fixture(scope="session")
def knees(shared_bones: Path) -> list[Knee]:
    return load_knees(shared_bones)


@pytest.fixture(scope="session")
def right(knees: list[Knee]) -> Knee:
    return next(knee for knee in knees if knee.name == "tlem2_right")


def vertices(knee: Knee) -> np.ndarray:
    return np.concatenate([knee.surfaces[bone].vertices for bone in Bone])


@pytest.fixture(scope="module")
def toy_right(toy_knee: dict[Bone, Surface]) -> Knee:
    """A right knee of capsules about 1 mm apart, with vertices along their shafts."""
    fine = {bone: subdivided(surface) for bone, surface in toy_knee.items()}
    knee = Knee("anna_right", "anna", Side.RIGHT, fine)
    knee = knee.transformed(translation(0, 0, 12), (Bone.TIBIA, Bone.FIBULA))
    return knee.transformed(translation(0, -4, 0), (Bone.PATELLA,))


@pytest.fixture(scope="module")
def toys(toy_right: Knee) -> list[Knee]:
    """Two people: that knee, and a left one that is larger by a tenth."""
    larger = toy_right.mirrored().transformed(np.diag([1.1, 1.1, 1.1, 1.0]))
    return [toy_right, replace(larger, name="berta_left", person="berta")]


def translation(*step: float) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, 3] = step
    return matrix


def subdivided(surface: Surface) -> Surface:
    """The same surface without edges longer than 9 mm, still closed."""
    divide = vtk.vtkAdaptiveSubdivisionFilter()
    divide.SetInputData(surface.to_vtk())
    divide.SetMaximumEdgeLength(9.0)
    divide.SetMaximumTriangleArea(1e9)
    divide.SetMaximumNumberOfPasses(50)
    divide.Update()
    return Surface.from_vtk(divide.GetOutput())


def share_inside(points: np.ndarray, surface: Surface) -> float:
    """Share of RAS points ``(N, 3)`` that a closed surface encloses, as VTK sees it."""
    cloud, positions = vtk.vtkPolyData(), vtk.vtkPoints()
    positions.SetData(numpy_to_vtk(np.ascontiguousarray(points), deep=1))
    cloud.SetPoints(positions)
    select = vtk.vtkSelectEnclosedPoints()
    select.SetInputData(cloud)
    select.SetSurfaceData(surface.to_vtk())
    select.Update()
    chosen = select.GetOutput().GetPointData().GetArray("SelectedPoints")
    return float(vtk_to_numpy(chosen).mean())


def open_edges(surface: Surface) -> int:
    """How many edges have not just two triangles, as VTK counts them."""
    edges = vtk.vtkFeatureEdges()
    edges.SetInputData(surface.to_vtk())
    edges.FeatureEdgesOff()
    edges.ManifoldEdgesOff()
    edges.Update()
    return edges.GetOutput().GetNumberOfCells()


def lean(surface: Surface) -> float:
    """Degrees about x by which a long bone's axis leans to the front at its upper end."""
    points = surface.vertices - surface.vertices.mean(axis=0)
    axis = np.linalg.svd(points, full_matrices=False)[2][0]
    axis = axis * np.sign(axis[2])
    return float(np.degrees(np.arctan2(axis[1], axis[2])))


def test_toys_are_the_same_for_a_seed_and_differ_between_seeds(toys: list[Knee]) -> None:
    generator = KneeGenerator(toys)
    made = [generator(seed) for seed in (3, 4, 5)]
    again = KneeGenerator(toys)(5)  # not asked for the others before
    for bone in Bone:
        shapes = [knee.surfaces[bone].vertices for knee in made]
        np.testing.assert_array_equal(again.surfaces[bone].vertices, shapes[2])
        for one, other in ((0, 1), (0, 2), (1, 2)):
            assert np.abs(shapes[one] - shapes[other]).mean() > 0.5


def test_toys_do_not_overlap(toys: list[Knee]) -> None:
    """The same without the sliding of :func:`bend` puts up to 8 % of a bone inside another."""
    generator = KneeGenerator(toys)
    for seed in range(2, 7):
        knee = generator(seed)
        for bone in Bone:
            for other in set(Bone) - {bone}:
                share = share_inside(knee.surfaces[bone].vertices, knee.surfaces[other])
                assert share < 0.001, (seed, bone, other)


def test_toys_stay_closed_with_their_faces_outwards(toys: list[Knee]) -> None:
    generator = KneeGenerator(toys)
    for seed, base in ((0, 0), (1, 1)):
        knee = generator(seed, base)
        assert knee.side is Side.RIGHT
        for bone, surface in knee.surfaces.items():
            assert open_edges(surface) == 0
            grown = surface.volume / toys[base].surfaces[bone].volume
            assert 0.5 < grown < 2.0, bone


def test_a_toy_is_bent_by_the_angle_that_is_asked(toy_right: Knee) -> None:
    bent = bend(toy_right, JointPose(flexion=30.0, patella_follow=0.5), joint_gaps(toy_right))
    assert lean(bent.surfaces[Bone.FEMUR]) == pytest.approx(0.0, abs=1e-6)
    for bone in (Bone.TIBIA, Bone.FIBULA):
        assert lean(bent.surfaces[bone]) == pytest.approx(30.0, abs=1e-3)
    assert lean(bent.surfaces[Bone.PATELLA]) == pytest.approx(15.0, abs=1e-3)
    ankle = bent.surfaces[Bone.TIBIA].vertices[:, 2].argmin()
    assert bent.surfaces[Bone.TIBIA].vertices[ankle, 1] < -40


def test_generated_flexion_bends_the_shin_within_its_range(toy_knee: dict[Bone, Surface]) -> None:
    knee = Knee("anna_right", "anna", Side.RIGHT, toy_knee)
    generator = KneeGenerator([knee], replace(KneeVariation.none(), flexion=40.0))
    flexions = []
    for seed in range(20):
        surfaces = generator(seed).surfaces
        thigh, shin, fibula = (lean(surfaces[b]) for b in (Bone.FEMUR, Bone.TIBIA, Bone.FIBULA))
        assert fibula == pytest.approx(shin, abs=1e-3)
        flexions.append(shin - thigh)
    assert -0.08 * 40 <= min(flexions) < max(flexions) <= 0.92 * 40
    # Beta(1, 2.5) has mean 1 / 3.5 and a standard deviation of 0.21: 40 · 0.21 / √20 is 1.9.
    assert np.mean(flexions) == pytest.approx((1 / 3.5 - 0.08) * 40, abs=4.0)


def test_a_left_toy_gives_what_its_mirror_image_gives(toy_right: Knee) -> None:
    left = toy_right.mirrored()
    from_left, from_right = (KneeGenerator([knee])(9) for knee in (left, toy_right))
    assert from_left.side is from_right.side is Side.RIGHT
    np.testing.assert_allclose(vertices(from_left), vertices(from_right), atol=1e-9)
    # The fibula is on the outer side: the patient's right of a right knee.
    for knee, outwards in ((from_left, 1), (left, -1)):
        fibula, tibia = (knee.surfaces[b].vertices.mean(axis=0) for b in (Bone.FIBULA, Bone.TIBIA))
        assert outwards * (fibula - tibia)[0] > 20


def test_real_knees_stand_alike(knees: list[Knee]) -> None:
    for knee in knees:
        assert abs(posterior_angle(knee.surfaces[Bone.FEMUR].vertices)) < 0.5
        if knee.is_complete:
            outwards = 1 if knee.side is Side.RIGHT else -1
            near = [s.vertices[np.abs(s.vertices[:, 2]) < 60] for s in knee.surfaces.values()]
            fibula = knee.surfaces[Bone.FIBULA].vertices
            assert outwards * fibula[fibula[:, 2] > -60].mean(axis=0)[0] > 15
            assert knee.surfaces[Bone.PATELLA].vertices.mean(axis=0)[1] > 15
            assert np.abs(np.concatenate(near)[:, :2]).max() < 76.8


def test_people_are_split_with_both_their_knees(knees: list[Knee]) -> None:
    kept, held = split_by_person(knees, ["tlem2"])
    assert {knee.name for knee in held} == {"tlem2_left", "tlem2_right"}
    assert len(kept) + len(held) == len(knees)
    with pytest.raises(XRayTo3DError, match="tlem3"):
        split_by_person(knees, ["tlem3"])


@pytest.mark.parametrize(
    ("name", "person"), [("femora/vsd_z001_left", "vsd_z001"), ("jia_right", "jia"), ("x", "x")]
)
def test_person_of_a_name(name: str, person: str) -> None:
    assert person_of(name) == person


def test_the_same_seed_gives_the_same_knee(knees: list[Knee]) -> None:
    generator = KneeGenerator(knees)
    first, again, other = generator(11), generator(11), generator(12)
    np.testing.assert_array_equal(vertices(first), vertices(again))
    assert not np.array_equal(vertices(first)[:50], vertices(other)[:50])


def test_without_variation_the_knee_is_itself(right: Knee) -> None:
    same = KneeGenerator([right], KneeVariation.none())(0)
    np.testing.assert_allclose(vertices(same), vertices(right), atol=1e-9)


def test_left_knees_are_learnt_from_as_right_ones(knees: list[Knee]) -> None:
    left = next(knee for knee in knees if knee.name == "tlem2_left")
    made = KneeGenerator([left], KneeVariation.none())(0)
    assert made.side is Side.RIGHT
    np.testing.assert_allclose(vertices(made), vertices(left) * (-1, 1, 1), atol=1e-9)
    assert all(surface.volume > 0 for surface in made.surfaces.values())


def test_generated_bones_hardly_overlap(knees: list[Knee]) -> None:
    generator, grid = KneeGenerator(knees), VolumeGrid((80, 60, 60), 2.5)
    for seed in range(4):
        knee = generator(seed)
        inside = [signed_depth(knee.surfaces[bone], grid, 1.0) > 0 for bone in Bone]
        shared = (np.sum(inside, axis=0) > 1).sum()
        assert shared < 0.005 * np.any(inside, axis=0).sum()


def test_size_varies_between_small_women_and_large_men(knees: list[Knee]) -> None:
    generator = KneeGenerator(knees)
    heights = [np.ptp(generator(seed).surfaces[Bone.PATELLA].vertices[:, 2]) for seed in range(25)]
    assert np.std(heights) > 2.0


def test_flexion_bends_the_shin_backwards_and_keeps_the_gap(right: Knee) -> None:
    gaps = joint_gaps(right)
    bent = bend(right, JointPose(flexion=30.0), gaps)
    ankle, before = (k.surfaces[Bone.TIBIA].vertices[:, 2].argmin() for k in (bent, right))
    moved = bent.surfaces[Bone.TIBIA].vertices[ankle] - right.surfaces[Bone.TIBIA].vertices[before]
    assert moved[1] < -60
    np.testing.assert_array_equal(
        bent.surfaces[Bone.FEMUR].vertices, right.surfaces[Bone.FEMUR].vertices
    )
    after = joint_gaps(bent)
    assert after[Bone.TIBIA] == pytest.approx(max(gaps[Bone.TIBIA], 0.4), abs=0.5)
    assert after[Bone.PATELLA] == pytest.approx(gaps[Bone.PATELLA], abs=0.5)


def test_varus_moves_the_foot_towards_the_middle(right: Knee) -> None:
    bent = bend(right, JointPose(varus=8.0), joint_gaps(right))
    foot = right.surfaces[Bone.TIBIA].vertices[:, 2].argmin()
    moved = bent.surfaces[Bone.TIBIA].vertices[foot] - right.surfaces[Bone.TIBIA].vertices[foot]
    assert moved[0] < -15  # the middle of the body lies to the left of a right knee


def test_rotation_about_a_point_leaves_it() -> None:
    point = np.array([3.0, -2.0, 7.0])
    matrix = rotation("y", 33.0, point)
    np.testing.assert_allclose(matrix[:3, :3] @ point + matrix[:3, 3], point)
    np.testing.assert_allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3), atol=1e-12)


def test_smooth_field_has_the_amplitude_and_length_it_says() -> None:
    points = np.random.default_rng(0).uniform(-200, 200, (400, 3))
    values = [SmoothField(np.random.default_rng(s), 30.0, 2.0)(points) for s in range(60)]
    assert np.std(values) == pytest.approx(2.0, rel=0.1)
    step = np.array([30.0, 0.0, 0.0])
    shifted = [SmoothField(np.random.default_rng(s), 30.0, 2.0)(points + step) for s in range(60)]
    # Squared-exponential covariance: exp(-1/2) one length away.
    assert np.mean(np.multiply(values, shifted)) / 4.0 == pytest.approx(np.exp(-0.5), abs=0.1)


def test_a_sphere_is_measured_to_a_tenth_of_a_voxel() -> None:
    source = vtk.vtkSphereSource()
    source.SetRadius(20.0)
    source.SetThetaResolution(160)
    source.SetPhiResolution(80)
    source.Update()
    grid = VolumeGrid.cube(40, 60.0)
    depth = signed_depth(Surface.from_vtk(source.GetOutput()), grid, 5.0)
    z, y, x = np.meshgrid(*grid.axes()[::-1], indexing="ij")
    true = 20.0 - np.sqrt(x**2 + y**2 + z**2)
    near = np.abs(true) < 2.0
    assert np.abs(depth - true)[near].max() < 0.1 * grid.spacing
    within = true > -4.0
    assert np.abs(depth - true)[within].max() < 0.75 * grid.spacing
    assert (depth[true < -7.0] == -5.0).all()


@pytest.mark.parametrize(
    "text", [None, "{", '{"a": {"side": "right"}}', '{"a": 1}', "[1]", _WRONG_SIDE]
)
def test_a_folder_without_a_good_index_is_refused(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "index.json").write_text(text)
    with pytest.raises(InputFileError, match=r"index\.json"):
        load_knees(tmp_path)


def test_a_population_needs_a_complete_knee(knees: list[Knee]) -> None:
    femora = [knee for knee in knees if not knee.is_complete]
    with pytest.raises(XRayTo3DError, match="all four bones"):
        KneeGenerator(femora)
