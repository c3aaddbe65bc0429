"""Training cases: films and truth belong together, and survive the disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.knee import Knee
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.errors import InputFileError
from XRayTo3DLib.imaging.radiograph import Side
from XRayTo3DLib.reconstruction.lifting import lift
from XRayTo3DLib.training.cases import (
    FILM_SPACING,
    NETWORK_GRID,
    Case,
    GeometryVariation,
    make_case,
    random_geometry,
)


@pytest.fixture(scope="module")
def case(toy_knee: dict[Bone, Surface]) -> Case:
    return make_case(Knee("toy", "nobody", Side.RIGHT, toy_knee), 3)


def test_the_truth_is_the_surfaces(case: Case, toy_knee: dict[Bone, Surface]) -> None:
    voxel = NETWORK_GRID.spacing**3
    for bone in (Bone.PATELLA,):  # the others leave the field of view
        volume = (case.labels == bone).sum() * voxel
        assert volume == pytest.approx(toy_knee[bone].volume, rel=0.02)
    present = np.unique(case.labels)
    assert set(present) == {0, *Bone}


def test_bone_voxels_are_lit_in_both_films(case: Case) -> None:
    bone = torch.from_numpy(case.paths[:, :2].sum(axis=1))[None, :, None]
    lit = lift(bone, torch.from_numpy(case.matrices)[None], NETWORK_GRID)[0].numpy() > 0.5
    deep = case.depth > 3.0
    assert lit[0][deep].mean() > 0.99
    assert lit[1][deep].mean() > 0.99
    assert (lit[0] & lit[1]).mean() < 0.5


def test_silhouettes_are_where_the_films_show_bone(case: Case) -> None:
    seen = case.silhouettes.max(axis=1) > 0.5
    bone = case.paths[:, :2].sum(axis=1).reshape(2, 128, 2, 128, 2).mean(axis=(2, 4))
    assert case.silhouettes.shape == (2, 4, 128, 128)
    assert (bone[seen] > 1.0).mean() > 0.99
    assert (seen[bone > 9.0]).mean() > 0.99


def test_the_same_seed_gives_the_same_case(case: Case, toy_knee: dict[Bone, Surface]) -> None:
    knee = Knee("toy", "nobody", Side.RIGHT, toy_knee)
    again = make_case(knee, 3)
    np.testing.assert_array_equal(again.paths, case.paths)
    assert not np.array_equal(make_case(knee, 4).paths, case.paths)


def test_round_trip(case: Case, tmp_path: Path) -> None:
    path = tmp_path / "case_000000.npz"
    case.save(path)
    loaded = Case.load(path)
    np.testing.assert_array_equal(loaded.nearest, case.nearest)
    near = np.abs(case.depth) < 6.0
    np.testing.assert_allclose(loaded.depth[near], case.depth[near], atol=0.026)
    np.testing.assert_allclose(loaded.paths, case.paths, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(loaded.silhouettes, case.silhouettes, atol=0.5 / 255 + 1e-6)
    assert path.stat().st_size < 2e6


@pytest.mark.parametrize("content", [b"", b"no archive"])
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "case_000001.npz"
    path.write_bytes(content)
    with pytest.raises(InputFileError, match="case_000001.npz"):
        Case.load(path)


def test_machines_differ_within_their_ranges() -> None:
    vary = GeometryVariation(angle=2.0)
    drawn = [random_geometry(np.random.default_rng(seed), vary) for seed in range(60)]
    views = [view for geometry in drawn for view in geometry.views]
    sids = np.array([view.sid for view in views])
    assert vary.sid[0] <= sids.min() < 1000.0 < 1400.0 < sids.max() <= vary.sid[1]
    for view in views:
        assert vary.object_to_image[0] <= view.sid - view.sod <= vary.object_to_image[1]
        assert view.spacing[0] * view.sod / view.sid == pytest.approx(FILM_SPACING)
    off = [geometry.angle - 90.0 for geometry in drawn]
    assert 0.75 < np.std(off) / vary.angle < 1.3
