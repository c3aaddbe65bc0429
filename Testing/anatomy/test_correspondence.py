"""A template bent onto bones: analytic solids, a shaft cut shorter, and real patellae."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation
from spheres import unit_sphere

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.correspondence import (
    Cuts,
    Matcher,
    Template,
    correspond,
    distances,
    remeshed,
    similarity,
    smooth_basis,
    surface_gap,
)
from XRayTo3DLib.anatomy.knee import Knee, load_knees, rotation
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.errors import XRayTo3DError


def ellipsoid(axes: tuple[float, float, float], centre: tuple[float, float, float] = (0, 0, 0)):
    """Vertices lie on the exact ellipsoid."""
    sphere = unit_sphere(80, 60)
    return Surface(sphere.vertices * axes + np.asarray(centre), sphere.faces)


def off_ellipsoid(points: np.ndarray, axes: tuple[float, float, float]) -> np.ndarray:
    """Distance of points near an ellipsoid to it, mm, to first order (Taubin 1991)."""
    value = ((points / axes) ** 2).sum(axis=1) - 1.0
    return np.abs(value) / np.linalg.norm(2.0 * points / np.square(axes), axis=1)


def cut_shaft(radius: float, top: float, *, capped: bool = True) -> Surface:
    """An upright cylinder that ends in half a sphere below (its lowest point is the origin) and in
    a cut above; one side of it is flattened, so that it cannot turn about its axis."""
    angles = np.linspace(0.0, 2.0 * np.pi, 72, endpoint=False)
    rise = np.linspace(np.pi / 36, np.pi / 2, 18)
    rings = [(radius * np.sin(a), radius * (1.0 - np.cos(a))) for a in rise]
    rings += [(radius, z) for z in np.linspace(radius, top, int((top - radius) / 2.0))[1:]]
    circle = np.stack([np.cos(angles), np.sin(angles), 0.0 * angles], axis=1)
    circle[:, 1] = np.where(circle[:, 1] > 0, 0.7 * circle[:, 1], circle[:, 1])
    body = np.concatenate([circle * r + (0.0, 0.0, z) for r, z in rings])
    vertices = np.concatenate([body, [[0.0, 0.0, 0.0], [0.0, 0.0, top]]])
    n, low, high = len(angles), len(body), len(body) + 1
    i, j = np.arange(n), np.roll(np.arange(n), -1)
    faces = [np.stack([j, i, np.full(n, low)], axis=1)]
    for ring in range(len(rings) - 1):
        a, b = ring * n, (ring + 1) * n
        faces += [np.stack([a + i, a + j, b + j], 1), np.stack([a + i, b + j, b + i], 1)]
    if capped:
        faces.append(np.stack([low - n + i, low - n + j, np.full(n, high)], axis=1))
    return Surface(vertices if capped else vertices[:-1], np.concatenate(faces))


def edge_counts(surface: Surface) -> np.ndarray:
    edges = np.sort(surface.faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    return np.unique(edges, axis=0, return_counts=True)[1]


@pytest.fixture(scope="module")
def sphere_template() -> Template:
    return Template.from_bone(ellipsoid((24, 24, 24)), 900)


@pytest.fixture(scope="module")
def shaft_template() -> Template:
    return Template.from_bone(cut_shaft(10.0, 100.0), 1500)


def test_shafts_of_the_tests_are_what_they_say():
    shaft = cut_shaft(10.0, 100.0)
    assert set(edge_counts(shaft)) == {2}
    # Half of the cross-section and of the sphere is flattened to 0.7.
    assert shaft.volume == pytest.approx(0.85 * np.pi * (100 * 90 + 2 / 3 * 1000), rel=0.01)


def test_new_mesh_is_closed_even_and_where_the_surface_was():
    mesh = remeshed(ellipsoid((20, 25, 35)), 1500)
    assert set(edge_counts(mesh)) == {2}
    assert len(mesh.vertices) == pytest.approx(1500, rel=0.15)
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * 20 * 25 * 35, rel=0.01)
    assert off_ellipsoid(mesh.vertices, (20, 25, 35)).max() < 0.06
    a, b = (mesh.vertices[mesh.faces[:, k]] for k in (0, 1))
    low, high = np.percentile(np.linalg.norm(b - a, axis=1), (5, 95))
    assert high < 3.0 * low


@pytest.mark.parametrize("scaled", [True, False])
def test_similarity_finds_a_known_motion_as_scipy_does(scaled: bool):
    rng = np.random.default_rng(1)
    source, weights = rng.normal(size=(40, 3)), rng.uniform(size=40)
    turn, scale = Rotation.from_euler("xyz", (20, -35, 110), degrees=True), 1.3 if scaled else 1.0
    target = scale * turn.apply(source) + (4, -7, 2) + rng.normal(0.0, 0.05, (40, 3))
    found = similarity(source, target, weights, scaled=scaled)
    middles = [np.average(points, axis=0, weights=weights) for points in (source, target)]
    best, _ = Rotation.align_vectors(target - middles[1], source - middles[0], weights=weights)
    size = np.cbrt(np.linalg.det(found[:3, :3]))
    np.testing.assert_allclose(found[:3, :3] / size, best.as_matrix(), atol=1e-8)
    assert size == pytest.approx(scale, abs=0.03)


def test_similarity_never_mirrors():
    source = np.random.default_rng(2).normal(size=(30, 3))
    found = similarity(source, source * (-1, 1, 1), np.ones(30), scaled=False)
    assert np.linalg.det(found[:3, :3]) == pytest.approx(1.0)


def test_basis_multiplies_to_the_kernel(sphere_template: Template):
    surface = sphere_template.surface
    basis = smooth_basis(surface, 12.0)
    kernel = np.exp(-0.5 * cdist(surface.vertices, surface.vertices, "sqeuclidean") / 12.0**2)
    assert basis.shape[1] < 0.3 * len(surface.vertices)
    assert np.abs(basis @ basis.T - kernel).max() < 0.03


def test_cuts_are_flat_ends_and_not_round_ones():
    cuts = Cuts(cut_shaft(10.0, 100.0))
    assert (cuts.top, cuts.bottom) == (100.0, None)
    round_one = Cuts(ellipsoid((20, 25, 35)))
    assert (round_one.top, round_one.bottom) == (None, None)
    assert round_one.clear(np.array([[0.0, 0.0, 35.0]])).all()


def test_an_open_end_is_a_cut_too():
    cuts = Cuts(cut_shaft(10.0, 100.0, capped=False))
    assert (cuts.top, cuts.bottom) == (100.0, None)


def test_a_hole_is_left_out_but_does_not_end_the_bone():
    ball = ellipsoid((20, 20, 20))
    at_hole = (ball.vertices[:, 0] > 19.0)[ball.faces].any(axis=1)
    cuts = Cuts(Surface(ball.vertices, ball.faces[~at_hole]))
    assert (cuts.top, cuts.bottom) == (None, None)
    near_and_far = np.array([[19.0, 6.0, 0.0], [0.0, 20.0, 0.0]])
    assert cuts.clear(near_and_far).tolist() == [False, True]


@pytest.mark.parametrize("axes", [(24, 30, 20), (18, 24, 36), (32, 32, 22)])
def test_sphere_becomes_ellipsoid(sphere_template: Template, axes: tuple[float, float, float]):
    found = correspond(sphere_template, ellipsoid(axes, centre=(5, -3, 2)))
    assert found.mean < 0.1
    assert found.percentile < 0.3
    assert found.observed.all()
    off = off_ellipsoid(found.surface.vertices - (5, -3, 2), axes)
    assert off.mean() < 0.1
    assert found.surface.volume == pytest.approx(4 / 3 * np.pi * np.prod(axes), rel=0.01)


def test_matching_points_of_similar_ellipsoids_are_those_in_the_same_direction(
    sphere_template: Template,
):
    """With the poles known by their curvature, no point may slide far from its own place."""
    template = Template.from_bone(ellipsoid((18, 24, 36)), 900)
    found = correspond(template, ellipsoid((20, 26, 40)))
    expected = template.surface.vertices * (20 / 18, 26 / 24, 40 / 36)
    slid = np.linalg.norm(found.surface.vertices - expected, axis=1)
    assert np.sqrt((slid**2).mean()) < 1.0


@pytest.mark.parametrize("capped", [True, False])
def test_cut_shaft_is_not_dragged(shaft_template: Template, capped: bool):
    """The bone is a fifth larger and cut at 70 mm: the rest of the shaft runs on to 120 mm."""
    found = correspond(shaft_template, cut_shaft(12.0, 70.0, capped=capped))
    vertices = found.surface.vertices
    assert vertices[:, 2].max() > 110.0
    beyond = (vertices[:, 2] > 75.0) & shaft_template.clear
    assert not found.observed[beyond].any()
    # On the round side the shaft keeps its radius where there is nothing to hold it.
    around = beyond & (vertices[:, 1] < 0)
    np.testing.assert_allclose(np.hypot(*vertices[around, :2].T), 12.0, atol=0.6)
    # Template points do not crowd at the cut.
    heights = shaft_template.surface.vertices[shaft_template.clear, 2]
    slope = np.polyfit(heights[heights > 40], vertices[shaft_template.clear, 2][heights > 40], 1)[0]
    assert slope == pytest.approx(1.2, abs=0.08)
    assert found.mean < 0.15


@pytest.mark.parametrize(("degrees", "lean"), [(-15.0, 0.0), (0.0, 0.25), (170.0, 0.25)])
def test_bone_that_lies_turned_or_leans_is_found(
    shaft_template: Template, degrees: float, lean: float
):
    """Files differ in their frames: half a turn about z, and a shaft that leans."""
    matrix = rotation("z", degrees)
    matrix[0, 2] = lean
    found = correspond(shaft_template, cut_shaft(10.5, 100.0).transformed(matrix))
    assert found.mean < 0.15
    # The flat side of the template has come to lie on the flat side of the bone.
    flat = shaft_template.surface.vertices
    flat = (flat[:, 1] > 6.5) & (flat[:, 2] > 20) & shaft_template.clear
    back = found.surface.vertices @ np.linalg.inv(matrix[:3, :3]).T
    angle = np.degrees(np.arctan2(*back[flat, 1::-1].T))
    assert np.abs(angle - 90.0).mean() < 20.0


def test_longer_shaft_does_not_stretch_the_template(shaft_template: Template):
    """A tenth smaller in width, so that its 90 mm are those of the template; 30 mm more follow."""
    found = correspond(shaft_template, cut_shaft(9.0, 120.0))
    assert found.surface.vertices[:, 2].max() == pytest.approx(90.0, abs=6.0)
    assert found.mean < 0.15


def test_gap_is_the_distance_of_concentric_spheres():
    inner, outer = ellipsoid((20, 20, 20)), ellipsoid((21, 21, 21))
    mean, percentile = surface_gap(inner, Matcher(outer), np.ones(len(inner.vertices), bool))
    assert (mean, percentile) == pytest.approx((1.0, 1.0), abs=0.06)
    points = np.array([[0.0, 0.0, 0.0], [40.0, 0.0, 0.0]])
    np.testing.assert_allclose(distances(points, inner), 20.0, atol=0.05)


def test_what_is_no_such_bone_is_said_so(sphere_template: Template):
    sphere = ellipsoid((24, 24, 24))
    inside_out = Surface(sphere.vertices, sphere.faces[:, ::-1])
    with pytest.raises(XRayTo3DError, match="matches the template nowhere"):
        correspond(sphere_template, inside_out)


def test_real_patella_is_matched_to_a_fifth_of_a_millimetre(shared_bones: Path):
    knees: dict[str, Knee] = {knee.name: knee for knee in load_knees(shared_bones)}
    template = Template.from_bone(knees["tlem2_right"].surfaces[Bone.PATELLA], 1000)
    found = correspond(template, knees["vsd_z013_right"].surfaces[Bone.PATELLA])
    assert found.mean < 0.2
    assert found.percentile < 0.6
