"""Bones on their way to other shapes, with ellipsoids whose axes are the modes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from spheres import unit_sphere

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.generator import KneeGenerator, KneeVariation
from XRayTo3DLib.anatomy.knee import Knee
from XRayTo3DLib.anatomy.morphing import Morph
from XRayTo3DLib.anatomy.shape_model import ShapeModel, learn
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.imaging.radiograph import Side

AXES = np.array([18.0, 24.0, 34.0])
PLACE = np.array([3.0, 30.0, 25.0])
WIDTHS = 4.0 * np.array([1.0, 1.0, -1.0, -1.0])
DEPTHS = 2.0 * np.array([1.0, -1.0, 1.0, -1.0])
"""Of four people: the width varies most and is the first mode, the depth is the second."""


def ellipsoid(width: float, depth: float) -> Surface:
    sphere = unit_sphere(40, 30)
    return Surface(sphere.vertices * (AXES + (width, depth, 0.0)) + PLACE, sphere.faces)


def half_axes(surface: Surface) -> np.ndarray:
    return np.ptp(surface.vertices, axis=0) / 2


@pytest.fixture(scope="module")
def model() -> ShapeModel:
    shapes = [ellipsoid(w, d) for w, d in zip(WIDTHS, DEPTHS, strict=True)]
    clear = np.ones(len(shapes[0].vertices), bool)
    vertices = [shape.vertices for shape in shapes]
    return learn(Bone.PATELLA, vertices, ["anna", "berta", "carla", "dora"], shapes[0].faces, clear)


@pytest.fixture
def knee(toy_knee: dict[Bone, Surface]) -> Knee:
    own = {**toy_knee, Bone.PATELLA: ellipsoid(2.0, -1.0)}
    return Knee("anna_right", "anna", Side.RIGHT, own)


def test_the_size_and_the_place_stay_and_the_shape_changes(model: ShapeModel, knee: Knee) -> None:
    morph = Morph(model)
    drawn = [morph(knee, np.random.default_rng(seed)) for seed in range(40)]
    axes = np.array([half_axes(surface) for surface in drawn]) - AXES
    np.testing.assert_allclose(axes[:, 0], 2.0, atol=0.3)
    np.testing.assert_allclose(axes[:, 2], 0.0, atol=0.3)
    middles = np.array([surface.vertices.mean(axis=0) for surface in drawn])
    own = knee.surfaces[Bone.PATELLA].vertices.mean(axis=0)
    np.testing.assert_allclose(middles, np.broadcast_to(own, middles.shape), atol=0.3)
    # Towards draws of a deviation of 2.3 (n − 1) around the mean, 65 % of the way on average.
    assert 0.8 < np.std(axes[:, 1]) < 2.5
    assert abs(axes[:, 1].mean() - 0.35 * -1.0) < 0.8


def test_the_same_draw_gives_the_same_bone(model: ShapeModel, knee: Knee) -> None:
    first, again = (Morph(model)(knee, np.random.default_rng(4)) for _ in range(2))
    np.testing.assert_array_equal(first.vertices, again.vertices)


def test_generated_knees_are_morphed_where_there_is_a_model(model: ShapeModel, knee: Knee) -> None:
    always = replace(KneeVariation.none(), morph=1.0)
    morphed = KneeGenerator([knee], always, {Bone.PATELLA: model})(5)
    plain = KneeGenerator([knee], always)(5)
    depths = [half_axes(made.surfaces[Bone.PATELLA])[1] for made in (plain, morphed)]
    assert depths[0] == pytest.approx(AXES[1] - 1.0, abs=0.05)
    assert abs(depths[1] - depths[0]) > 0.2
    for bone in set(Bone) - {Bone.PATELLA}:
        np.testing.assert_array_equal(
            morphed.surfaces[bone].vertices, plain.surfaces[bone].vertices
        )
