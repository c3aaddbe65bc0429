"""The benchmark's book-keeping, with contestants that know the answer, and its tables by hand."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import vtk

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.knee import Knee
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.errors import InputFileError, XRayTo3DError
from XRayTo3DLib.evaluation import benchmark as module
from XRayTo3DLib.evaluation.benchmark import BenchmarkSettings, Sitting, benchmark
from XRayTo3DLib.evaluation.benchmark_tables import accuracy_table, robustness_table
from XRayTo3DLib.evaluation.conditions import IDEAL, Condition, conditions_named
from XRayTo3DLib.evaluation.contestants import NetworkContestant, contestants_from
from XRayTo3DLib.evaluation.filming import Simulator, _radiograph
from XRayTo3DLib.evaluation.positioning import AS_STATED
from XRayTo3DLib.evaluation.score_book import BenchmarkRow, ScoreBook
from XRayTo3DLib.evaluation.tables import KneeScores
from XRayTo3DLib.imaging.geometry import BiplanarGeometry, geometry_of
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.radiograph import Side, View
from XRayTo3DLib.reconstruction.projected import silhouette
from XRayTo3DLib.resources import shipped_weights


@dataclass(frozen=True)
class Found:
    surfaces: dict
    grid: VolumeGrid
    geometry: BiplanarGeometry


@dataclass
class Knowing:
    """Gives the true bones, moved by some mm, and remembers what it was asked."""

    truth: dict
    name: str = "knowing"
    shift: float = 0.0
    asked: list = field(default_factory=list)

    @property
    def fingerprint(self) -> str:
        return f"knowing {self.shift}"

    def __call__(self, frontal, lateral, *, find_joint, known):
        self.asked.append((frontal, lateral, find_joint))
        moved = {
            bone: surface.transformed(translation(self.shift))
            for bone, surface in self.truth.items()
        }
        return Found(moved, VolumeGrid.cube(60, 120.0), geometry_of(frontal, lateral))


def translation(shift: float) -> np.ndarray:
    matrix = np.eye(4)
    matrix[2, 3] = shift
    return matrix


@pytest.fixture(scope="module")
def knee() -> Knee:
    """Boxes instead of bones: scoring them takes no time."""
    boxes = {
        Bone.FEMUR: ((0, 0, 40), (60, 50, 60)),
        Bone.TIBIA: ((0, 0, -40), (60, 45, 60)),
        Bone.PATELLA: ((0, 40, 30), (30, 15, 30)),
        Bone.FIBULA: ((42, -15, -45), (14, 14, 50)),
    }
    surfaces = {bone: box(*placed) for bone, placed in boxes.items()}
    return Knee("toy_right", "toy", Side.RIGHT, surfaces)


def box(centre, lengths) -> Surface:
    source = vtk.vtkCubeSource()
    source.SetCenter(*centre)
    source.SetXLength(lengths[0])
    source.SetYLength(lengths[1])
    source.SetZLength(lengths[2])
    fine = vtk.vtkLinearSubdivisionFilter()
    triangles = vtk.vtkTriangleFilter()
    triangles.SetInputConnection(source.GetOutputPort())
    fine.SetInputConnection(triangles.GetOutputPort())
    fine.SetNumberOfSubdivisions(3)
    fine.Update()
    return Surface.from_vtk(fine.GetOutput())


@pytest.fixture(scope="module")
def sitting(knee: Knee) -> Sitting:
    return Sitting(knee, 0, 0, Simulator.OWN)


@pytest.fixture
def filmed(monkeypatch: pytest.MonkeyPatch) -> list:
    """Films that show silhouettes: those of the simulators take a minute each."""
    taken = []

    def quick(knee, geometry, simulator, seed, stated):
        taken.append(geometry)
        pictures = [
            sum(silhouette(s, view).astype(float) for s in knee.surfaces.values()) / 4
            for view in geometry.views
        ]
        return tuple(
            _radiograph(picture, stand, view, knee.side)
            for picture, stand, view in zip(
                pictures, stated.views, (View.AP, View.LATERAL), strict=True
            )
        )

    monkeypatch.setattr(module, "film_knee", quick)
    return taken


def settings(contestants, *names: str, placements: int = 1) -> BenchmarkSettings:
    conditions = conditions_named(list(names)) if names else (IDEAL,)
    return BenchmarkSettings(tuple(contestants), Simulator.OWN, conditions, placements, seed=0)


def test_the_truth_scores_full_marks_and_is_filmed_once_for_all_pictures(
    knee, sitting, filmed
) -> None:
    contestant = Knowing(sitting.truth(IDEAL).surfaces)
    told = []
    rows = benchmark(
        [knee],
        settings([contestant], "gamma 2", "8 bits", "lateral 20 mm higher"),
        progress=lambda *what: told.append(what),
    )
    assert len(filmed) == 2
    assert len(rows) == (2 + 3) * len(Bone)
    assert all(row.scores.dice == pytest.approx(1.0, abs=2e-3) for row in rows)
    assert [find_joint for _, _, find_joint in contestant.asked] == [False, False, False, True]
    assert told[-1] == (4, 4, "toy_right_0, lateral 20 mm higher, knowing")
    plain, curved = contestant.asked[0][0].pixels, contestant.asked[1][0].pixels
    assert curved == pytest.approx(plain**2, abs=1e-4)


def test_a_shift_costs_as_long_as_films_and_headers_agree(knee, sitting, filmed) -> None:
    contestant = Knowing(sitting.truth(IDEAL).surfaces, shift=3.0)
    rows = benchmark([knee], settings([contestant], "turned 5°"))
    means = {
        (row.condition, row.aligned): np.mean(
            [
                r.scores.dice
                for r in rows
                if (r.condition, r.aligned) == (row.condition, row.aligned)
            ]
        )
        for row in rows
    }
    assert set(means) == {("ideal", False), ("ideal", True), ("turned 5°", True)}
    assert means["ideal", False] < 0.96
    assert means["ideal", True] == pytest.approx(1.0, abs=0.01)
    assert means["turned 5°", True] == pytest.approx(1.0, abs=0.01)


def test_a_flexed_knee_is_filmed_from_the_side_alone(knee, filmed) -> None:
    sitting = Sitting(knee, 0, 0, Simulator.OWN)
    straight = sitting.films(IDEAL)
    bent = sitting.films(conditions_named(["flexed 20° more"])[1])
    assert bent[0] is straight[0]
    assert not np.array_equal(bent[1].pixels, straight[1].pixels)


def test_an_arthritic_knee_is_filmed_and_is_the_truth(knee, filmed) -> None:
    sitting = Sitting(knee, 0, 0, Simulator.OWN)
    ill = conditions_named(["arthritis grade 4"])[1]
    sound, worn = (sitting.truth(condition).surfaces for condition in (IDEAL, ill))
    assert not np.array_equal(worn[Bone.FEMUR].vertices, sound[Bone.FEMUR].vertices)
    assert not np.array_equal(sitting.films(ill)[0].pixels, sitting.films(IDEAL)[0].pixels)
    for condition, surfaces in ((IDEAL, sound), (ill, worn)):
        true = sitting.known(condition).true
        for bone in Bone:
            moved = true.knee.surfaces[bone].transformed(true.motion)
            assert moved.vertices == pytest.approx(surfaces[bone].vertices, abs=1e-6)
    again = Sitting(knee, 0, 0, Simulator.OWN).truth(ill).surfaces
    assert np.array_equal(again[Bone.FEMUR].vertices, worn[Bone.FEMUR].vertices)


def test_a_stopped_run_goes_on_where_it_was(knee, sitting, filmed, tmp_path) -> None:
    path = tmp_path / "new" / "scores.csv"

    def run(*names: str, shift: float = 0.0) -> tuple[list, list[BenchmarkRow]]:
        contestant = Knowing(sitting.truth(IDEAL).surfaces, shift=shift)
        rows = benchmark([knee], settings([contestant], *names), ScoreBook(path))
        return contestant.asked, rows

    asked, rows = run("gamma 2")
    assert len(asked) == 2
    assert run("gamma 2") == ([], rows)
    text = path.read_text(encoding="utf-8")
    path.write_text(text[:-3], encoding="utf-8")  # cut off in the middle of the last number
    asked, again = run("gamma 2")
    assert len(asked) == 1
    assert again == rows
    assert len(run("gamma 2", "8 bits")[0]) == 1
    before = len(path.read_text(encoding="utf-8").splitlines())
    asked, _ = run("gamma 2", shift=1.0)
    assert len(asked) == 2
    assert len(path.read_text(encoding="utf-8").splitlines()) == before + 3 * len(Bone)


def test_an_interrupted_run_keeps_what_it_had(knee, sitting, filmed, tmp_path) -> None:
    path = tmp_path / "scores.csv"

    def stop(done: int, total: int, what: str) -> None:
        if done == 2:
            raise KeyboardInterrupt

    contestant = Knowing(sitting.truth(IDEAL).surfaces)
    wanted = settings([contestant], "gamma 2", "8 bits")
    with pytest.raises(KeyboardInterrupt):
        benchmark([knee], wanted, ScoreBook(path), stop)
    assert len(contestant.asked) == 2
    benchmark([knee], wanted, ScoreBook(path))
    assert len(contestant.asked) == 3


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n", "not a table", "knee,person\n"])
def test_a_table_of_something_else_is_refused_and_left_alone(tmp_path, content: str) -> None:
    path = tmp_path / "scores.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputFileError, match=r"^scores\.csv: is not a table of scores"):
        ScoreBook(path)
    assert path.read_text(encoding="utf-8") == content


def test_a_knee_that_lacks_bones_is_refused(toy_knee) -> None:
    lone = Knee("lone", "lone", Side.RIGHT, {Bone.FEMUR: toy_knee[Bone.FEMUR]})
    with pytest.raises(XRayTo3DError, match="all four bones"):
        benchmark([lone], settings([]))


def row(condition: str, knee: str, dice: float, assd: float, aligned: bool = False) -> BenchmarkRow:
    scores = KneeScores(knee, "p", "own", Bone.FEMUR, dice, assd, 2.0)
    return BenchmarkRow("r", "net", condition, aligned, scores)


ROWS = [
    row("ideal", "a", 0.90, 1.0),
    row("ideal", "b", 0.94, 0.8),
    row("ideal", "a", 0.91, 0.9, aligned=True),
    row("ideal", "b", 0.97, 0.7, aligned=True),
    row("gamma 2", "a", 0.88, 1.1),
    row("gamma 2", "b", 0.90, 1.3),
    row("turned 5°", "a", 0.90, 1.0, aligned=True),
    row("turned 5°", "b", 0.93, 1.2, aligned=True),
]


def test_losses_are_differences_within_each_knee_and_of_one_kind() -> None:
    lines = robustness_table(ROWS).splitlines()
    # 0.90 - 0.88 = 0.02, 0.94 - 0.90 = 0.04: mean 0.03, deviation 0.02 / √2.
    assert "| gamma 2 | 0.890 ± 0.014 | 0.030 ± 0.014 | 1.20 ± 0.14 |" in lines
    # Aligned beside aligned: 0.91 - 0.90 = 0.01, 0.97 - 0.93 = 0.04.
    assert "| turned 5° \\* | 0.915 ± 0.021 | 0.025 ± 0.021 | 1.10 ± 0.14 |" in lines
    assert "| ideal | 0.920 ± 0.028 | – | 0.90 ± 0.14 |" in lines


def test_accuracy_is_of_ideal_films_as_they_are() -> None:
    lines = accuracy_table(ROWS).splitlines()
    cell = "0.920 ± 0.028, 0.90 ± 0.14, 2.00 ± 0.00"
    assert f"| net | own | 2 | {cell} | {cell} | 0 | 0 |" in lines


def test_what_was_missed_or_never_converged_is_counted() -> None:
    far = [row("ideal", "c", 0.1, 10.0), row("ideal", "d", 0.0, np.inf)]
    other = [replace(one, scores=replace(one.scores, film="gvxr")) for one in far]
    lines = accuracy_table([*ROWS, *far, *other]).splitlines()
    ends = [line.split(" | ")[1:3] + line.split(" | ")[-2:] for line in lines if "| net" in line]
    assert ends == [["own", "4", "1", "2 |"], ["gvxr", "2", "1", "2 |"]]


def test_networks_by_their_words() -> None:
    weights = shipped_weights()
    words = ["shipped", f"mine={weights}", weights.stem]
    found = contestants_from(words, ["nobody"], refine=True)
    names = ["shipped", "mine", weights.stem]
    assert [one.name for one in found] == [n for name in names for n in (name, f"{name}, refined")]
    assert found[0] == NetworkContestant("shipped")
    assert found[0].fingerprint == found[2].fingerprint == found[4].fingerprint
    assert found[0].fingerprint != found[1].fingerprint


@pytest.mark.parametrize(
    ("words", "people", "sentence"),
    [
        (["other"], [], "wants name="),
        (["shipped", "shipped"], [], "Two networks are called 'shipped'"),
        (["shipped"], ["jia"], "weights shipped were trained on .*jia"),
    ],
)
def test_networks_that_cannot_take_part(words, people, sentence: str) -> None:
    with pytest.raises(XRayTo3DError, match=sentence):
        contestants_from(words, people, refine=False)


def test_a_condition_of_pictures_leaves_the_positioning() -> None:
    assert Condition("of the picture").positioning == AS_STATED
