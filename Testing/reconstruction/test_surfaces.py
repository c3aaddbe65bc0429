"""Surfaces from probabilities against spheres and capsules whose surface is known exactly."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from XRayTo3DLib.anatomy.bones import CLASS_COUNT, Bone
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.reconstruction.surfaces import extract_surfaces

GRID = VolumeGrid((56, 60, 64), 1.5, (2.0, -3.0, 5.0))
CENTRE, RADIUS = np.array([3.3, -4.1, 6.2]), 20.3
FACE = np.asarray(GRID.centre) + 0.5 * GRID.spacing * np.array(GRID.shape[::-1])


def positions(grid: VolumeGrid) -> np.ndarray:
    x, y, z = grid.axes()
    return np.stack(np.broadcast_arrays(x, y[:, None], z[:, None, None]), axis=-1)


def segment_distance(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    axis = end - start
    along = np.clip((points - start) @ axis / max(axis @ axis, 1e-12), 0, 1)
    return np.linalg.norm(points - start - along[..., None] * axis, axis=-1)


def softmax(depths: dict[Bone, np.ndarray], scale: float = 1.0) -> np.ndarray:
    """What a network sure to within ``scale`` mm says of bones with these depths (mm, in > 0)."""
    logits = np.zeros((CLASS_COUNT, *next(iter(depths.values())).shape))
    for bone in Bone:
        logits[bone] = depths[bone] / scale if bone in depths else -40.0
    powers = np.exp(logits - logits.max(axis=0))
    return (powers / powers.sum(axis=0)).astype(np.float32)


def two_classes(share: np.ndarray, bone: Bone = Bone.TIBIA) -> np.ndarray:
    probabilities = np.zeros((CLASS_COUNT, *share.shape), dtype=np.float32)
    probabilities[0], probabilities[bone] = 1 - share, share
    return probabilities


def sphere_depth(grid: VolumeGrid = GRID, centre=CENTRE, radius=RADIUS) -> np.ndarray:
    return radius - np.linalg.norm(positions(grid) - centre, axis=-1)


def covered_share() -> np.ndarray:
    """Share of each voxel that the sphere fills, by 4³ points a voxel."""
    n = 4
    fine = VolumeGrid(tuple(n * count for count in GRID.shape), GRID.spacing / n, GRID.centre)
    inside = sphere_depth(fine) > 0
    depth, height, width = GRID.shape
    return inside.reshape(depth, n, height, n, width, n).mean(axis=(1, 3, 5))


def assert_closed(surface: Surface) -> None:
    edges = surface.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    forwards, counts = np.unique(edges, axis=0, return_counts=True)
    assert np.all(counts == 1)
    assert np.array_equal(forwards, np.unique(edges[:, ::-1], axis=0))
    # Welding vertices, as an STL file does, must not join what is apart.
    assert len(np.unique(surface.vertices.astype(np.float32), axis=0)) == len(surface.vertices)


@pytest.mark.parametrize(
    "name, probabilities, worst",
    [
        ("sure network", softmax({Bone.TIBIA: sphere_depth()}, 0.4), 0.03),
        ("network", softmax({Bone.TIBIA: sphere_depth()}, 1.0), 0.03),
        ("unsure network", softmax({Bone.TIBIA: sphere_depth()}, 3.0), 0.03),
        ("covered share", two_classes(covered_share()), 0.15),
    ],
)
def test_sphere_is_found_with_sub_voxel_accuracy(name, probabilities, worst):
    surfaces = extract_surfaces(probabilities, GRID)
    assert list(surfaces) == [Bone.TIBIA]
    surface = surfaces[Bone.TIBIA]
    assert_closed(surface)
    off = np.linalg.norm(surface.vertices - CENTRE, axis=1) - RADIUS
    assert np.abs(off).max() < worst * GRID.spacing
    assert np.abs(off).mean() < 0.3 * worst * GRID.spacing
    assert surface.volume == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=0.01)


def test_hard_labels_are_several_times_worse_than_probabilities():
    def mean_error(probabilities: np.ndarray) -> float:
        vertices = extract_surfaces(probabilities, GRID)[Bone.TIBIA].vertices
        return float(np.abs(np.linalg.norm(vertices - CENTRE, axis=1) - RADIUS).mean())

    hard = mean_error(two_classes((sphere_depth() > 0).astype(np.float32)))
    assert hard > 0.15 * GRID.spacing
    assert hard > 3 * mean_error(two_classes(covered_share()))
    assert hard > 10 * mean_error(softmax({Bone.TIBIA: sphere_depth()}))


def test_four_capsules_two_of_which_leave_the_grid():
    grid = VolumeGrid((64, 64, 64), 1.5)
    face = 48.0
    ends = {
        Bone.FEMUR: ((1, 2, 15), (1, 2, 70), 12.2),
        Bone.TIBIA: ((0, 1, -70), (0, 1, -20), 11.3),
        Bone.PATELLA: ((0, 25, 14), (0, 25, 20), 6.7),
        Bone.FIBULA: ((22, -8, -30), (22, -8, -20), 4.9),
    }
    depths = {
        bone: radius - segment_distance(positions(grid), np.array(a, float), np.array(b, float))
        for bone, (a, b, radius) in ends.items()
    }
    surfaces = extract_surfaces(softmax(depths), grid)
    assert list(surfaces) == list(Bone)
    for bone, (a, b, radius) in ends.items():
        surface = surfaces[bone]
        assert_closed(surface)
        distance = segment_distance(surface.vertices, np.array(a, float), np.array(b, float))
        wall = np.abs(surface.vertices[:, 2]) < face - grid.spacing
        assert np.abs(distance[wall] - radius).max() < 0.1 * grid.spacing
        low, high = max(a[2], -face), min(b[2], face)
        caps = (a[2] > -face) + (b[2] < face)
        volume = np.pi * radius**2 * (high - low) + caps * 2 / 3 * np.pi * radius**3
        # Flat triangles cut a little off a bone that is only a few voxels thick.
        chords = 0.5 * (grid.spacing / radius) ** 2
        assert surface.volume == pytest.approx(volume, rel=0.005 + chords)
    assert surfaces[Bone.FEMUR].vertices[:, 2].max() == pytest.approx(face, abs=1e-4)
    assert surfaces[Bone.TIBIA].vertices[:, 2].min() == pytest.approx(-face, abs=1e-4)


@pytest.mark.parametrize("smoothing_mm", [None, 9.0])
def test_bone_over_a_corner_ends_on_three_faces(smoothing_mm):
    probabilities = softmax({Bone.PATELLA: sphere_depth(centre=FACE, radius=30.0)})
    surface = extract_surfaces(probabilities, GRID, smoothing_mm=smoothing_mm)[Bone.PATELLA]
    assert_closed(surface)
    assert np.all(surface.vertices <= FACE + 1e-9)
    np.testing.assert_allclose(surface.vertices.max(axis=0), FACE, atol=1e-4)
    assert surface.volume == pytest.approx(np.pi / 6 * 30**3, rel=0.015)


def test_bones_that_touch_share_one_wall_without_overlap():
    x = positions(GRID)[..., 0]
    within = sphere_depth()
    depths = {Bone.FEMUR: np.minimum(within, CENTRE[0] - x), Bone.TIBIA: np.minimum(within, x - 3)}
    surfaces = extract_surfaces(softmax(depths), GRID)
    middle = (CENTRE[0] + 3) / 2
    assert surfaces[Bone.FEMUR].vertices[:, 0].max() < middle + 0.1 * GRID.spacing
    assert surfaces[Bone.TIBIA].vertices[:, 0].min() > middle - 0.1 * GRID.spacing


def test_crumbs_and_cavities_do_not_show():
    whole = extract_surfaces(softmax({Bone.FEMUR: sphere_depth()}), GRID)[Bone.FEMUR]
    crumb = sphere_depth(centre=CENTRE + [26, 20, 15], radius=6)
    cavity = -sphere_depth(radius=8)
    depth = np.minimum(np.maximum(sphere_depth(), crumb), cavity)
    surface = extract_surfaces(softmax({Bone.FEMUR: depth}), GRID)[Bone.FEMUR]
    assert_closed(surface)
    np.testing.assert_array_equal(surface.vertices, whole.vertices)
    np.testing.assert_array_equal(surface.faces, whole.faces)


@pytest.mark.parametrize(
    "radius, minimum, found",
    [(5.0, 200.0, True), (5.0, 800.0, False), (2.0, 200.0, False), (2.0, 10.0, True)],
)
def test_a_bone_too_small_to_be_one_is_absent(radius, minimum, found):
    probabilities = softmax({Bone.FIBULA: sphere_depth(radius=radius)}, 0.5)
    surfaces = extract_surfaces(probabilities, GRID, minimum_volume_mm3=minimum)
    assert (Bone.FIBULA in surfaces) is found


@pytest.mark.parametrize("tie", [False, True])
def test_nothing_comes_of_background(tie):
    share = np.full(GRID.shape, 0.5 if tie else 0.3, dtype=np.float32)
    assert extract_surfaces(two_classes(share), GRID) == {}


def test_ties_and_noise_still_give_a_closed_surface():
    rng = np.random.default_rng(5)
    share = np.clip(0.5 + 0.05 * sphere_depth() + rng.normal(0, 0.3, GRID.shape), 0, 1)
    # Coarse steps put many voxels exactly on the surface.
    surface = extract_surfaces(two_classes(np.round(share * 4) / 4), GRID)[Bone.TIBIA]
    assert_closed(surface)
    assert surface.volume == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=0.1)


def test_smoothing_takes_off_ripples_and_nothing_else():
    rng = np.random.default_rng(2)
    ripples = ndimage.gaussian_filter(rng.normal(size=GRID.shape), 0.7)
    depth = sphere_depth() + 0.5 * ripples / ripples.std()
    probabilities = softmax({Bone.FEMUR: depth})

    def error(smoothing_mm: float | None) -> tuple[float, float]:
        surface = extract_surfaces(probabilities, GRID, smoothing_mm=smoothing_mm)[Bone.FEMUR]
        assert_closed(surface)
        off = np.linalg.norm(surface.vertices - CENTRE, axis=1) - RADIUS
        return float(np.abs(off).mean()), surface.volume

    rough, volume = error(None)
    smooth, smoothed_volume = error(12.0)
    assert smooth < 0.95 * rough
    assert smoothed_volume == pytest.approx(volume, rel=0.005)


def test_same_bytes_each_time():
    probabilities = softmax({Bone.FEMUR: sphere_depth(), Bone.FIBULA: sphere_depth(radius=9) - 3})
    first, second = (extract_surfaces(probabilities, GRID) for _ in range(2))
    assert list(first) == list(second)
    for bone, surface in first.items():
        assert surface.vertices.tobytes() == second[bone].vertices.tobytes()
        assert surface.faces.tobytes() == second[bone].faces.tobytes()


@pytest.mark.parametrize(
    "probabilities, sentence",
    [
        (np.zeros((4, *GRID.shape), np.float32), r"\(4, 56, 60, 64\)"),
        (np.zeros((5, 8, 8, 8), np.float32), r"\(5, 8, 8, 8\)"),
        (np.full((5, *GRID.shape), np.nan, np.float32), "NaN"),
    ],
)
def test_what_cannot_be_a_reconstruction_is_said(probabilities, sentence):
    with pytest.raises(XRayTo3DError, match=sentence):
        extract_surfaces(probabilities, GRID)
