"""Femora from other frames are laid as those in knees lie."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from skimage.measure import marching_cubes

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.generator import KneeGenerator, KneeVariation
from XRayTo3DLib.anatomy.knee import load_knees, rotation
from XRayTo3DLib.anatomy.lone_femora import laid_alike
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.imaging.radiograph import Side


@pytest.fixture(scope="module")
def femur() -> Surface:
    """Two condyles that reach backwards, of unlike size, and a shaft in front of their middle."""
    x, y, z = np.meshgrid(*(np.arange(-45.0, 46.0, 1.5),) * 2, np.arange(-5.0, 120.0, 1.5))
    x, y = y, x  # meshgrid's first two axes are exchanged
    medial = 21 - np.sqrt((x + 20) ** 2 + (y + 12) ** 2 + (z - 20) ** 2)
    lateral = 18 - np.sqrt((x - 22) ** 2 + (y + 6) ** 2 + (z - 19) ** 2)
    shaft = 13 - np.sqrt(x**2 + (y - 4) ** 2) + np.minimum(z - 8, 0)
    vertices, faces, _, _ = marching_cubes(np.maximum.reduce([medial, lateral, shaft]), 0.0)
    vertices = vertices * 1.5 + [-45.0, -45.0, -5.0]
    return Surface(vertices, faces[:, ::-1])


@pytest.mark.parametrize("turn", [0.0, 180.0, 165.0])
@pytest.mark.parametrize(("lean", "size"), [(0.0, 1.0), (8.0, 1.15), (-6.0, 0.9)])
def test_a_femur_in_another_frame_is_laid_as_it_was(
    femur: Surface, turn: float, lean: float, size: float
) -> None:
    matrix = rotation("x", lean) @ rotation("z", turn) @ np.diag([size, size, size, 1.0])
    matrix[:3, 3] = (12.0, -30.0, 55.0)
    laid = laid_alike(femur.transformed(matrix), femur)
    assert laid is not None
    near = femur.vertices[:, 2] < 60
    off = np.linalg.norm(laid.vertices - femur.vertices, axis=1)[near]
    assert off.mean() < 1.0


def test_what_is_no_femur_is_left_out(femur: Surface) -> None:
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    heights = np.arange(0.0, 120.0, 4.0)
    rim = np.stack([30 * np.cos(angles), 12 * np.sin(angles)], axis=1)
    vertices = np.concatenate([np.column_stack([rim, np.full(40, z)]) for z in heights])
    first = np.arange(40)
    faces = [
        np.column_stack([first + row * 40, (first + 1) % 40 + row * 40, first + row * 40 + 40])
        for row in range(len(heights) - 1)
    ]
    assert laid_alike(Surface(vertices, np.concatenate(faces)), femur) is None


def test_generated_knees_have_their_condyles_behind(shared_bones: Path) -> None:
    """Half of the femora that come alone are stored turned half round."""
    knees = [k for k in load_knees(shared_bones) if k.is_complete or "z00" in k.name]
    generator = KneeGenerator(knees, KneeVariation(femur_swap=1.0, flexion=0.0))
    for seed in range(3):
        knee = generator(seed)
        assert knee.side is Side.RIGHT
        femur = knee.surfaces[Bone.FEMUR].vertices
        height = femur[:, 2] - femur[:, 2].min()
        condyles, shaft = femur[(height > 2) & (height < 40)], femur[(height > 80) & (height < 95)]
        place = (shaft[:, 1].mean() - condyles[:, 1].min()) / np.ptp(condyles[:, 1])
        assert 0.5 < place < 0.95
