"""What a film shows, told from its picture: on simulated films of a person nobody trained with, on
the sample films, on a real film, and on pictures of anything but a knee.

XRAYTO3D_TEST_WEIGHTS may name other weights than those shipped.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from skimage import data

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.generator import KneeGenerator
from XRayTo3DLib.anatomy.knee import load_knees
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.radiograph import Origin, Radiograph, Side, Sourced, View
from XRayTo3DLib.imaging.reading import read_radiograph
from XRayTo3DLib.reconstruction.networks import NetworkSettings, ReconstructionNetwork
from XRayTo3DLib.reconstruction.recognition import (
    Appearance,
    Recognition,
    appearance_of,
    appearances_of,
    contradictions,
    recognise,
)
from XRayTo3DLib.reconstruction.recognition_features import (
    SHAPE_FEATURES,
    doubt,
    edges,
    shape_features,
)
from XRayTo3DLib.reconstruction.recognition_score import FEATURES, GROUPS, Scoring, feature_groups
from XRayTo3DLib.reconstruction.recognition_score import measured as measured_features
from XRayTo3DLib.reconstruction.result import ModelIdentity
from XRayTo3DLib.reconstruction.weights import Model, load_model
from XRayTo3DLib.resources import resource_path
from XRayTo3DLib.training.cases import FILM_SPACING, make_case
from XRayTo3DLib.training.dataset import films_of

STEP = 1.36
FLIPS = tuple(product((False, True), repeat=3))
"""Mirrored, upside down, inverted."""


@pytest.fixture(scope="module")
def model() -> Model:
    named = os.environ.get("XRAYTO3D_TEST_WEIGHTS")
    model = load_model(Path(named) if named else None)
    if not model.network.settings.silhouettes:
        pytest.skip(f"The weights {model.identity.name} estimate no silhouettes.")
    return model


def film(pixels: np.ndarray, view: View = View.AP, side: Side = Side.RIGHT) -> Radiograph:
    """A film of a known scale; nothing else is known of it."""
    letters = ("L" if view is View.AP else "P" if side is Side.RIGHT else "A", "F")
    spacing = FILM_SPACING * 256 / len(pixels) / 0.9  # a field of 174 mm at the isocentre
    return Radiograph(
        pixels=np.ascontiguousarray(pixels, dtype=np.float32),
        spacing=Sourced((spacing, spacing), Origin.HEADER),
        sid=Sourced(1000.0, Origin.HEADER),
        sod=Sourced(900.0, Origin.HEADER),
        view=Sourced(view, Origin.ASSUMED, "order of the films"),
        side=Sourced(side, Origin.ASSUMED, "nothing says which knee"),
        orientation=Sourced(letters, Origin.ASSUMED, "upright, seen from the tube"),
        inverted=Sourced(False, Origin.ASSUMED),
        path=Path("folder of someone") / "film.png",
    )


def spoilt(taken: Radiograph, mirrored: bool, upside_down: bool, inverted: bool) -> Radiograph:
    """The film with its picture flipped and its grey values turned over; nothing says so."""
    pixels = 1.0 - taken.pixels if inverted else taken.pixels
    pixels = pixels[::-1] if upside_down else pixels
    pixels = pixels[:, ::-1] if mirrored else pixels
    return replace(taken, pixels=np.ascontiguousarray(pixels))


def by_user(taken: Radiograph) -> Radiograph:
    """The user has said which knee it is."""
    return replace(taken, side=replace(taken.side, origin=Origin.USER))


def flags(found: Recognition) -> tuple[bool, bool, bool]:
    return found.mirrored, found.upside_down, found.inverted


# Simulated films of the person mc22, from whom the films' network did not learn, and on whose films
# nothing was fitted.


@pytest.fixture(scope="module")
def answers(model: Model, shared_bones: Path) -> list[tuple[View, tuple, Recognition]]:
    """View, what was done to the film, and what was recognised, of 32 films."""
    knees = [knee for knee in load_knees(shared_bones) if knee.name.startswith("mc22")]
    generator = KneeGenerator(knees)
    rng = np.random.default_rng(5)
    found = []
    for seed in range(8):
        case = make_case(generator(seed), seed)
        for again in range(2):
            films = films_of(case, [seed, again, 3], 0.7)
            for view, pixels in zip((View.AP, View.LATERAL), films, strict=True):
                done = FLIPS[int(rng.integers(len(FLIPS)))]
                # Taken for the other view, so that agreement with what is said cannot help.
                said = View.LATERAL if view is View.AP else View.AP
                spoilt_film = spoilt(by_user(film(pixels.numpy(), said)), *done)
                found.append((view, done, recognise(spoilt_film, model)))
    return found


def test_knees_are_knees(answers) -> None:
    assert np.mean([found.is_knee for _, _, found in answers]) >= 0.95


def test_the_view_is_told(answers) -> None:
    assert np.mean([found.view is view for view, _, found in answers]) >= 0.95


@pytest.mark.parametrize(("flag", "name"), list(enumerate(("mirrored", "upside_down", "inverted"))))
def test_flips_and_polarity_are_told(answers, flag: int, name: str) -> None:
    told = [getattr(found, name) is done[flag] for _, done, found in answers]
    assert np.mean(told) >= 0.95
    # Both answers occur, so that neither can be given without looking.
    assert {done[flag] for _, done, _ in answers} == {False, True}


def test_the_confidence_is_what_it_says(answers) -> None:
    """On sure answers there is next to no error, and most answers are sure."""
    sure = [
        (found, getattr(found, name) is done[flag])
        for _, done, found in answers
        for flag, name in enumerate(("mirrored", "upside_down", "inverted"))
        if found.is_knee and found.confidence[name] >= 0.9
    ]
    assert len(sure) >= 0.8 * 3 * len(answers)
    assert np.mean([right for _, right in sure]) >= 0.95
    for _, _, found in answers:
        assert all(0.0 <= value <= 1.0 for value in found.confidence.values())


# The sample films and a real one.


@pytest.fixture(scope="module")
def samples() -> dict[View, Radiograph]:
    folder = resource_path("SampleData")
    return {
        View.AP: read_radiograph(folder / "knee_ap.dcm"),
        View.LATERAL: read_radiograph(folder / "knee_lateral.dcm"),
    }


@pytest.mark.parametrize("view", [View.AP, View.LATERAL])
@pytest.mark.parametrize("done", FLIPS)
def test_what_was_done_to_a_sample_film_is_told(
    model: Model, samples: dict[View, Radiograph], view: View, done: tuple[bool, bool, bool]
) -> None:
    found = recognise(spoilt(by_user(samples[view]), *done), model)
    assert found.is_knee
    assert (found.view, found.side, flags(found)) == (view, Side.RIGHT, done)
    assert min(found.confidence.values()) > 0.7


def test_a_sample_film_contradicts_nothing(model: Model, samples: dict[View, Radiograph]) -> None:
    for taken in samples.values():
        assert contradictions(taken, recognise(taken, model)) == ()


def test_the_header_of_a_frontal_film_makes_its_picture_tell_the_side(
    model: Model, samples: dict[View, Radiograph]
) -> None:
    found = recognise(spoilt(samples[View.AP], True, False, False), model)
    assert (found.side, found.mirrored) == (Side.LEFT, False)


def test_the_header_of_a_lateral_film_leaves_the_side_open(
    model: Model, samples: dict[View, Radiograph]
) -> None:
    found = recognise(samples[View.LATERAL], model)
    assert (found.side, found.mirrored, found.confidence["side"]) == (None, False, 0.0)
    assert recognise(spoilt(samples[View.LATERAL], True, False, False), model).mirrored


def test_a_film_of_which_nothing_is_known_tells_its_side_even_after_half_a_turn(
    model: Model, samples: dict[View, Radiograph]
) -> None:
    for view, taken in samples.items():
        unknown = film(taken.pixels, view)
        for left, half_turn in product((False, True), repeat=2):
            found = recognise(spoilt(unknown, left is not half_turn, half_turn, False), model)
            assert found.side is (Side.LEFT if left else Side.RIGHT)
            assert (found.mirrored, found.upside_down) == (half_turn, half_turn)


def test_a_left_knee_that_is_said_to_be_one_is_not_mirrored(
    model: Model, samples: dict[View, Radiograph]
) -> None:
    pixels = samples[View.LATERAL].pixels[:, ::-1]
    found = recognise(by_user(film(pixels, View.LATERAL, Side.LEFT)), model)
    assert (found.side, flags(found)) == (Side.LEFT, (False, False, False))


@pytest.mark.parametrize("moved", [(-50, 0), (50, 0), (0, 40)])
def test_a_joint_off_the_middle_is_found(
    model: Model, samples: dict[View, Radiograph], moved: tuple[int, int]
) -> None:
    """The film is wider than the network's field, and the joint is elsewhere on it."""
    for view, taken in samples.items():
        shift = [round(mm / 0.25) for mm in moved]  # 0.25 mm between pixels at the isocentre
        margins = [(max(0, 2 * s), max(0, -2 * s)) for s in shift]
        pixels = np.pad(taken.pixels, margins, mode="edge")
        found = recognise(by_user(replace(taken, pixels=pixels)), model)
        assert found.is_knee
        assert (found.view, flags(found)) == (view, (False, False, False))


@pytest.mark.parametrize("factor", [0.75, 1.33])
def test_a_wrong_guess_at_the_scale_does_no_harm(
    model: Model, samples: dict[View, Radiograph], factor: float
) -> None:
    for view, taken in samples.items():
        row, column = taken.spacing.value
        guess = Sourced((row * factor, column * factor), Origin.ASSUMED)
        found = recognise(by_user(replace(taken, spacing=guess)), model)
        assert found.is_knee
        assert (found.view, flags(found)) == (view, (False, False, False))


@pytest.mark.parametrize("done", FLIPS[::2] + FLIPS[1:2])
def test_a_real_film_is_recognised(
    model: Model, shared_radiographs: Path, done: tuple[bool, bool, bool]
) -> None:
    taken = read_radiograph(
        shared_radiographs / "real_lateral_right_flexed.png", view=View.AP, side=Side.RIGHT
    )
    found = recognise(spoilt(taken, *done), model)
    assert found.is_knee
    assert (found.view, flags(found)) == (View.LATERAL, done)


# What is no knee.


def ball() -> np.ndarray:
    row, column = np.mgrid[-1:1:400j, -1:1:400j]
    return np.sqrt(np.maximum(0.25 - row**2 - column**2, 0))


def white_page() -> np.ndarray:
    page = np.ones((400, 300))
    page[0, 0] = 0.99  # a reader refuses a film without any contrast
    return page


PICTURES = {
    "white noise": lambda: np.random.default_rng(0).random((400, 400)),
    "blotches": lambda: gaussian_filter(np.random.default_rng(1).normal(size=(400, 400)), 25),
    "gradient": lambda: np.add.outer(np.linspace(0, 1, 400), np.linspace(0, 0.5, 300)),
    "white page": white_page,
    "ball": ball,
    "photographer": data.camera,
    "coins": data.coins,
    "text": data.page,
    "bricks": data.brick,
    "moon": data.moon,
    "head": data.shepp_logan_phantom,
    "horse": lambda: data.horse().astype(float),
}


SCALE_UNKNOWN = ("blotches", "ball", "photographer")
"""Also as films of which not even the scale is known, which are looked at in more places."""


@pytest.mark.parametrize(
    ("name", "origin"),
    [(name, Origin.HEADER) for name in PICTURES]
    + [(name, Origin.ASSUMED) for name in SCALE_UNKNOWN],
)
def test_a_picture_of_something_else_is_no_knee(model: Model, name: str, origin: Origin) -> None:
    pixels = np.asarray(PICTURES[name](), dtype=float)
    pixels = (pixels - pixels.min()) / np.ptp(pixels)
    taken = film(pixels)
    found = recognise(replace(taken, spacing=replace(taken.spacing, origin=origin)), model)
    assert not found.is_knee
    assert found.side is None
    assert found.confidence["is_knee"] > 0.5


@pytest.mark.parametrize("view", [View.AP, View.LATERAL])
def test_an_ankle_is_no_knee(model: Model, shared_radiographs: Path, view: View) -> None:
    name = "real_ankle_not_a_knee.dcm"
    taken = read_radiograph(shared_radiographs / name, view=view)
    found = recognise(taken, model)
    assert not found.is_knee


def test_weights_without_silhouettes_are_refused() -> None:
    settings = NetworkSettings(size=16, base=2, levels=2, film_base=2, film_features=2)
    bare = Model(ReconstructionNetwork(settings), ModelIdentity("bare", "", ""), {})
    with pytest.raises(XRayTo3DError, match="bare estimate no silhouettes"):
        recognise(film(ball()), bare)


# What is measured.


def drawn(shapes: dict[Bone, tuple[float, float, float, float]]) -> torch.Tensor:
    """Ellipses: middle (up, right) and half axes (up, right), mm from the picture's middle."""
    up, right = np.mgrid[63.5:-64.5:-1, -63.5:64.5:1] * STEP
    masks = np.zeros((1, 4, 128, 128))
    for bone, (y, x, height, width) in shapes.items():
        masks[0, bone - 1] = ((up - y) / height) ** 2 + ((right - x) / width) ** 2 <= 1
    return torch.from_numpy(masks)


def measured(silhouettes: torch.Tensor) -> dict[str, float]:
    values = shape_features(silhouettes, STEP)
    assert values.shape == (len(silhouettes), len(SHAPE_FEATURES))
    return dict(zip(SHAPE_FEATURES, values[0], strict=True))


def test_features_of_ellipses() -> None:
    knee = measured(
        drawn(
            {
                Bone.FEMUR: (30, 0, 28, 35),
                Bone.TIBIA: (-30, 0, 28, 35),
                Bone.PATELLA: (25, -40, 12, 20),
                Bone.FIBULA: (-30, 20, 20, 8),
            }
        )
    )
    assert knee["area of femur"] == pytest.approx(np.log(np.pi * 28 * 35 + 10), abs=0.02)
    assert knee["area of fibula"] == pytest.approx(np.log(np.pi * 20 * 8 + 10), abs=0.05)
    for bone in Bone:
        assert knee[f"solidity of {bone.key}"] == pytest.approx(1, abs=0.03)
    assert knee["patella sideways"] == pytest.approx(-40, abs=1.5)
    assert knee["patella up"] == pytest.approx(25, abs=1.5)
    assert knee["fibula sideways"] == pytest.approx(20, abs=1.5)
    assert knee["fibula up"] == pytest.approx(-30, abs=1.5)
    assert knee["fibula on tibia"] > 0.95
    assert 0 < knee["patella on femur"] < 0.7
    assert knee["parting"] == 0


def test_features_of_what_is_no_knee() -> None:
    upside_down = measured(drawn({Bone.FEMUR: (-30, 0, 28, 35), Bone.TIBIA: (30, 0, 28, 35)}))
    assert upside_down["parting"] == pytest.approx(0.5, abs=0.05)
    assert upside_down["area of patella"] == pytest.approx(np.log(10))
    pieces = drawn({Bone.FEMUR: (40, 40, 10, 10)}) + drawn({Bone.FEMUR: (40, -40, 10, 10)})
    assert measured(pieces)["solidity of femur"] < 0.3
    assert np.isfinite(shape_features(torch.zeros(3, 4, 128, 128), STEP)).all()


def test_doubt_is_that_of_the_probabilities() -> None:
    silhouettes = torch.zeros(1, 4, 8, 8)
    silhouettes[0, 0] = 1.0
    silhouettes[0, 1] = 0.5
    silhouettes[0, 2, :4] = 0.8
    assert doubt(silhouettes)[0] == pytest.approx([0.0, 0.5, 0.2, 1.0])


def test_an_edge_is_the_slope_at_the_outline_and_not_that_of_a_haze() -> None:
    knee = drawn({Bone.FEMUR: (30, 0, 28, 35), Bone.TIBIA: (-30, 0, 28, 35)})
    sharp = knee.amax(dim=1)
    row = torch.linspace(0, 1, 128, dtype=torch.float64)
    pictures = torch.cat([sharp, 0.5 * sharp, 1 - sharp, row.expand(1, 128, 128)])
    found = edges(knee.expand(4, -1, -1, -1), pictures, STEP)
    assert found.shape == (4, 2)
    slope = np.exp(found) - 0.002
    # A step of 1 rises over two pixels of central differences, less what the blur takes.
    assert np.all(slope[0] > 0.5 / (2 * STEP))
    assert np.all(slope[0] < 1 / STEP)
    assert slope[1] == pytest.approx(0.5 * slope[0], rel=1e-6)
    assert slope[2] == pytest.approx([0, 0])  # a negative
    assert np.all(slope[3] < 0.01 * slope[0])


def test_a_misfit_is_bounded_and_counted_by_group() -> None:
    scoring = Scoring(
        np.zeros((2, len(FEATURES))), np.ones((2, len(FEATURES))), np.ones(len(GROUPS)), -1.0
    )
    features = np.zeros((2, 1, len(FEATURES)))
    assert scoring.scores(features) == pytest.approx(np.zeros((2, 1)))
    features[1, 0, FEATURES.index("patella up")] = 100.0
    places = feature_groups()[:, GROUPS.index("place")] > 0
    assert places.sum() == 6
    assert scoring.misfits(features)[1, 0, GROUPS.index("place")] == pytest.approx(9 / 6)
    assert scoring.scores(features)[:, 0] == pytest.approx([0, -9 / 6])


def test_a_fibula_beside_the_picture_is_not_measured_and_does_not_count() -> None:
    bones = {Bone.FEMUR: (30, 0, 28, 35), Bone.TIBIA: (-30, 0, 28, 35)}
    whole, cut = (drawn({**bones, Bone.FIBULA: (-30, x, 20, 8)}) for x in (20, 85))
    pictures = torch.zeros(2, 128, 128, dtype=torch.float64)
    found = measured_features(torch.cat([whole, cut]), pictures, STEP)
    of_fibula = ["fibula" in name for name in FEATURES]
    assert np.isfinite(found[0]).all()
    assert np.isnan(found[1]).tolist() == of_fibula
    scoring = Scoring(
        np.zeros((2, len(FEATURES))), np.ones((2, len(FEATURES))), np.ones(len(GROUPS)), -1.0
    )
    features = np.zeros((2, 1, len(FEATURES)))
    features[0, 0, FEATURES.index("patella up")] = 3.0
    features[0, 0, FEATURES.index("fibula up")] = np.nan
    # One of the five places that are left.
    assert scoring.misfits(features)[0, 0, GROUPS.index("place")] == pytest.approx(9 / 5)


# What is made of the scores, and said.


def test_a_glance_tells_what_a_look_tells(model: Model, samples: dict[View, Radiograph]) -> None:
    pair = samples[View.AP], samples[View.LATERAL]
    for taken, seen in zip(pair, appearances_of(*pair, model), strict=True):
        assert seen.is_knee
        assert seen.way == appearance_of(taken, model).way
        assert seen.way == (taken.view.value is View.LATERAL, False, False, False)


def test_a_film_that_a_glance_does_not_confirm_is_looked_at(
    model: Model, samples: dict[View, Radiograph]
) -> None:
    frontal, lateral = samples[View.AP], spoilt(samples[View.LATERAL], True, True, True)
    first, second = appearances_of(frontal, lateral, model)
    assert first.way == (False, False, False, False)
    assert second.way == (True, True, True, True)


def test_probabilities_are_those_of_competing_ways() -> None:
    scores = np.full((2, 2, 2, 2), -20.0)
    scores[1, 0, 1, 0] = -1.0
    scores[1, 0, 1, 1] = -1.0 - np.log(3)  # three times less likely
    found = Appearance.of(scores, no_knee=-1.0)
    assert (found.lateral, found.inverted, found.upside_down, found.reversed) == (
        True,
        False,
        True,
        False,
    )
    assert found.knee == pytest.approx((1 + 1 / 3) / (2 + 1 / 3), abs=1e-6)
    assert found.sure_of_columns == pytest.approx(0.75, abs=1e-6)
    assert found.sure_of_view == pytest.approx(1, abs=1e-6)


NAMES = ("view", "side", "mirrored", "upside_down", "inverted", "is_knee")
AGREEING = Recognition(View.AP, Side.RIGHT, False, False, False, True, dict.fromkeys(NAMES, 0.99))


def doubtful(found: Recognition) -> Iterator[Recognition]:
    """The same, but for one confidence that is too low, each in turn."""
    for name in found.confidence:
        yield replace(found, confidence={**found.confidence, name: 0.6})


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"view": View.LATERAL}, ("an AP film", "order of the films", "lateral one")),
        ({"side": Side.LEFT}, ("a right knee (assumed: nothing", "a left one", "--side left")),
        ({"mirrored": True}, ("a right knee", "mirrored", "--flip-ap turns it")),
        ({"upside_down": True}, ("upright", "top to bottom")),
        ({"upside_down": True, "mirrored": True}, ("upright", "half a turn")),
        ({"inverted": True}, ("bone bright", "it looks dark there", "--ap-dark")),
    ],
)
def test_a_contradiction_names_both_opinions_once(changed: dict, words: tuple[str, ...]) -> None:
    taken = film(ball())
    found = replace(AGREEING, **changed)
    (sentence,) = contradictions(taken, found)
    assert sentence.startswith("film.png is taken as ")
    assert sentence.count(".") == 2  # that of the name and the full stop
    for word in words:
        assert word in sentence
    assert () in [contradictions(taken, unsure) for unsure in doubtful(found)]


def test_what_is_no_knee_is_said_however_unsure() -> None:
    for found in doubtful(replace(AGREEING, is_knee=False)):
        (sentence,) = contradictions(film(ball()), found)
        assert "a film of a knee" in sentence
        assert "does not look like one" in sentence


def test_agreement_is_not_mentioned() -> None:
    assert contradictions(film(ball()), AGREEING) == ()
    assert contradictions(film(ball()), replace(AGREEING, side=None)) == ()
    pa = replace(film(ball()), view=Sourced(View.PA, Origin.HEADER))
    assert contradictions(pa, replace(AGREEING, view=View.PA)) == ()


def test_several_contradictions_are_several_sentences() -> None:
    found = replace(AGREEING, side=Side.LEFT, inverted=True)
    assert len(contradictions(film(ball()), found)) == 2
