"""Registration of a model of four ellipsoids to films whose pixels are worked out analytically."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from scipy.spatial.transform import Rotation
from spheres import unit_sphere
from typer.testing import CliRunner

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.intensity_model import IntensityModel, KneeModel
from XRayTo3DLib.anatomy.knee import Knee
from XRayTo3DLib.anatomy.shape_model import ShapeModel
from XRayTo3DLib.commands.register import register
from XRayTo3DLib.errors import InputFileError, XRayTo3DError
from XRayTo3DLib.evaluation.contestants import Known, RegisteredContestant, registered_contestants
from XRayTo3DLib.evaluation.registration_starts import BY_HAND, PERTURBED, STARTS, TrueKnee
from XRayTo3DLib.evaluation.registration_study import Trial, study_table
from XRayTo3DLib.evaluation.tables import KneeScores
from XRayTo3DLib.imaging.geometry import BiplanarGeometry, ViewGeometry, view_geometry
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.radiograph import Origin, Radiograph, Side, Sourced, View
from XRayTo3DLib.progress import Cancelled
from XRayTo3DLib.reconstruction.lateral_stand import AS_STATED, LateralStand, stand_motion
from XRayTo3DLib.reconstruction.registration import Level, Registrar, RegistrationSettings
from XRayTo3DLib.reconstruction.registration_bone import DeformingBone
from XRayTo3DLib.reconstruction.registration_pose import (
    pose_matrix,
    read_start,
    turn_matrix,
)
from XRayTo3DLib.reconstruction.registration_result import filled

# Middle and half axes, RAS mm.
ELLIPSOIDS = {
    Bone.FEMUR: ((0.0, -4.0, 30.0), (24.0, 18.0, 28.0)),
    Bone.TIBIA: ((2.0, -6.0, -32.0), (26.0, 16.0, 26.0)),
    Bone.PATELLA: ((4.0, 34.0, 24.0), (14.0, 7.0, 15.0)),
    Bone.FIBULA: ((38.0, -26.0, -38.0), (6.0, 7.0, 22.0)),
}
DENSITY = 0.03
GROWTH = 0.06
"""What one standard deviation of the only mode of shape adds to every axis."""

QUICK = RegistrationSettings(
    levels=(Level(4.0, 3.0, 16.0, 2, 0, 0, 20), Level(3.0, 1.5, 12.0, 2, 1, 1, 20))
)


def intensity_model(bone: Bone) -> IntensityModel:
    middle, axes = (np.array(values) for values in ELLIPSOIDS[bone])
    sphere = unit_sphere(32, 24)
    points = middle + sphere.vertices * axes
    grid = VolumeGrid(
        tuple(2 * int(np.ceil((half + 8) / 2)) for half in axes[::-1]), 2.0, tuple(middle)
    )
    # Eight points in each voxel say how much of it is filled.
    inside = np.zeros(grid.shape)
    for shift in np.stack(np.meshgrid(*[(-0.25, 0.25)] * 3), axis=-1).reshape(-1, 3):
        index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
        away = (grid.to_ras(index + shift) - middle) / axes
        inside += (np.linalg.norm(away, axis=-1) < 1) / 8
    density = (DENSITY * inside).astype(np.float32)
    shape = ShapeModel(
        bone=bone,
        mean=points,
        faces=sphere.faces,
        modes=GROWTH * (points - middle)[None],
        shares=np.ones(1),
        smooth=(),
        clear=np.ones(len(points), dtype=bool),
        people=("anna", "berta"),
    )
    return IntensityModel(shape, grid, density, 0.1 * density[None], np.ones(1))


@pytest.fixture(scope="module")
def model() -> KneeModel:
    return KneeModel({bone: intensity_model(bone) for bone in Bone})


@pytest.fixture(scope="module")
def geometry() -> BiplanarGeometry:
    stand = {"sid": 1150.0, "sod": 1000.0, "spacing": (1.15, 1.15), "shape": (160, 160)}
    return BiplanarGeometry(
        view_geometry(View.AP, Side.RIGHT, **stand),
        view_geometry(View.LATERAL, Side.RIGHT, **stand),
    )


def chords(view: ViewGeometry, middle: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """mm of every ray within an ellipsoid along the world's axes, from the quadratic equation."""
    direction = view.pixel_positions() - view.source
    a, b = direction / axes, (view.source - middle) / axes
    aa, ab, bb = (a**2).sum(-1), a @ b, b @ b
    root = np.sqrt(np.maximum(ab**2 - aa * (bb - 1.0), 0.0))
    return 2.0 * root / aa * np.linalg.norm(direction, axis=-1)


def film(view: ViewGeometry, shifts: dict[Bone, np.ndarray], size: float) -> np.ndarray:
    """Attenuation through all four ellipsoids, moved and made larger."""
    return sum(
        DENSITY * chords(view, np.array(middle) + shifts[bone], size * np.array(axes))
        for bone, (middle, axes) in ELLIPSOIDS.items()
    )


SHIFTS = {
    Bone.FEMUR: np.array([3.0, -2.0, 4.0]),
    Bone.TIBIA: np.array([-2.0, 3.0, 2.0]),
    Bone.PATELLA: np.array([2.0, 3.0, -3.0]),
    Bone.FIBULA: np.array([3.0, -3.0, 3.0]),
}


@pytest.fixture(scope="module")
def pictures(geometry: BiplanarGeometry) -> tuple[np.ndarray, np.ndarray]:
    frontal, lateral = (film(view, SHIFTS, 1.06) for view in geometry.views)
    return frontal, lateral


def test_turn_is_that_of_its_axis():
    for radians in ([0.0, 0.0, 0.0], [0.3, -0.2, 0.5]):
        turn = turn_matrix(torch.tensor(radians, dtype=torch.float64)).numpy()
        np.testing.assert_allclose(turn, Rotation.from_rotvec(radians).as_matrix(), atol=1e-12)


def test_pose_turns_and_grows_about_the_middle_before_the_start():
    middle, start = np.array([3.0, -4.0, 20.0]), np.eye(4)
    start[:3, 3] = (10.0, 0.0, 0.0)
    numbers = torch.tensor([1.0, 0.0, -1.0, 0.0, 0.0, 2.0, 1.0])
    matrix = pose_matrix(numbers, middle, start)
    np.testing.assert_allclose(matrix @ [*middle, 1.0], [18.0, -4.0, 15.0, 1.0], atol=1e-5)
    turn = Rotation.from_euler("z", 10, degrees=True).as_matrix()
    np.testing.assert_allclose(matrix[:3, :3], np.exp(0.04) * turn, atol=1e-6)


def test_radiograph_is_that_of_the_moved_and_grown_ellipsoid(
    model: KneeModel, geometry: BiplanarGeometry
):
    bone = DeformingBone(model.bones[Bone.FEMUR])
    volume = bone.volume(torch.zeros(1), torch.zeros(1))
    numbers = torch.tensor([1.0, -0.6, 0.8, 0.0, 0.0, 0.0, 1.0])
    start = np.eye(4)
    start[:3, 3] = (2.0, 0.0, -3.0)
    middle, axes = (np.array(values) for values in ELLIPSOIDS[Bone.FEMUR])
    for view in geometry.views:
        seen = bone.radiograph(volume, numbers, start, view).numpy()
        true = DENSITY * chords(view, middle + (7.0, -3.0, 1.0), np.exp(0.04) * axes)
        assert np.abs(seen - true).mean() < 0.01 * true.max()
        assert seen.sum() == pytest.approx(true.sum(), rel=0.01)


def test_turned_bone_seen_from_the_front_is_the_bone_seen_from_the_side(model: KneeModel):
    """A quarter turn about z shows the frontal view what the lateral saw."""
    bone = DeformingBone(model.bones[Bone.PATELLA])
    volume = bone.volume(torch.zeros(1), torch.zeros(1))
    middle, axes = (np.array(values) for values in ELLIPSOIDS[Bone.PATELLA])
    view = view_geometry(
        View.AP, Side.RIGHT, sid=1150.0, sod=1000.0, spacing=(1.15, 1.15), shape=(160, 160)
    )
    numbers = torch.tensor([0.0, 0.0, 0.0, 0.0, 0.0, 18.0, 0.0])
    seen = bone.radiograph(volume, numbers, np.eye(4), view).numpy()
    true = DENSITY * chords(view, middle, axes[[1, 0, 2]])
    assert np.abs(seen - true).mean() < 0.01 * true.max()


def test_a_view_that_is_moved_sees_what_one_that_stands_there_sees(
    model: KneeModel, geometry: BiplanarGeometry
):
    bone = DeformingBone(model.bones[Bone.TIBIA])
    volume = bone.volume(torch.zeros(1), torch.zeros(1))
    poses, start = torch.tensor([[1.0, -2.0, 0.0, 0.5, 0.0, 1.0, 0.5], [0.0] * 7]), np.eye(4)
    start[:3, 3] = (2.0, 5.0, -3.0)
    stands = [LateralStand(np.radians(20.0), np.radians(-5.0), nearer=40.0, higher=6.0), AS_STATED]
    motions = torch.stack(
        [stand_motion(torch.tensor(stand).double(), geometry.lateral) for stand in stands]
    )
    (seen,) = bone.radiographs(volume[None], poses, start, geometry.lateral, motions)
    for picture, pose, stand in zip(seen, poses, stands, strict=True):
        there = stand.of(geometry)
        assert there.frontal is geometry.frontal
        expected = bone.radiograph(volume, pose, start, there.lateral)
        np.testing.assert_allclose(picture, expected, atol=1e-4 * float(expected.max()))
    still = bone.radiograph(volume, poses[0], start, geometry.lateral)
    assert float((still - seen[0]).abs().max()) > 0.1 * float(still.max())


def test_a_rough_volume_is_nearly_the_exact_one(model: KneeModel):
    exact, rough = (DeformingBone(model.bones[Bone.FEMUR], rough=rough) for rough in (False, True))
    shape = torch.tensor([1.5])
    volumes = [bone.volume(shape, torch.zeros(1)).numpy() for bone in (exact, rough)]
    volumes.append(rough.volume_near(shape).numpy())
    mean = exact.volume(torch.zeros(1), torch.zeros(1)).numpy()
    assert volumes[0].sum() > 1.2 * mean.sum()
    grown = np.abs(volumes[0] - mean).sum()
    for other in volumes[1:]:
        assert np.abs(volumes[0] - other).sum() < 0.2 * grown


def test_a_coefficient_changes_the_volume_by_its_slope(model: KneeModel):
    bone = DeformingBone(model.bones[Bone.FEMUR], rough=True)
    shape, step = torch.tensor([0.5]), torch.tensor([0.02])
    expected = (bone.volume_near(shape + step) - bone.volume_near(shape - step)) / 0.04
    (slope,) = bone.volume_slopes(shape)
    assert float(expected.abs().max()) > 0.0
    assert float((slope - expected).norm()) < 0.1 * float(expected.norm())


def test_what_is_beyond_the_reach_is_left_out_and_the_rest_stays(
    model: KneeModel, geometry: BiplanarGeometry
):
    whole = DeformingBone(model.bones[Bone.FEMUR])
    cut = DeformingBone(model.bones[Bone.FEMUR], reach=30.0)
    heights = [
        cut.grid.to_ras(np.array(index))[2] for index in ((0, 0, 0), (cut.grid.shape[0] - 1, 0, 0))
    ]
    assert np.abs(heights).max() <= 30.0 and cut.grid.shape[0] < whole.grid.shape[0]
    nothing, start = torch.zeros(7), np.eye(4)
    pictures = [
        bone.radiograph(
            bone.volume(torch.zeros(1), torch.zeros(1)), nothing, start, geometry.frontal
        )
        for bone in (whole, cut)
    ]
    # Row 80 is the joint line, rows are a millimetre; rays rise by a twentieth within the bone.
    np.testing.assert_allclose(pictures[1][55:80], pictures[0][55:80], atol=1e-4)
    assert not pictures[1][:45].any() and pictures[0][:45].any()


@pytest.mark.parametrize("coefficient", [-1.5, 1.5])
def test_volume_grows_as_the_surface_does(model: KneeModel, coefficient: float):
    bone = DeformingBone(model.bones[Bone.TIBIA])
    shape = torch.tensor([coefficient])
    volume = bone.volume(shape, torch.zeros(1)).numpy()
    _, axes = ELLIPSOIDS[Bone.TIBIA]
    true = 4 / 3 * np.pi * np.prod(axes) * (1 + GROWTH * coefficient) ** 3
    assert volume.sum() * bone.grid.spacing**3 / DENSITY == pytest.approx(true, rel=0.02)
    # The surface is a polyhedron within the ellipsoid.
    assert bone.surface(shape).volume == pytest.approx(true, rel=0.03)


def test_density_mode_is_added(model: KneeModel):
    bone = DeformingBone(model.bones[Bone.FIBULA], reduce=2)
    volume = bone.volume(torch.zeros(1), torch.tensor([2.0]))
    assert float(volume.max()) == pytest.approx(1.2 * DENSITY, rel=1e-5)


def test_bone_beside_the_film_leaves_it_empty(model: KneeModel, geometry: BiplanarGeometry):
    bone = DeformingBone(model.bones[Bone.PATELLA])
    volume = bone.volume(torch.zeros(1), torch.zeros(1))
    far = torch.tensor([0.0, 0.0, 100.0, 0.0, 0.0, 0.0, 0.0])
    assert not bone.radiograph(volume, far, np.eye(4), geometry.frontal).any()


def test_registration_finds_moved_and_grown_bones(
    model: KneeModel, geometry: BiplanarGeometry, pictures: tuple[np.ndarray, np.ndarray]
):
    found = Registrar(model, QUICK)(pictures, geometry)
    assert found.converged and min(found.likeness) > 0.97
    for bone, (middle, axes) in ELLIPSOIDS.items():
        points = found.surfaces[bone].vertices
        true_middle = np.array(middle) + SHIFTS[bone]
        # Distance to an ellipsoid, to first order.
        local = (points - true_middle) / (1.06 * np.array(axes))
        away = (np.linalg.norm(local, axis=1) - 1) * np.linalg.norm(local, axis=1)
        away /= np.linalg.norm(local / (1.06 * np.array(axes)), axis=1)
        assert np.abs(away).mean() < 0.5, bone
        assert np.linalg.norm(0.5 * (points.min(axis=0) + points.max(axis=0)) - true_middle) < 1.0


def test_out_of_time_returns_the_start(
    model: KneeModel, geometry: BiplanarGeometry, pictures: tuple[np.ndarray, np.ndarray]
):
    found = Registrar(model, replace(QUICK, time_limit=0.0))(pictures, geometry)
    assert (found.stopped, found.converged) == ("time limit", False)
    for bone in Bone:
        np.testing.assert_allclose(found.poses[bone], np.eye(4), atol=1e-9)
        np.testing.assert_allclose(
            found.surfaces[bone].vertices, model.bones[bone].shape.mean, atol=1e-6
        )


def test_cancelling_stops_it(
    model: KneeModel, geometry: BiplanarGeometry, pictures: tuple[np.ndarray, np.ndarray]
):
    def stop(stage: str, fraction: float) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        Registrar(model, QUICK)(pictures, geometry, progress=stop)


def radiograph(pixels: np.ndarray, view: View, side: Side) -> Radiograph:
    user = Origin.USER
    return Radiograph(
        pixels=pixels.astype(np.float32),
        spacing=Sourced((1.15, 1.15), user),
        sid=Sourced(1150.0, user),
        sod=Sourced(1000.0, user),
        view=Sourced(view, user),
        side=Sourced(side, user),
        orientation=Sourced(("L", "F"), user),
        inverted=Sourced(False, user),
    )


def test_left_knee_is_the_mirrored_right_knee(
    model: KneeModel, pictures: tuple[np.ndarray, np.ndarray]
):
    level = Level(4.0, 3.0, 16.0, 2, 0, 0, 10)
    registrar = Registrar(model, RegistrationSettings((level,)))
    contestant = RegisteredContestant(registrar, "mean knee")
    views = (View.AP, View.LATERAL)
    right, left = (
        contestant(
            *(radiograph(p[:, ::step], v, side) for p, v in zip(pictures, views, strict=True)),
            find_joint=False,
        )
        for side, step in ((Side.RIGHT, 1), (Side.LEFT, -1))
    )
    np.testing.assert_array_equal(left.labels, right.labels[..., ::-1])
    for bone in Bone:
        expected = right.surfaces[bone].vertices * (-1, 1, 1)
        np.testing.assert_allclose(left.surfaces[bone].vertices, expected, atol=0.02)
        assert left.surfaces[bone].volume > 0


def test_contestant_starts_near_the_true_bones(
    model: KneeModel, pictures: tuple[np.ndarray, np.ndarray]
):
    """Out of time at once, it gives back where it started."""
    registrar = Registrar(model, replace(QUICK, time_limit=0.0))
    films = [
        radiograph(p, v, Side.RIGHT) for p, v in zip(pictures, (View.AP, View.LATERAL), strict=True)
    ]
    motion = np.eye(4)
    motion[:3, 3] = (3.0, -2.0, 40.0)

    def lying(true: TrueKnee) -> dict[Bone, np.ndarray]:
        return {bone: true.motion for bone in Bone}

    known = Known(true=TrueKnee(Knee("k", "p", Side.RIGHT, {}), motion, 5))
    hand, again, far = (
        RegisteredContestant(registrar, start, lying)(*films, find_joint=False, known=known)
        for start in ("by hand", "by hand", "perturbed")
    )
    off = {
        id(found): np.stack(
            [
                found.surfaces[bone].vertices.mean(axis=0)
                - model.bones[bone].shape.mean.mean(axis=0)
                - motion[:3, 3]
                for bone in Bone
            ]
        )
        for found in (hand, again, far)
    }
    np.testing.assert_array_equal(off[id(hand)], off[id(again)])
    assert 0.5 < np.abs(off[id(hand)]).max() < 8.0  # 2 mm, standard deviation
    assert np.abs(off[id(far)]).max() > 5.0  # up to 10 mm
    with pytest.raises(XRayTo3DError, match="use --start mean-knee"):
        RegisteredContestant(registrar, "by hand", lying)(*films, find_joint=False)
    rivals = [RegisteredContestant(registrar, start) for start in STARTS]
    assert (
        len({rival.fingerprint for rival in rivals}) == len({rival.name for rival in rivals}) == 3
    )


def test_contestant_that_knows_who_is_measured_is_refused(model: KneeModel, tmp_path: Path):
    path = tmp_path / "model.npz"
    model.save(path)
    with pytest.raises(XRayTo3DError, match="learnt from berta"):
        registered_contestants(path, ["mean knee"], ["berta", "carla"])
    found = registered_contestants(path, ["by hand", "by hand", "mean knee"], ["carla"])
    assert [rival.start for rival in found] == ["by hand", "mean knee"]


def test_filled_shares_add_up_and_hold_the_volume(model: KneeModel):
    surfaces = {Bone.TIBIA: model.bones[Bone.TIBIA].shape.mean_surface}
    shares = filled(surfaces, VolumeGrid.cube(64, 128.0))
    np.testing.assert_allclose(shares.sum(axis=0), 1.0, atol=1e-6)
    assert shares[Bone.TIBIA].sum() * 8 == pytest.approx(surfaces[Bone.TIBIA].volume, rel=0.02)
    assert not shares[Bone.FEMUR].any()


def test_start_of_a_left_knee_is_read_mirrored(tmp_path: Path):
    matrix = np.eye(4)
    matrix[:3, :3] = 1.1 * Rotation.from_euler("y", 20, degrees=True).as_matrix()
    matrix[:3, 3] = (5.0, 6.0, 7.0)
    path = tmp_path / "start.json"
    path.write_text(json.dumps({"femur": matrix.tolist()}))
    np.testing.assert_allclose(read_start(path, Side.RIGHT)[Bone.FEMUR], matrix)
    point = np.array([3.0, 2.0, 1.0, 1.0])
    moved = read_start(path, Side.LEFT)[Bone.FEMUR] @ (point * (-1, 1, 1, 1))
    np.testing.assert_allclose(moved * (-1, 1, 1, 1), matrix @ point)
    np.testing.assert_array_equal(read_start(path, Side.LEFT)[Bone.TIBIA], np.eye(4))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "cannot be read"),
        ("no JSON", "is no start"),
        ('{"humerus": [[1]]}', "is no start"),
        ("[1]", "is no start"),
        ('{"femur": [[1, 0], [0, 1]]}', "matrix of the femur is not"),
        (json.dumps({"tibia": np.diag([1.0, 2.0, 1.0, 1.0]).tolist()}), "of the tibia is not"),
        (json.dumps({"tibia": np.diag([-1.0, 1.0, 1.0, 1.0]).tolist()}), "of the tibia is not"),
    ],
)
def test_bad_start_is_said(tmp_path: Path, content: str | None, sentence: str):
    path = tmp_path / "start.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputFileError, match=rf"^start\.json: .*{sentence}"):
        read_start(path, Side.RIGHT)


def test_starts_are_as_far_off_as_they_say():
    rng, middle = np.random.default_rng(0), np.array([1.0, 2.0, 30.0])
    hand = np.stack([BY_HAND.drawn(rng, middle) for _ in range(2000)])
    moved = hand[:, :3, :3] @ middle + hand[:, :3, 3] - middle
    np.testing.assert_allclose(moved.std(axis=0), 2.0, rtol=0.1)
    turns = Rotation.from_matrix(hand[:, :3, :3]).as_rotvec(degrees=True)
    np.testing.assert_allclose(turns.std(axis=0), 2.0, rtol=0.1)
    far = np.stack([PERTURBED.drawn(rng, middle) for _ in range(2000)])
    moved = far[:, :3, :3] @ middle + far[:, :3, 3] - middle
    sizes = np.cbrt(np.linalg.det(far[:, :3, :3]))
    assert 9.8 < np.abs(moved).max() <= 10.0
    assert 0.95 <= sizes.min() < 0.951 and 1.049 < sizes.max() <= 1.05


def test_table_counts_failures():
    def trial(assd: float, converged: bool) -> Trial:
        score = KneeScores("k", "p", "own", Bone.FEMUR, 0.9, assd, 2.0)
        return Trial("perturbed", "own", (score,), 3.0, converged)

    table = study_table([trial(1.0, True), trial(12.0, False), trial(np.inf, False)])
    cells = [cell.strip() for cell in table.splitlines()[2].split("|")[1:-1]]
    assert cells[:3] == ["perturbed", "own", "3"]
    assert cells[-3:-1] == ["67%", "33%"]


def test_command_writes_the_files_of_a_reconstruction(
    tmp_path: Path, model: KneeModel, pictures: tuple[np.ndarray, np.ndarray]
):
    model.save(tmp_path / "model.npz")
    for name, picture in zip(("ap", "lateral"), pictures, strict=True):
        grey = np.round(255 * picture / picture.max()).astype(np.uint8)
        Image.fromarray(grey).save(tmp_path / f"{name}.png")
    app = typer.Typer()
    app.command()(register)
    words = [str(tmp_path / "ap.png"), str(tmp_path / "lateral.png")]
    words += ["--model", str(tmp_path / "model.npz"), "-o", str(tmp_path / "out")]
    words += ["--side", "right", "--spacing", "1.15", "--sid", "1150", "--sod", "1000"]
    words += ["--time-limit", "3"]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))
    assert report["weights"]["name"] == "model"
    assert all((tmp_path / "out" / f"{bone.key}.stl").is_file() for bone in Bone)
    with pytest.raises(XRayTo3DError, match="exists; use --overwrite"):
        CliRunner().invoke(app, words, catch_exceptions=False)
