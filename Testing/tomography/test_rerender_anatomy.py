"""Bones taken out, moved, bent and coloured, in legs whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from rerender_phantoms import inside_ball

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.errors import InputFileError, XRayTo3DError
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.materials import Material, linear_attenuation
from XRayTo3DLib.tomography.colouring import coloured
from XRayTo3DLib.tomography.density import REFERENCE_KEV, DensityVolume
from XRayTo3DLib.tomography.edited import moved, without
from XRayTo3DLib.tomography.flexion import flexed
from XRayTo3DLib.tomography.segments import SegmentedDensity, read_segments
from XRayTo3DLib.tomography.viewpoint import OrbitCamera

MUSCLE, CORTEX = (
    float(linear_attenuation(m, REFERENCE_KEV)) for m in (Material.MUSCLE, Material.CORTEX)
)
GRID = VolumeGrid((40, 44, 48), 2.0, (3.0, 0.0, -2.0))
CENTRE, RADIUS = (10.0, 4.0, 0.0), 12.0


def ball_in_muscle(centre: tuple[float, float, float]) -> SegmentedDensity:
    x, y, _ = GRID.axes()
    leg = np.hypot(x[None, :] - 3.0, y[:, None]) < 36.0
    flesh = np.broadcast_to(leg * MUSCLE, GRID.shape)
    ball = inside_ball(GRID, centre, RADIUS)
    attenuation = (flesh + ball * (CORTEX - MUSCLE)).astype(np.float32)
    labels = np.where(ball > 0.5, Bone.PATELLA, 0).astype(np.uint8)
    return SegmentedDensity(DensityVolume(attenuation, GRID), labels)


def flesh_alone() -> np.ndarray:
    x, y, _ = GRID.axes()
    leg = np.hypot(x[None, :] - 3.0, y[:, None]) < 36.0
    return np.broadcast_to(leg * MUSCLE, GRID.shape)


def test_a_bone_taken_out_leaves_flesh() -> None:
    knee = without(ball_in_muscle(CENTRE), [Bone.PATELLA])
    assert not knee.labels.any()
    # What remains of a rim voxel is at most the part that the label's rim left.
    np.testing.assert_allclose(knee.volume.attenuation, flesh_alone(), atol=0.05 * CORTEX)
    change = knee.volume.attenuation - flesh_alone()
    bone = (ball_in_muscle(CENTRE).volume.attenuation - flesh_alone()).sum()
    assert abs(change.sum()) < 0.01 * bone


def test_a_moved_bone_is_a_bone_elsewhere() -> None:
    motion = np.eye(4)
    motion[:3, 3] = (-14.0, 3.0, 7.0)
    knee = moved(ball_in_muscle(CENTRE), {Bone.PATELLA: motion})
    target = ball_in_muscle((-4.0, 7.0, 7.0))
    same = knee.labels == target.labels
    assert same.mean() > 0.995
    difference = knee.volume.attenuation - target.volume.attenuation
    assert np.abs(difference).mean() < 0.002 * CORTEX
    # Its mass arrived: the excess over flesh is the ball's.
    excess = (knee.volume.attenuation - flesh_alone()).sum() * GRID.spacing**3
    ball = 4.0 / 3.0 * np.pi * RADIUS**3 * (CORTEX - MUSCLE)
    assert excess == pytest.approx(ball, rel=0.03)


def test_a_bone_that_is_not_there_or_leaves() -> None:
    knee = ball_in_muscle(CENTRE)
    with pytest.raises(XRayTo3DError, match="no femur"):
        without(knee, [Bone.FEMUR])
    far = np.eye(4)
    far[0, 3] = 500.0
    with pytest.raises(XRayTo3DError, match="leave the volume"):
        moved(knee, {Bone.PATELLA: far})


def test_the_colour_lies_where_the_bone_is() -> None:
    knee = ball_in_muscle(CENTRE)
    view = OrbitCamera(50.0, detector=120.0, size=64, about=GRID.centre).view
    film = np.full((64, 64), 0.5, dtype=np.float32)
    picture = coloured(film, knee.labels, GRID, view, [Bone.PATELLA])
    row, column = np.round(view.project(np.array(CENTRE))).astype(int)
    red, green, blue = picture[row, column]
    assert green > red + 0.1 and green > blue + 0.1
    np.testing.assert_array_equal(picture[0, 0], 0.5)


# --- flexion ------------------------------------------------------------------------------------

LEG = VolumeGrid((100, 90, 46), 2.0)
"""±100 mm along the leg, and room behind it."""


@pytest.fixture(scope="module")
def straight() -> SegmentedDensity:
    """Two condyles under a shaft, a tibia, a fibula and a patella, in a leg of muscle."""
    x, y, z = LEG.axes()
    x, y, z = x[None, None, :], y[None, :, None], z[:, None, None]
    labels = np.zeros(LEG.shape, dtype=np.uint8)

    def fill(bone: Bone, where: np.ndarray) -> None:
        labels[np.broadcast_to(where, LEG.shape)] = bone

    fill(Bone.TIBIA, (np.hypot(x, y) < 16.0) & (z < -2.0))
    fill(Bone.FIBULA, (np.hypot(x - 24.0, y + 8.0) < 5.0) & (z < -14.0))
    fill(Bone.FEMUR, (np.hypot(x, y) < 14.0) & (z > 20.0))
    for middle in (-15.0, 15.0):
        fill(Bone.FEMUR, (x - middle) ** 2 + y**2 + (z - 22.0) ** 2 < 20.0**2)
    fill(Bone.PATELLA, (x**2 + (y - 30.0) ** 2 + (z - 30.0) ** 2 < 8.0**2))
    flesh = np.where(np.broadcast_to(np.hypot(x, y) < 40.0, LEG.shape), MUSCLE, 0.0)
    attenuation = np.where(labels > 0, CORTEX, flesh).astype(np.float32)
    return SegmentedDensity(DensityVolume(attenuation, LEG), labels)


def direction(knee: SegmentedDensity, bone: Bone) -> np.ndarray:
    """Unit vector down the middle of a bone's lower part, from slices."""
    points = LEG.to_ras(np.argwhere(knee.labels == bone))
    points = points[(points[:, 2] < -35.0) & (points[:, 2] > -70.0)]
    levels = np.unique(points[:, 2])
    middles = np.array([points[points[:, 2] == level].mean(axis=0) for level in levels])
    slope = [np.polyfit(middles[:, 2], middles[:, axis], 1)[0] for axis in (0, 1)]
    down = -np.array([*slope, 1.0])
    return down / np.linalg.norm(down)


@pytest.mark.parametrize("degrees", [15.0, 30.0])
def test_the_shin_turns_back_by_the_angle(straight: SegmentedDensity, degrees: float) -> None:
    bent = flexed(straight, degrees)
    down = direction(bent, Bone.TIBIA)
    expected = [0.0, -np.sin(np.radians(degrees)), -np.cos(np.radians(degrees))]
    assert np.degrees(np.arccos(np.clip(down @ expected, -1, 1))) < 1.5
    femur = straight.labels == Bone.FEMUR
    assert np.mean(bent.labels[femur] == Bone.FEMUR) > 0.97
    # Flesh follows: at the shin's height the leg's middle lies behind where it was.
    level = int(LEG.to_index(np.array([0.0, 0.0, -60.0]))[0])
    leg = bent.volume.attenuation[level] > 0.5 * MUSCLE
    bone = bent.labels[level] == Bone.TIBIA
    y = LEG.axes()[1]
    middle_of_leg, middle_of_bone = ((mask.sum(axis=1) @ y) / mask.sum() for mask in (leg, bone))
    assert middle_of_leg == pytest.approx(middle_of_bone, abs=4.0)
    # The thigh stays as it was.
    top = np.s_[-8:]
    np.testing.assert_allclose(
        bent.volume.attenuation[top], straight.volume.attenuation[top], atol=0.3 * CORTEX
    )


@pytest.mark.parametrize("degrees", [-11.0, 61.0, float("nan")])
def test_no_such_flexion(straight: SegmentedDensity, degrees: float) -> None:
    with pytest.raises(XRayTo3DError, match="cannot be bent"):
        flexed(straight, degrees)


# --- segments -----------------------------------------------------------------------------------


def write_labels(path, names: dict[str, int], labels: np.ndarray, grid: VolumeGrid) -> None:
    import SimpleITK as sitk

    image = grid.image(labels)
    for number, (name, value) in enumerate(names.items()):
        image.SetMetaData(f"Segment{number}_Name", name)
        image.SetMetaData(f"Segment{number}_LabelValue", str(value))
    sitk.WriteImage(image, str(path))


def test_segments_are_told_by_their_names(tmp_path) -> None:
    finer = VolumeGrid((60, 66, 72), 1.0, GRID.centre)
    ball = inside_ball(finer, CENTRE, RADIUS) > 0.5
    write_labels(tmp_path / "a.nrrd", {"Skin": 1, "Fibula": 7}, (ball * 7).astype(np.uint8), finer)
    labels = read_segments(tmp_path / "a.nrrd", GRID)
    assert set(np.unique(labels)) == {0, int(Bone.FIBULA)}
    expected = inside_ball(GRID, CENTRE, RADIUS) > 0.5
    assert np.mean((labels > 0) == expected) > 0.995


@pytest.mark.parametrize(
    ("names", "centre", "words"),
    [({"Skin": 1}, CENTRE, "names no segment"), ({}, (900.0, 0.0, 0.0), "no bone within")],
)
def test_segments_of_something_else(tmp_path, names, centre, words) -> None:
    grid = VolumeGrid((10, 10, 10), 2.0, centre)
    write_labels(tmp_path / "a.nrrd", names, np.ones((10, 10, 10), dtype=np.uint8), grid)
    with pytest.raises(InputFileError, match=words):
        read_segments(tmp_path / "a.nrrd", GRID)
