"""Shape models of families whose modes are known, and the file that holds one."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation
from spheres import unit_sphere

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.correspondence import Matcher, surface_gap
from XRayTo3DLib.anatomy.shape_model import MODEL_LICENCE, ShapeModel, learn
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.errors import InputFileError, XRayTo3DError

AXES = np.array([18.0, 24.0, 34.0])
# Four people whose first and second axis vary without correlation.
WIDTHS = 4.0 * np.array([1.0, 1.0, -1.0, -1.0])
DEPTHS = 2.0 * np.array([1.0, -1.0, 1.0, -1.0])
PEOPLE = ["anna", "berta", "carla", "dora"]


def ball() -> Surface:
    """The unit sphere, its points far from even: what is learnt must not depend on that."""
    return unit_sphere(40, 30)


@pytest.fixture(scope="module")
def unit() -> Surface:
    return ball()


@pytest.fixture(scope="module")
def family(unit: Surface) -> list[np.ndarray]:
    return [unit.vertices * (AXES + (w, d, 0.0)) for w, d in zip(WIDTHS, DEPTHS, strict=True)]


def learnt(shapes: list[np.ndarray], unit: Surface, people: list[str] = PEOPLE) -> ShapeModel:
    return learn(Bone.PATELLA, shapes, people, unit.faces, np.ones(len(unit.vertices), bool))


@pytest.fixture(scope="module")
def model(family: list[np.ndarray], unit: Surface) -> ShapeModel:
    return learnt(family, unit)


@pytest.fixture(scope="module")
def rough(model: ShapeModel) -> ShapeModel:
    """With a Gaussian process that is known."""
    return replace(model, smooth=((12.0, 0.75),))


def test_modes_of_ellipsoids_are_their_axes(model: ShapeModel, unit: Surface):
    """One standard deviation of a mode is that of its axis, with n − 1 for four people."""
    np.testing.assert_allclose(model.mean, unit.vertices * AXES, atol=1e-5)
    assert len(model.modes) == 2
    for axis, (mode, amount) in enumerate(zip(model.modes, (4.0, 2.0), strict=True)):
        expected = np.zeros_like(model.mean)
        expected[:, axis] = unit.vertices[:, axis] * amount * np.sqrt(4 / 3)
        np.testing.assert_allclose(mode, expected, atol=0.003)  # half precision
    variance = (model.modes**2).sum(axis=(1, 2))
    np.testing.assert_allclose(model.shares, variance / variance.sum(), atol=1e-4)


def test_pose_is_no_shape(model: ShapeModel, family: list[np.ndarray], unit: Surface):
    rng = np.random.default_rng(3)
    moved = []
    for shape in family:
        turn = Rotation.from_rotvec(rng.normal(0.0, 0.2, 3))
        moved.append(turn.apply(shape) + rng.normal(0.0, 5.0, 3))
    np.testing.assert_allclose(learnt(moved, unit).shares, model.shares, atol=1e-3)


def test_both_knees_of_a_person_count_as_one(
    model: ShapeModel, family: list[np.ndarray], unit: Surface
):
    doubled = learnt([*family, family[0]], unit, [*PEOPLE, PEOPLE[0]])
    np.testing.assert_allclose(doubled.mean, model.mean, atol=1e-5)
    np.testing.assert_allclose(doubled.shares[:2], model.shares, atol=1e-9)
    assert doubled.people == tuple(PEOPLE)


def test_mean_lies_where_the_bones_lie(family: list[np.ndarray], unit: Surface):
    place = np.array([3.0, 40.0, 25.0])
    np.testing.assert_allclose(
        learnt([shape + place for shape in family], unit).mean.mean(axis=0), place, atol=1e-5
    )


def test_mean_is_laid_on_a_frame(family: list[np.ndarray], unit: Surface):
    turn = Rotation.from_euler("z", 170, degrees=True)
    frame = turn.apply(family[0]) + (3.0, 40.0, 25.0)
    clear = np.ones(len(unit.vertices), bool)
    laid = learn(Bone.PATELLA, family, PEOPLE, unit.faces, clear, frame=frame).mean
    np.testing.assert_allclose(laid, turn.apply(unit.vertices * AXES) + (3, 40, 25), atol=1e-3)


def test_one_person_is_too_few(family: list[np.ndarray], unit: Surface):
    with pytest.raises(XRayTo3DError, match="patella of 1 person"):
        learnt(family[:2], unit, ["anna", "anna"])


@pytest.mark.parametrize(("length", "amplitude"), [(12.0, 0.6), (35.0, 1.5)])
def test_strength_of_what_modes_leave_is_found(unit: Surface, length: float, amplitude: float):
    """Oracle: fields drawn by the Cholesky factor of the full kernel, without their motion."""
    shape = unit.vertices * AXES * 1.6
    kernel = np.exp(-0.5 * cdist(shape, shape, "sqeuclidean") / length**2)
    factor = np.linalg.cholesky(kernel + 1e-8 * np.eye(len(shape)))
    rng = np.random.default_rng(4)
    shapes = [shape + amplitude * factor @ rng.normal(size=shape.shape) for _ in range(8)]
    model = learnt(shapes, unit, [str(number) for number in range(8)])
    truth = np.sqrt(np.mean([((still(each, shape) - shape) ** 2).mean() for each in shapes]))
    fields = [model.sample(rng, spread=0.0).vertices - model.mean for _ in range(50)]
    assert np.sqrt(np.mean(np.square(fields))) == pytest.approx(truth, rel=0.3)
    found = dict(model.smooth)
    assert (found[12.0] > 0.5 * amplitude) == (length == 12.0)


def still(shape: np.ndarray, other: np.ndarray) -> np.ndarray:
    """A shape laid rigidly on another (SciPy's alignment)."""
    turn, _ = Rotation.align_vectors(other - other.mean(axis=0), shape - shape.mean(axis=0))
    return turn.apply(shape - shape.mean(axis=0)) + other.mean(axis=0)


def test_no_coefficients_give_the_mean(rough: ShapeModel):
    for coefficients in (np.zeros(0), np.zeros(2), np.zeros(rough.coefficient_count)):
        np.testing.assert_array_equal(rough.reconstructed(coefficients).vertices, rough.mean)


def test_a_coefficient_moves_its_mode(rough: ShapeModel):
    shape = rough.reconstructed(np.array([0.0, -1.5]))
    np.testing.assert_allclose(shape.vertices, rough.mean - 1.5 * rough.modes[1])


def test_too_many_coefficients_are_refused(rough: ShapeModel):
    count = rough.coefficient_count
    with pytest.raises(XRayTo3DError, match=f"has {count} coefficients, not {count + 1}"):
        rough.reconstructed(np.zeros(count + 1))


def test_same_seed_same_sample(rough: ShapeModel):
    first, again, other = (rough.sample(np.random.default_rng(seed)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first.vertices, again.vertices)
    assert np.abs(first.vertices - other.vertices).max() > 0.5


def test_samples_vary_as_much_as_the_model_says(rough: ShapeModel):
    """Variance of modes and Gaussian process add up; the cut at 2.5 deviations takes a tenth."""
    rng = np.random.default_rng(7)
    samples = np.stack([rough.sample(rng).vertices for _ in range(400)])
    np.testing.assert_allclose(samples.mean(axis=0), rough.mean, atol=0.8)
    expected = (rough.modes**2).sum(axis=0) + 0.75**2
    assert samples.var(axis=0).mean() == pytest.approx(0.91 * expected.mean(), rel=0.1)


def test_smooth_displacement_moves_no_bone(rough: ShapeModel):
    rng = np.random.default_rng(8)
    for _ in range(5):
        shape = rough.sample(rng, spread=0.0).vertices
        assert 0.3 < np.abs(shape - rough.mean).max() < 5.0
        np.testing.assert_allclose((shape - rough.mean).mean(axis=0), 0.0, atol=1e-9)
        middle = rough.mean - rough.mean.mean(axis=0)
        turn, _ = Rotation.align_vectors(shape - shape.mean(axis=0), middle)
        assert np.degrees(turn.magnitude()) < 0.1


def test_factors_switch_parts_off(rough: ShapeModel):
    rng = np.random.default_rng(9)
    still = rough.sample(rng, spread=0.0, smooth=0.0)
    np.testing.assert_array_equal(still.vertices, rough.mean)
    ellipsoid = rough.sample(rng, smooth=0.0).vertices
    radius = np.linalg.lstsq(ellipsoid**2, np.ones(len(ellipsoid)), rcond=None)[0]
    np.testing.assert_allclose(ellipsoid**2 @ radius, 1.0, atol=1e-3)


@pytest.mark.parametrize(
    ("quick", "coefficients", "vertices"), [(False, 0.05, 0.4), (True, 0.3, 1.5)]
)
def test_fit_finds_shape_and_pose(
    model: ShapeModel, quick: bool, coefficients: float, vertices: float
):
    wanted = np.array([-1.2, 0.8])
    motion = np.eye(4)
    motion[:3, :3] = Rotation.from_euler("xyz", (6, -8, 5), degrees=True).as_matrix()
    motion[:3, 3] = (10.0, -4.0, 7.0)
    bone = model.reconstructed(wanted).transformed(motion)
    fit = model.fitted(bone, smooth=False, quick=quick)
    np.testing.assert_allclose(fit.coefficients, wanted, atol=coefficients)
    placed = model.reconstructed(fit.coefficients).transformed(fit.pose)
    assert np.abs(placed.vertices - bone.vertices).max() < vertices
    np.testing.assert_allclose(fit.pose[:3, :3] @ fit.pose[:3, :3].T, np.eye(3), atol=1e-9)


def test_fit_without_modes_only_moves(model: ShapeModel):
    bone = model.reconstructed(np.array([1.0, 1.0]))
    fit = model.fitted(bone, spread=False, smooth=False)
    np.testing.assert_array_equal(fit.coefficients, [0.0, 0.0])


def test_smooth_displacement_reaches_what_modes_cannot(rough: ShapeModel, unit: Surface):
    """A dent of 1.5 mm, which no ellipsoid has."""
    dent = 1.5 * np.exp(-0.5 * ((unit.vertices - (0.0, 1.0, 0.0)) ** 2).sum(axis=1) / 0.35**2)
    bone = Surface(rough.mean - dent[:, None] * unit.vertices, unit.faces)
    errors = []
    for smooth in (False, True):
        fit = rough.fitted(bone, smooth=smooth)
        placed = rough.reconstructed(fit.coefficients).transformed(fit.pose)
        errors.append(surface_gap(placed, Matcher(bone), rough.clear)[0])
    assert errors[1] < 0.4 * errors[0]


def test_file_gives_back_what_was_saved(rough: ShapeModel, tmp_path: Path):
    path = tmp_path / "patella.npz"
    rough.save(path)
    again = ShapeModel.load(path)
    np.testing.assert_array_equal(again.mean, rough.mean)
    np.testing.assert_array_equal(again.faces, rough.faces)
    np.testing.assert_array_equal(again.modes, rough.modes)
    assert again.smooth == rough.smooth
    np.testing.assert_array_equal(again.clear, rough.clear)
    assert (again.bone, again.people) == (Bone.PATELLA, tuple(PEOPLE))
    assert again.licence == MODEL_LICENCE == "CC BY-NC-SA 4.0"
    samples = [each.sample(np.random.default_rng(1)).vertices for each in (rough, again)]
    np.testing.assert_array_equal(*samples)
    with np.load(path, allow_pickle=False) as content:
        assert content["modes"].dtype == np.float16
        assert not any(content[name].dtype.hasobject for name in content.files)


class _Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return (open, (str(self.path), "w"))


def write_text(path: Path, trap: _Trap) -> None:
    path.write_text("no model", encoding="utf-8")


def write_pickle(path: Path, trap: _Trap) -> None:
    path.write_bytes(pickle.dumps(trap))


def write_pickled_array(path: Path, trap: _Trap) -> None:
    with path.open("wb") as file:
        np.savez(file, format=np.array([trap], dtype=object))


def write_single_array(path: Path, trap: _Trap) -> None:
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


def write_other_arrays(path: Path, trap: _Trap) -> None:
    np.savez(path, format=np.array("something else"), mean=np.zeros((3, 3)))


def write_nothing(path: Path, trap: _Trap) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize(
    "write",
    [
        write_text,
        write_pickle,
        write_pickled_array,
        write_single_array,
        write_other_arrays,
        write_nothing,
    ],
)
def test_other_files_are_refused_and_never_executed(write, tmp_path: Path):
    path, sprung = tmp_path / "patella.npz", tmp_path / "sprung"
    write(path, _Trap(sprung))
    with pytest.raises(InputFileError, match=r"^patella\.npz: is not a shape model .*\.$"):
        ShapeModel.load(path)
    assert not sprung.exists()


def test_arrays_that_do_not_fit_together_are_refused(rough: ShapeModel, tmp_path: Path):
    path = tmp_path / "patella.npz"
    replace(rough, modes=rough.modes[:, :-1]).save(path)
    with pytest.raises(InputFileError, match="not a shape model"):
        ShapeModel.load(path)


def test_missing_file_is_named(tmp_path: Path):
    with pytest.raises(InputFileError, match=r"^femur\.npz: does not exist"):
        ShapeModel.load(tmp_path / "femur.npz")
