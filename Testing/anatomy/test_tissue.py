"""Tissues around and inside bones: shares that add up, cortex where it belongs."""

from __future__ import annotations

import numpy as np
import pytest

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.knee import Knee
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.anatomy.tissue import (
    Tissues,
    extended,
    make_tissues,
    material_paths,
    smooth_noise,
)
from XRayTo3DLib.imaging.geometry import view_geometry
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.materials import Material
from XRayTo3DLib.imaging.radiograph import Side, View

GRID = extended(VolumeGrid.cube(96, 153.6))


@pytest.fixture(scope="module")
def tissues(toy_knee: dict[Bone, Surface]) -> Tissues:
    knee = Knee("toy", "nobody", Side.RIGHT, toy_knee)
    return make_tissues(knee, GRID, np.random.default_rng(1))


def test_extended_grid_keeps_the_voxels() -> None:
    inner = VolumeGrid.cube(96, 153.6)
    offset = (GRID.first - inner.first) / inner.spacing
    np.testing.assert_allclose(offset, np.round(offset), atol=1e-9)
    assert all(size % 2 == 0 for size in GRID.shape)


def test_shares_are_shares(tissues: Tissues) -> None:
    cortex, spongy = tissues.bone.numpy()
    assert cortex.min() >= 0
    assert cortex.max() <= 1
    assert spongy.min() >= 0
    assert spongy.max() <= 1.6
    soft = tissues.soft.numpy()
    assert soft.min() >= -1e-5
    assert soft.sum(axis=0).max() < 1.01


def test_bone_lies_inside_the_bones(tissues: Tissues) -> None:
    outside = tissues.depth.max(axis=0) < -GRID.spacing
    assert float(tissues.bone[:, outside].max()) == 0.0


def test_the_cortex_is_thickest_in_the_shaft(tissues: Tissues) -> None:
    z = GRID.axes()[2]
    femur = tissues.depth[Bone.FEMUR - 1]

    def cortex_area(low: float, high: float) -> float:
        slab = (z > low) & (z < high)
        inside = femur[slab] > 0
        return float((tissues.bone[0].numpy()[slab] * inside).sum() / inside.sum())

    assert cortex_area(85, 95) > 1.3 * cortex_area(32, 42)


def test_paths_are_the_volume_that_the_rays_cross(tissues: Tissues) -> None:
    view = view_geometry(
        View.AP, Side.RIGHT, sid=1e6, sod=1e6 - 100, spacing=(2.0, 2.0), shape=(120, 120)
    )
    paths = material_paths(tissues, view).numpy()
    assert paths.shape == (len(Material), 120, 120)
    for material in (Material.CORTEX, Material.SPONGIOSA):
        volume = float(tissues.bone[material].sum()) * GRID.spacing**3
        assert paths[material].sum() * 4.0 == pytest.approx(volume, rel=0.02)
    assert paths[Material.MUSCLE].max() + paths[Material.FAT].max() > 40


def test_noise_has_zero_mean_and_unit_deviation() -> None:
    noise = smooth_noise(np.random.default_rng(0), VolumeGrid.cube(32, 96.0), 20.0)
    assert noise.mean() == pytest.approx(0.0, abs=1e-5)
    assert noise.std() == pytest.approx(1.0, abs=1e-3)
    assert np.abs(np.diff(noise, axis=0)).mean() < 0.4
