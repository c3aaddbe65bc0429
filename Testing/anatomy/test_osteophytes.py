"""Osteophytes grow outwards, at the rims, the more the higher the grade, and only where asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.generator import KneeGenerator, KneeVariation
from XRayTo3DLib.anatomy.joint import joint_gaps
from XRayTo3DLib.anatomy.knee import Knee, load_knees
from XRayTo3DLib.anatomy.osteophytes import HIGHEST_GRADE, arthritic, with_osteophytes
from XRayTo3DLib.errors import XRayTo3DError


@pytest.fixture(scope="module")
def knee(shared_bones: Path) -> Knee:
    return next(knee for knee in load_knees(shared_bones) if knee.name == "tlem2_right")


def signed_distances(knee: Knee, bone: Bone, points: np.ndarray) -> np.ndarray:
    """By VTK: mm to the surface, positive outside."""
    distance = vtk.vtkImplicitPolyDataDistance()
    distance.SetInput(knee.surfaces[bone].to_vtk())
    cloud = vtk.vtkPoints()
    for point in points:
        cloud.InsertNextPoint(point)
    values = vtk.vtkDoubleArray()
    values.SetNumberOfTuples(len(points))
    distance.FunctionValue(cloud.GetData(), values)
    return vtk_to_numpy(values)


def test_no_grade_is_the_knee_as_it_is(knee: Knee) -> None:
    assert with_osteophytes(knee, 0, np.random.default_rng(0)).surfaces == knee.surfaces


@pytest.mark.parametrize("bone", [Bone.FEMUR, Bone.TIBIA, Bone.PATELLA])
def test_they_stand_outside_the_bone_they_grow_from(knee: Knee, bone: Bone) -> None:
    sick = with_osteophytes(knee, 3, np.random.default_rng(0))
    moved = np.linalg.norm(sick.surfaces[bone].vertices - knee.surfaces[bone].vertices, axis=1)
    tops = np.argsort(moved)[-200:]
    assert moved.max() > 1.0
    assert signed_distances(knee, bone, sick.surfaces[bone].vertices[tops]).min() > 0.0


def test_joint_surfaces_and_the_fibula_stay(knee: Knee) -> None:
    sick = with_osteophytes(knee, HIGHEST_GRADE, np.random.default_rng(0))
    assert sick.surfaces[Bone.FIBULA] is knee.surfaces[Bone.FIBULA]
    femur = knee.surfaces[Bone.FEMUR].vertices
    lowest = femur[:, 2] < femur[:, 2].min() + 1.0
    moved = sick.surfaces[Bone.FEMUR].vertices[lowest] - femur[lowest]
    assert np.linalg.norm(moved, axis=1).max() < 0.5


def test_more_with_the_grade(knee: Knee) -> None:
    def added(grade: int) -> float:
        grown = [with_osteophytes(knee, grade, np.random.default_rng(seed)) for seed in range(5)]
        return sum(k.surfaces[Bone.FEMUR].volume for k in grown) / len(grown)

    volumes = [added(grade) for grade in range(HIGHEST_GRADE + 1)]
    assert volumes == sorted(volumes)


def test_bones_of_generated_arthritic_knees_stay_apart(knee: Knee) -> None:
    generate = KneeGenerator([knee], KneeVariation(arthritis=1.0))
    gaps = [joint_gaps(generate(seed))[Bone.TIBIA] for seed in range(3)]
    assert min(gaps) > 0.2


def test_an_arthritic_joint_is_narrower(knee: Knee) -> None:
    sick = arthritic(knee, HIGHEST_GRADE, np.random.default_rng(0))

    def gap(one: Knee) -> float:
        tibia = one.surfaces[Bone.TIBIA].vertices
        return signed_distances(one, Bone.FEMUR, tibia[tibia[:, 2] > -30.0]).min()

    assert 0.2 < gap(sick) < gap(knee) - 1.0
    spurs = with_osteophytes(knee, HIGHEST_GRADE, np.random.default_rng(0)).surfaces[Bone.FEMUR]
    assert np.array_equal(sick.surfaces[Bone.FEMUR].vertices, spurs.vertices)
    assert arthritic(knee, 0, np.random.default_rng(0)).surfaces == knee.surfaces


@pytest.mark.parametrize("grade", [-1, 5])
def test_other_grades_are_refused(knee: Knee, grade: int) -> None:
    with pytest.raises(XRayTo3DError, match=f"0 to 4, not {grade}"):
        with_osteophytes(knee, grade, np.random.default_rng(0))
