"""Fit how a film's view, flips and polarity are told (XRayTo3DLib/reconstruction/recognition_*).

    python Testing/benchmarks/fit_recognition.py BANK [--weights FILE] [--cases 60]

BANK is a folder of training cases (``xrayto3d generate``) of people who are not held out. Their
films are put out of place, tilted and scaled at random; what is no knee is noise, gradients,
stripes, ellipsoids, tubes as of other bones, shafts without a joint and knees lying on their side.
Of a knee the look is fitted that the present
numbers choose, so run it again until the numbers no longer move; of anything else all looks must
fail. It writes XRayTo3DLib/reconstruction/recognition_table.py.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
import typer
from scipy.ndimage import gaussian_filter
from scipy.optimize import minimize
from scipy.special import logsumexp

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from XRayTo3DLib.imaging.radiograph import (  # noqa: E402
    Origin,
    Radiograph,
    Side,
    Sourced,
    View,
)
from XRayTo3DLib.reconstruction import recognition_score, recognition_table  # noqa: E402
from XRayTo3DLib.reconstruction.recognition import KNEE  # noqa: E402
from XRayTo3DLib.reconstruction.recognition_looks import (  # noqa: E402
    WAY_PRIORS,
    Look,
    looks_at,
)
from XRayTo3DLib.reconstruction.recognition_score import FEATURES, GROUPS, Scoring  # noqa: E402
from XRayTo3DLib.reconstruction.weights import Model, load_model  # noqa: E402
from XRayTo3DLib.training.bank import list_cases  # noqa: E402
from XRayTo3DLib.training.cases import FILM_SIZE, FILM_SPACING, Case  # noqa: E402
from XRayTo3DLib.training.dataset import films_of  # noqa: E402

SID, SOD = 1000.0, 900.0
SMALLEST_SPREADS = {
    "area": 0.2,
    "solidity": 0.05,
    "place": 5.0,
    "overlap": 0.1,
    "parting": 0.02,
    "doubt": 0.03,
    "edge": 0.3,
}
"""Below these, a spread would mistake the simulation's tidiness for anatomy."""
RIDGE = 0.02
"""Pull of the weights towards 0: without it they grow beyond bounds where all films are told."""


def film_of(pixels: np.ndarray, scale_known: bool = True) -> Radiograph:
    """A film as the networks see it, on a detector that magnifies."""
    spacing = FILM_SPACING * SID / SOD
    origin = Origin.HEADER if scale_known else Origin.ASSUMED
    return Radiograph(
        pixels=np.ascontiguousarray(pixels, dtype=np.float32),
        spacing=Sourced((spacing, spacing), origin),
        sid=Sourced(SID, Origin.HEADER),
        sod=Sourced(SOD, Origin.HEADER),
        view=Sourced(View.AP, Origin.ASSUMED),
        side=Sourced(Side.RIGHT, Origin.ASSUMED),
        orientation=Sourced(("L", "F"), Origin.ASSUMED),
        inverted=Sourced(False, Origin.ASSUMED),
    )


def displaced(
    pixels: torch.Tensor, turn: float, scale: float, shift: tuple[float, float]
) -> np.ndarray:
    """A square film turned (degrees), scaled and shifted (mm down, right) about its middle."""
    cosine, sine = np.cos(np.radians(turn)) / scale, np.sin(np.radians(turn)) / scale
    down, right = (2 * mm / (FILM_SIZE * FILM_SPACING) for mm in shift)
    turned = np.array([[cosine, sine], [-sine, cosine]])
    matrix = np.column_stack([turned, -turned @ (right, down)])
    grid = F.affine_grid(torch.tensor(matrix[None]).float(), [1, 1, *pixels.shape], False)
    darkest = pixels.min()
    return (F.grid_sample((pixels - darkest)[None, None], grid, align_corners=False))[0, 0].numpy()


def knees(paths: list[Path], seed: int, strength: float) -> list[tuple[Radiograph, int]]:
    """Films out of place, each with 0 for a frontal and 1 for a lateral one."""
    made = []
    for number, path in enumerate(paths):
        rng = np.random.default_rng([seed, number])
        films = films_of(Case.load(path), [seed, number], strength)
        for view, pixels in enumerate(films):
            turn, scale = rng.uniform(-10, 10), np.exp(rng.uniform(-0.15, 0.15))
            shift = tuple(rng.uniform(-25, 25, 2))
            made.append((film_of(displaced(pixels, turn, scale, shift)), view))
    return made


def no_knees(paths: list[Path], count: int, seed: int) -> list[Radiograph]:
    """Pictures of anything else, kind by kind in turn."""
    rng = np.random.default_rng(seed)
    kinds = (noise, gradient, stripes, ellipsoids, tubes, tubes)
    pictures = [kinds[number % len(kinds)](rng) for number in range(count * 3 // 4)]
    while len(pictures) < count:
        path = paths[int(rng.integers(len(paths)))]
        film = films_of(Case.load(path), [seed, len(pictures)], 0.7)[int(rng.integers(2))]
        if len(pictures) % 2:
            pictures.append(np.rot90(film.numpy(), int(rng.choice([1, 3]))))
        else:  # far enough that the joint is beyond the picture
            towards = float(rng.choice([-1, 1]))
            pictures.append(displaced(film, 0.0, 2.5, (towards * 155.0, 0.0)))
    return [film_of(picture, number % 2 == 0) for number, picture in enumerate(pictures)]


def _axes() -> tuple[np.ndarray, np.ndarray]:
    row, column = np.mgrid[-1 : 1 : FILM_SIZE * 1j, -1 : 1 : FILM_SIZE * 1j]
    return row, column


def noise(rng: np.random.Generator) -> np.ndarray:
    """Grain of any coarseness."""
    width = float(np.exp(rng.uniform(np.log(0.3), np.log(40))))
    return gaussian_filter(rng.normal(size=(FILM_SIZE, FILM_SIZE)), width)


def gradient(rng: np.random.Generator) -> np.ndarray:
    """A slope in any direction, a little grainy."""
    row, column = _axes()
    angle = rng.uniform(0, 2 * np.pi)
    slope = np.cos(angle) * row + np.sin(angle) * column
    return slope + rng.uniform(0, 0.1) * rng.normal(size=slope.shape)


def stripes(rng: np.random.Generator) -> np.ndarray:
    """Stripes or a chequerboard."""
    row, column = _axes()
    first, second = (np.sin(axis * rng.uniform(2, 30)) for axis in (row, column))
    return first if rng.random() < 0.5 else np.sign(first * second)


def ellipsoids(rng: np.random.Generator) -> np.ndarray:
    """One to six ellipsoids of even density."""
    row, column = _axes()
    picture = np.zeros_like(row)
    for _ in range(int(rng.integers(1, 7))):
        (y, x), (height, width) = rng.uniform(-0.7, 0.7, 2), rng.uniform(0.1, 0.7, 2)
        depth = 1 - ((row - y) / height) ** 2 - ((column - x) / width) ** 2
        picture += rng.uniform(0.3, 1.0) * np.sqrt(np.maximum(depth, 0))
    return picture + 0.02 * rng.normal(size=picture.shape)


def tubes(rng: np.random.Generator) -> np.ndarray:
    """One to five long bones with marrow, in flesh: a forearm, a shin, a hand."""
    row, column = _axes()
    flesh = np.sqrt(np.maximum(1 - (column / rng.uniform(0.4, 0.9)) ** 2, 0))
    picture = rng.uniform(0.2, 1.0) * flesh
    for _ in range(int(rng.integers(1, 6))):
        radius, lean = rng.uniform(0.04, 0.25), rng.normal(0, 0.15)
        away = column - rng.uniform(-0.5, 0.5) - lean * row
        start, end = sorted(rng.uniform(-1.6, 1.6, 2))
        inside = (row > start) & (row < end)
        wall = rng.uniform(0.5, 0.9) * radius
        outer = np.sqrt(np.maximum(radius**2 - away**2, 0))
        inner = np.sqrt(np.maximum(wall**2 - away**2, 0))
        picture += inside * (outer - rng.uniform(0.3, 0.9) * inner) / radius
    return gaussian_filter(picture, 1.0) + 0.02 * rng.normal(size=picture.shape)


def fitted(positives: list[tuple[Look, int]], negatives: list[list[Look]]) -> Scoring:
    """Numbers that explain the best look at each knee, and all looks at everything else."""
    middles, spreads = [], []
    smallest = _smallest_spreads()
    for view in (0, 1):
        # Flips are counted from the film as it was made: the first way is the right one.
        right = np.array([look.features[view, 0] for look, seen in positives if seen == view])
        middles.append(np.nanmedian(right, axis=0))
        quartiles = np.nanpercentile(right, [25, 75], axis=0)
        spreads.append(np.maximum((quartiles[1] - quartiles[0]) / 1.349, smallest))
    start = Scoring(np.array(middles), np.array(spreads), np.ones(len(GROUPS)), 0.0)
    ways = np.array([_misfits(start, look) for look, _ in positives])
    wrong = [np.array([_misfits(start, look) for look in looks]) for looks in negatives]
    prior = np.array([_priors(look) for look, _ in positives])
    prior_of_wrong = [np.array([_priors(look) for look in looks]) for looks in negatives]
    right_way = np.array([8 * view for _, view in positives])

    def loss(numbers: np.ndarray) -> float:
        weights, no_knee = numbers[:-1], numbers[-1]
        scores = prior - ways @ weights
        chosen = scores[np.arange(len(scores)), right_way]
        told = chosen - logsumexp(_with(scores, no_knee), axis=1)
        refused = [
            (no_knee - logsumexp(_with(priors - misfits @ weights, no_knee), axis=1)).min()
            for misfits, priors in zip(wrong, prior_of_wrong, strict=True)
        ]
        return float(
            -(told.mean() + np.mean(refused)) + RIDGE * float(weights @ weights) / len(weights)
        )

    found = minimize(
        loss,
        np.append(np.ones(len(GROUPS)), -10.0),
        method="L-BFGS-B",
        bounds=[(0.0, None)] * len(GROUPS) + [(None, None)],
    )
    print(f"loss {found.fun:.4f}; weights {dict(zip(GROUPS, found.x, strict=False))}")
    return Scoring(start.middles, start.spreads, found.x[:-1], float(found.x[-1]))


def _misfits(scoring: Scoring, look: Look) -> np.ndarray:
    """``(16, groups)``."""
    return scoring.misfits(look.features).reshape(16, len(GROUPS))


def _priors(look: Look) -> np.ndarray:
    """``(16,)``."""
    return look.prior + WAY_PRIORS.ravel()


def _with(scores: np.ndarray, no_knee: float) -> np.ndarray:
    """``(N, 17)``: the ways and no knee."""
    return np.hstack([scores, np.full((len(scores), 1), no_knee)])


def _smallest_spreads() -> np.ndarray:
    belongs = recognition_score.feature_groups() > 0
    return np.array([SMALLEST_SPREADS[GROUPS[int(row.argmax())]] for row in belongs])


def written(scoring: Scoring, model: Model, positives: int, negatives: int) -> str:
    """The module that holds the numbers."""
    lines = [
        '"""What silhouettes of a knee measure, and how much each kind of misfit counts.',
        "",
        f"Written by Testing/benchmarks/fit_recognition.py with the weights {model.identity.name}, "
        f"from {positives}",
        f"simulated films of training people and {negatives} pictures of anything but knees.",
        '"""',
        "",
        "from __future__ import annotations",
        "",
        "import numpy as np",
        "",
        "from XRayTo3DLib.reconstruction.recognition_score import FEATURES, GROUPS, Scoring",
        "",
        "_FEATURES = {",
        "    # feature: middle and spread on a frontal film, middle and spread on a lateral one",
    ]
    for index, name in enumerate(FEATURES):
        four = (scoring.middles[0], scoring.spreads[0], scoring.middles[1], scoring.spreads[1])
        lines.append(f'    "{name}": ({", ".join(f"{part[index]:.4g}" for part in four)}),')
    lines += ["}", "", "_WEIGHTS = {"]
    lines += [
        f'    "{name}": {weight:.4g},' for name, weight in zip(GROUPS, scoring.weights, strict=True)
    ]
    lines += [
        "}",
        "",
        "_TABLE = np.array([_FEATURES[name] for name in FEATURES], dtype=float)",
        "",
        "SHIPPED = Scoring(",
        "    middles=_TABLE[:, [0, 2]].T,",
        "    spreads=_TABLE[:, [1, 3]].T,",
        "    weights=np.array([_WEIGHTS[name] for name in GROUPS]),",
        f"    no_knee={scoring.no_knee:.4g},",
        ")",
        "",
    ]
    return "\n".join(lines)


def main(
    bank: Annotated[Path, typer.Argument(help="Folder of training cases.")],
    weights: Annotated[Path | None, typer.Option(help="Weights other than those shipped.")] = None,
    cases: Annotated[int, typer.Option(help="How many cases to film.")] = 60,
    others: Annotated[int, typer.Option(help="How many pictures of no knee.")] = 100,
    strength: Annotated[float, typer.Option(help="Of the films' randomisation, 0-1.")] = 0.85,
    seed: Annotated[int, typer.Option(help="Of all chance.")] = 0,
) -> None:
    """Film, look, fit, write."""
    model = load_model(weights)
    paths = list_cases(bank)
    paths = paths[:: max(1, len(paths) // cases)][:cases]
    now = recognition_table.SHIPPED

    def looks(film: Radiograph) -> list[Look]:
        return list(looks_at(film, model, now, thorough=True))

    positives = [
        (max(looks(film), key=lambda look: look.knee), view)
        for film, view in knees(paths, seed, strength)
    ]
    negatives = [looks(film) for film in no_knees(paths, others, seed + 1)]
    told = [look.scores.argmax() == 8 * view and look.knee > KNEE for look, view in positives]
    refused = [all(look.knee < KNEE for look in each) for each in negatives]
    print(f"before: {np.mean(told):.3f} of knees told, {np.mean(refused):.3f} of others refused")
    scoring = fitted(positives, negatives)
    text = written(scoring, model, len(positives), len(negatives))
    Path(recognition_table.__file__).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
