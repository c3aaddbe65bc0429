"""Generated knees: the same for a seed, plausible, their bones apart, the joint bent rightly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

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
    import vtk

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
