"""Refinement against ellipsoids, whose chords are exact, and voxelised capsules."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import vtk
from scipy import ndimage
from scipy.spatial.transform import Rotation

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.geometry import BiplanarGeometry, ViewGeometry, view_geometry
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.projector import project
from XRayTo3DLib.imaging.radiograph import Side, View
from XRayTo3DLib.progress import Cancelled
from XRayTo3DLib.reconstruction import refine_fit, refinement
from XRayTo3DLib.reconstruction.flexion_between import Between, group_motion, pivot
from XRayTo3DLib.reconstruction.refine_chords import chords
from XRayTo3DLib.reconstruction.refine_motion import Freedom, bone_motion, corrected_view
from XRayTo3DLib.reconstruction.refinement import Refinement

refine = partial(refinement.refine, time_limit=120.0)
"""So that no busy machine stops what is tested here."""

SID, SOD, PITCH, SHAPE = 1100.0, 950.0, 0.4, (500, 460)
PIXEL = 1.36

# Centre mm, semi-axes mm, turn about x, y, z in degrees. No bone looks alike from two sides.
ELLIPSOIDS = {
    Bone.FEMUR: ((0, 0, 38), (38, 26, 34), (20, 10, 35)),
    Bone.TIBIA: ((2, -3, -38), (34, 25, 33), (-15, 12, -30)),
    Bone.PATELLA: ((4, 46, 25), (20, 9, 17), (10, -8, 12)),
    Bone.FIBULA: ((36, -22, -40), (9, 12, 32), (6, 12, 40)),
}


def placement(bone: Bone) -> np.ndarray:
    """The 4×4 matrix that makes the unit ball the bone."""
    centre, axes, turns = ELLIPSOIDS[bone]
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", turns, degrees=True).as_matrix() * axes
    matrix[:3, 3] = centre
    return matrix


def ball(radius: float = 1.0) -> Surface:
    source = vtk.vtkSphereSource()
    source.SetRadius(radius)
    source.SetThetaResolution(100)
    source.SetPhiResolution(50)
    source.SetOutputPointsPrecision(vtk.vtkAlgorithm.DOUBLE_PRECISION)
    source.Update()
    return Surface.from_vtk(source.GetOutput())


def seen_by(matrix: np.ndarray, view: ViewGeometry, parts: int = 3) -> np.ndarray:
    """Silhouette of an ellipsoid as networks are taught: blurred by voxels, 8 mm of bone make 1."""
    inverse = np.linalg.inv(matrix)
    offsets = (np.arange(parts) + 0.5) / parts - 0.5
    rows, columns = ((np.arange(n)[:, None] + offsets).ravel() for n in view.shape)
    pixels = rows[:, None, None] * view.row_step + columns[:, None] * view.column_step
    rays = pixels + view.first_pixel - view.source
    # In the frame of the unit ball a ray is start + t · way; its chord lies between two roots of t.
    way = rays @ inverse[:3, :3].T
    start = inverse[:3, :3] @ view.source + inverse[:3, 3]
    square, cross = (way**2).sum(axis=-1), way @ start
    under_root = cross**2 - square * (start @ start - 1.0)
    chord = 2.0 * np.sqrt(np.maximum(under_root, 0.0)) / square * np.linalg.norm(rays, axis=-1)
    chord = ndimage.gaussian_filter(chord, 0.6 * parts / PIXEL)
    share = np.minimum(chord / 8.0, 1.0)
    return share.reshape(view.shape[0], parts, view.shape[1], parts).mean(axis=(1, 3))


def stand(
    *, height: float = 0.0, angle: float = 0.0, magnification: float = 1.0, shape=SHAPE
) -> BiplanarGeometry:
    """Films of which the lateral is lower by a height (mm), turned (degrees) and larger."""
    middle = [(n - 1) / 2 for n in shape]
    lower = height * SID / SOD * magnification / PITCH
    kind = {"sid": SID, "spacing": (PITCH, PITCH), "shape": shape}
    frontal = view_geometry(View.AP, Side.RIGHT, sod=SOD, **kind)
    lateral = view_geometry(
        View.LATERAL,
        Side.RIGHT,
        sod=SOD / magnification,
        angle=angle,
        centre=(middle[0] - lower, middle[1]),
        **kind,
    )
    return BiplanarGeometry(frontal, lateral)


def detectors(geometry: BiplanarGeometry) -> tuple[ViewGeometry, ViewGeometry]:
    frontal, lateral = (view.resampled(PIXEL, 128) for view in geometry.views)
    return frontal, lateral


def where_taken(
    true: BiplanarGeometry, stated: BiplanarGeometry
) -> tuple[ViewGeometry, ViewGeometry]:
    """Where the pixels that ``stated`` takes for its detectors' were when the film was made."""
    views = []
    for real, said, detector in zip(true.views, stated.views, detectors(stated), strict=True):
        corners = said.project(detector.pixel_positions()[[0, 1, 0], [0, 0, 1]])
        first, below, right = real.first_pixel + corners @ (real.row_step, real.column_step)
        views.append(ViewGeometry(real.source, first, below - first, right - first, detector.shape))
    return views[0], views[1]


def silhouettes(
    true: BiplanarGeometry,
    stated: BiplanarGeometry,
    matrices: Mapping[Bone, np.ndarray] | None = None,
) -> torch.Tensor:
    shapes = matrices or {bone: placement(bone) for bone in Bone}
    views = where_taken(true, stated)
    return torch.tensor(np.array([[seen_by(shapes[b], v) for b in Bone] for v in views])).float()


@pytest.fixture(scope="module")
def bones() -> dict[Bone, Surface]:
    return {bone: ball().transformed(placement(bone)) for bone in Bone}


def film_error(found: ViewGeometry, true: ViewGeometry, surfaces: Mapping[Bone, Surface]) -> float:
    """Mean distance, mm at the isocentre, between where two views show the bones."""
    points = np.concatenate([surface.vertices for surface in surfaces.values()])
    apart = np.linalg.norm(found.project(points) - true.project(points), axis=1)
    return float(apart.mean()) * PITCH * SOD / SID


def displacement(surface: Surface, other: Surface) -> float:
    """Root mean square distance of corresponding vertices, mm."""
    return float(np.sqrt(((surface.vertices - other.vertices) ** 2).sum(axis=1).mean()))


def shifted(*vector: float) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, 3] = vector
    return matrix


def assert_unchanged(result: Refinement, surfaces: Mapping[Bone, Surface], geometry) -> None:
    assert result.after == result.before or np.isnan([result.after, result.before]).all()
    assert result.geometry is geometry
    for bone, surface in surfaces.items():
        assert result.surfaces[bone] is surface
        assert np.array_equal(result.motions[bone], np.eye(4))


def test_misstated_geometry_is_recovered(bones):
    true, stated = stand(height=5.0, magnification=1.02), stand()
    result = refine(bones, stated, silhouettes(true, stated), detectors(stated))
    assert result.stopped == "settled"
    assert result.before > 1.0
    assert result.after < 0.15
    assert film_error(stated.lateral, true.lateral, bones) > 4.0
    assert film_error(result.geometry.lateral, true.lateral, bones) < 0.35
    assert film_error(result.geometry.frontal, true.frontal, bones) < 0.15
    lateral = result.geometry.lateral
    assert lateral.sid / lateral.sod == pytest.approx(1.02 * SID / SOD, rel=0.004)
    for bone, surface in bones.items():
        assert displacement(result.surfaces[bone], surface) < 0.5


def test_geometry_is_recovered_from_voxels(toy_knee):
    grid = VolumeGrid((144, 90, 70), 1.2, (8.0, 5.0, 0.0))
    x, y, z = grid.axes()
    points = np.stack(np.meshgrid(z, y, x, indexing="ij")[::-1], axis=-1)
    share = np.stack([_share_in_capsule(points, bone, grid.spacing) for bone in Bone])
    true, stated = stand(height=-5.0, magnification=0.98), stand()
    seen = [
        project(torch.from_numpy(share), grid, view).div(8.0).clamp(max=1.0)
        for view in where_taken(true, stated)
    ]
    # The networks' surfaces end at the faces of their field of view, the silhouettes do not.
    half = 153.6 / 2
    cut = {b: Surface(s.vertices.clip(-half, half), s.faces) for b, s in toy_knee.items()}
    result = refine(cut, stated, torch.stack(seen), detectors(stated))
    assert result.after < 0.15 < 0.8 < result.before
    inner = {Bone.FEMUR: cut[Bone.FEMUR], Bone.TIBIA: cut[Bone.TIBIA]}
    assert film_error(result.geometry.lateral, true.lateral, inner) < 0.6
    assert film_error(result.geometry.frontal, true.frontal, inner) < 0.3


def _share_in_capsule(points: np.ndarray, bone: Bone, spacing: float) -> np.ndarray:
    bottom, top, radius = {
        Bone.FEMUR: ((0, 0, 30), (0, 0, 100), 25),
        Bone.TIBIA: ((0, 0, -100), (0, 0, -30), 22),
        Bone.PATELLA: ((0, 42, 28), (0, 42, 36), 12),
        Bone.FIBULA: ((36, -12, -100), (36, -12, -40), 8),
    }[bone]
    nearest = np.array(bottom) + np.clip(points[..., 2:] - bottom[2], 0, top[2] - bottom[2]) * [
        0,
        0,
        1,
    ]
    depth = radius - np.linalg.norm(points - nearest, axis=-1)
    return np.clip(0.5 + depth / spacing, 0, 1).astype(np.float32)


def test_displaced_bones_return(bones):
    geometry = stand()
    displaced = dict(bones)
    displaced[Bone.PATELLA] = bones[Bone.PATELLA].transformed(shifted(1.5, 2.0, -2.0))
    displaced[Bone.FIBULA] = bones[Bone.FIBULA].transformed(
        bone_motion(np.array([36.0, -22.0, -40.0]), np.array([-1.5, -1.5, 1.0, 0, 0.04, 0, 0]))
    )
    seen = silhouettes(geometry, geometry)
    result = refine(displaced, geometry, seen, detectors(geometry), freedom=Freedom.NOTHING)
    assert result.geometry is geometry
    assert result.after < 0.15 < result.before
    for bone in Bone:
        assert displacement(result.surfaces[bone], bones[bone]) < 0.4
        moved = displaced[bone].transformed(result.motions[bone])
        assert np.allclose(moved.vertices, result.surfaces[bone].vertices)


def test_what_all_bones_share_is_put_down_to_the_knee(bones):
    geometry = stand()
    common = shifted(3.0, -2.0, 4.0)
    displaced = {bone: surface.transformed(common) for bone, surface in bones.items()}
    seen = silhouettes(geometry, geometry)
    result = refine(displaced, geometry, seen, detectors(geometry))
    assert result.after < 0.15 < result.before
    for bone in Bone:
        assert displacement(result.surfaces[bone], bones[bone]) < 0.5
    assert np.array_equal(result.geometry.frontal.matrix(), geometry.frontal.matrix())
    assert film_error(result.geometry.lateral, geometry.lateral, bones) < 0.4


def test_agreement_is_the_distance_of_outlines():
    geometry = stand()
    seen = silhouettes(geometry, geometry, {b: np.diag([32.0, 32, 32, 1]) for b in Bone})
    ball_seen = {Bone.TIBIA: ball(30.0)}
    result = refine(ball_seen, geometry, seen, detectors(geometry), freedom=Freedom.NOTHING)
    # Rays that pass through 4 mm of a ball make a circle about the isocentre.
    from_middle = np.sqrt(np.array([30.0, 32.0]) ** 2 - 2.0**2)
    expected = np.diff(SOD * from_middle / np.sqrt(SOD**2 - from_middle**2))[0]
    assert result.before == pytest.approx(expected, abs=0.1)
    growth = np.cbrt(np.linalg.det(result.motions[Bone.TIBIA][:3, :3]))
    assert growth == pytest.approx(32 / 30, rel=0.01)


def moved_between(about: np.ndarray, shin: float, patella: float) -> Between:
    turn = np.zeros(6)
    motions = {}
    for angle, group in ((shin, (Bone.TIBIA, Bone.FIBULA)), (patella, (Bone.PATELLA,))):
        turn[0] = -np.radians(angle)
        motions |= dict.fromkeys(group, group_motion(about, turn))
    return Between(motions)


def test_flexion_between_the_films_is_told_from_a_film_that_stood_otherwise(bones):
    geometry = stand()
    bent = moved_between(pivot(bones[Bone.FEMUR]), 8.0, 5.0)
    matrices = {bone: bent.of(bone) @ placement(bone) for bone in Bone}
    seen = silhouettes(geometry, geometry)
    seen[1] = silhouettes(geometry, geometry, matrices)[1]
    joint = refine(bones, geometry, seen, detectors(geometry), freedom=Freedom.JOINT)
    films = refine(bones, geometry, seen, detectors(geometry), freedom=Freedom.FILMS)
    assert joint.between.flexion == pytest.approx(8.0, abs=0.7)
    assert joint.geometry is geometry
    assert joint.after < 0.15 and joint.cost < 0.5 * films.cost
    assert np.array_equal(joint.between.of(Bone.FEMUR), np.eye(4))
    known = refine(bones, geometry, seen, detectors(geometry), freedom=Freedom.JOINT, between=bent)
    assert known.before < 0.15
    assert known.between.flexion == pytest.approx(8.0, abs=0.3)


def test_a_film_that_stood_otherwise_is_told_from_flexion(bones):
    true, stated = stand(height=4.0), stand()
    seen = silhouettes(true, stated)
    costs = {
        freedom: refine(bones, stated, seen, detectors(stated), freedom=freedom).cost
        for freedom in Freedom
    }
    assert costs[Freedom.FILMS] < 0.5 * min(costs[Freedom.JOINT], costs[Freedom.NOTHING])


@pytest.mark.parametrize("seed", range(4))
def test_random_silhouettes_never_make_it_worse(bones, seed):
    geometry = stand()
    noise = np.random.default_rng(seed).normal(size=(2, 4, 128, 128))
    smooth = ndimage.gaussian_filter(noise, (0, 0, 6, 6))
    seen = torch.from_numpy(1 / (1 + np.exp(-smooth / smooth.std())))
    result = refine(bones, geometry, seen, detectors(geometry))
    assert result.after <= result.before
    if result.stopped == "no better":
        assert_unchanged(result, bones, geometry)


def test_perfect_surfaces_are_left_where_they_are(bones):
    geometry = stand()
    result = refine(bones, geometry, silhouettes(geometry, geometry), detectors(geometry))
    assert result.before < 0.15
    for bone in Bone:
        assert displacement(result.surfaces[bone], bones[bone]) < 0.1


def test_a_bone_beyond_the_film_does_no_harm(bones):
    # The films end 25 mm below the joint: of tibia and fibula only a part is on them.
    small = (360, 460)
    true, stated = stand(height=4.0, shape=small), stand(shape=small)
    seen = silhouettes(true, stated)
    for number, (view, detector) in enumerate(zip(stated.views, detectors(stated), strict=True)):
        place = view.project(detector.pixel_positions())
        beyond = np.any((place < 0) | (place > np.array(small) - 1), axis=-1)
        seen[number, :, torch.from_numpy(beyond)] = 0.0
    seen[:, Bone.FIBULA - 1] = 0.0
    result = refine(bones, stated, seen, detectors(stated))
    assert result.after < 0.15 < result.before
    assert film_error(result.geometry.lateral, true.lateral, bones) < 0.5
    assert result.surfaces[Bone.FIBULA] is bones[Bone.FIBULA]


def test_without_evidence_nothing_changes(bones):
    geometry = stand()
    blank = torch.zeros(2, 4, 128, 128)
    result = refine(bones, geometry, blank, detectors(geometry))
    assert result.stopped == "no evidence"
    assert np.isnan(result.before)
    assert_unchanged(result, bones, geometry)
    nothing = refine({}, geometry, blank, detectors(geometry))
    assert nothing.surfaces == {} and nothing.stopped == "no evidence"


def test_no_time_means_no_change(bones):
    true, stated = stand(height=5.0), stand()
    seen = silhouettes(true, stated)
    result = refine(bones, stated, seen, detectors(stated), time_limit=0.0)
    assert result.stopped == "time limit"
    assert result.before > 0.5
    assert_unchanged(result, bones, stated)


def test_what_was_found_in_time_is_kept(bones, monkeypatch):
    clock = SimpleNamespace(now=0.0)
    clock.perf_counter = lambda: clock.now
    for module in (refine_fit, refinement):
        monkeypatch.setattr(module, "time", clock)

    def late(stage: str, fraction: float) -> None:
        clock.now = 0.0 if fraction == 0 else 9.0

    true, stated = stand(height=5.0), stand()
    seen = silhouettes(true, stated)
    result = refine(bones, stated, seen, detectors(stated), time_limit=8.0, progress=late)
    assert result.stopped == "time limit" and result.seconds == 9.0
    assert result.after < 0.2 < result.before
    assert film_error(result.geometry.lateral, true.lateral, bones) < 1.0


def test_progress_is_told_and_may_cancel(bones):
    true, stated = stand(height=5.0), stand()
    seen = silhouettes(true, stated)
    told = []
    refine(bones, stated, seen, detectors(stated), progress=lambda *said: told.append(said))
    fractions = [fraction for _, fraction in told]
    assert fractions == sorted(fractions) and fractions[0] == 0 and fractions[-1] == 1
    assert len(fractions) > 2 and len({stage for stage, _ in told}) == 1

    def cancel(stage: str, fraction: float) -> None:
        if fraction > 0:
            raise Cancelled

    with pytest.raises(Cancelled):
        refine(bones, stated, seen, detectors(stated), progress=cancel)


def test_what_does_not_fit_is_refused(bones):
    geometry = stand()
    seen = torch.zeros(2, 4, 128, 128)
    with pytest.raises(XRayTo3DError, match=r"\(2, 3, 128, 128\)"):
        refine(bones, geometry, seen[:, :3], detectors(geometry))
    with pytest.raises(XRayTo3DError, match="lateral detector"):
        refine(bones, geometry, seen, detectors(stand(magnification=1.02)))
    with pytest.raises(XRayTo3DError, match="NaN"):
        refine(bones, geometry, seen * torch.nan, detectors(geometry))


def box(half: float) -> Surface:
    source = vtk.vtkCubeSource()
    source.SetXLength(2 * half)
    source.SetYLength(2 * half)
    source.SetZLength(2 * half)
    clean = vtk.vtkCleanPolyData()
    clean.SetInputConnection(source.GetOutputPort())
    clean.Update()
    return Surface.from_vtk(clean.GetOutput())


@pytest.mark.parametrize("mirrored", [False, True])
def test_chords_of_a_box(mirrored):
    # An odd number of pixels puts rays on the diagonals that part the faces, and on their middles.
    view = stand().frontal.resampled(2.0, 41)
    if mirrored:
        view = view.flipped_columns()
    length, middle = chords(box(20.0), view)
    rays = view.pixel_positions() - view.source
    # A ray is in the box between the last plane it enters and the first that it leaves.
    with np.errstate(divide="ignore"):
        bounds = np.stack([(-20.0 - view.source) / rays, (20.0 - view.source) / rays])
    enter, leave = bounds.min(axis=0).max(axis=-1), bounds.max(axis=0).min(axis=-1)
    expected = np.maximum(leave - enter, 0.0) * np.linalg.norm(rays, axis=-1)
    assert length == pytest.approx(expected, abs=1e-6)
    assert (length > 0).sum() > 300
    hit = expected > 1.0
    assert middle[hit] == pytest.approx(((enter + leave) / 2)[hit], abs=1e-9)
    assert np.isnan(middle[0, 0])


def test_chords_of_an_ellipsoid(bones):
    view = detectors(stand())[1]
    length, _ = chords(bones[Bone.FEMUR], view)
    matrix = placement(Bone.FEMUR)
    # The centre's ray, analytically: both roots of a quadratic in the unit ball's frame.
    row, column = np.rint(view.project(matrix[:3, 3])).astype(int)
    inverse = np.linalg.inv(matrix)
    ray = view.pixel_positions()[row, column] - view.source
    way, start = inverse[:3, :3] @ ray, inverse[:3, :3] @ view.source + inverse[:3, 3]
    roots = np.roots([way @ way, 2 * way @ start, start @ start - 1])
    expected = abs(roots[0] - roots[1]) * np.linalg.norm(ray)
    assert length[row, column] == pytest.approx(expected, rel=0.003)


def test_corrections_of_a_view():
    view = stand().lateral
    origin = np.zeros(3)
    down = corrected_view(view, np.array([3.0, -2.0, 0, 0, 0]))
    # The detector goes down and left, so the picture goes up and right on it.
    apart = (down.project(origin) - view.project(origin)) * PITCH * SOD / SID
    assert apart == pytest.approx([-3.0, 2.0])
    assert np.array_equal(down.source, view.source)
    larger = corrected_view(view, np.array([0, 0, 0, 0.02, 0]))
    assert larger.sid / larger.sod == pytest.approx(1.02 * SID / SOD)
    assert larger.sid == pytest.approx(SID)
    angle = corrected_view(view, np.array([0, 0, 0, 0, 0.1]))
    assert BiplanarGeometry(stand().frontal, angle).angle == pytest.approx(90 + np.degrees(0.1))
    assert angle.row_step == pytest.approx(view.row_step)
    turned = corrected_view(view, np.array([0, 0, 0.1, 0, 0]))
    assert turned.source == pytest.approx(view.source)
    assert turned.row_step @ view.row_step == pytest.approx(np.cos(0.1) * PITCH**2)
    assert turned.project(origin) == pytest.approx(view.project(origin))
    assert corrected_view(view, np.zeros(5)).matrix() == pytest.approx(view.matrix())
