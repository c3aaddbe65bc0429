"""What the vectors of ``xrayto3d embed`` tell of a knee, beside other vectors of the same film.

    python Testing/benchmarks/embedding_study.py BONES OUTPUT --flat WEIGHTS
        [--person lhdl --person vhf] [--knees 300] [--test-knees 80]

Knees with known flexion, size, arthritis and side are drawn from the bones of people who are not
held out and of those who are, and filmed. Linear probes (ridge regression; its strength by
cross-validation over people) learn from the films of the former and are measured on the latter.

WEIGHTS are of the same network trained in 2D only: ``xrayto3d train`` with ``steps=1`` learns
silhouettes and nothing of volumes. Writes OUTPUT/embedding.md; films are kept in OUTPUT as they are
made, so that a stopped run goes on.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
import typer
from scipy.stats import spearmanr

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from XRayTo3DLib.anatomy.bones import Bone  # noqa: E402
from XRayTo3DLib.anatomy.generator import KneeGenerator, KneeVariation  # noqa: E402
from XRayTo3DLib.anatomy.joint import JointPose, bend, joint_gaps  # noqa: E402
from XRayTo3DLib.anatomy.knee import Knee, condyle_box, load_knees, split_by_person  # noqa: E402
from XRayTo3DLib.anatomy.osteophytes import HIGHEST_GRADE, with_osteophytes  # noqa: E402
from XRayTo3DLib.reconstruction.embedding import embed_standard  # noqa: E402
from XRayTo3DLib.reconstruction.weights import load_model  # noqa: E402
from XRayTo3DLib.training.cases import make_case  # noqa: E402
from XRayTo3DLib.training.dataset import films_of  # noqa: E402

VALIDATION = "mc22"
FLEXION = (0.0, 40.0)
STRENGTHS = np.logspace(-3, 4, 15)
PIXELS = 32

Vectors = Callable[[torch.Tensor, bool], torch.Tensor]


@dataclass(frozen=True)
class Filmed:
    """A knee's films, ``(2, rows, columns)``, and what is known of it, and who it is of."""

    films: np.ndarray
    facts: np.ndarray
    person: str


def drawn(knees: list[Knee], seed: int) -> tuple[Knee, np.ndarray, str]:
    """A knee; flexion in degrees, width of its condyles in mm, grade, 1 for a left one."""
    rng = np.random.default_rng([seed, 23])
    base = knees[int(rng.integers(len(knees)))]
    knee = KneeGenerator([base], KneeVariation(flexion=0.0, arthritis=0.0, femur_swap=0.0))(seed)
    grade = int(rng.integers(HIGHEST_GRADE + 1)) if rng.random() < 0.7 else 0
    knee = with_osteophytes(knee, grade, rng)
    flexion = float(rng.uniform(*FLEXION))
    knee = bend(knee, JointPose(flexion=flexion), joint_gaps(knee))
    low, high = condyle_box(knee.surfaces[Bone.FEMUR].vertices)
    left = float(rng.random() < 0.5)
    return knee, np.array([flexion, high[0] - low[0], grade, left]), base.person


def filmed(knees: list[Knee], seed: int, folder: Path) -> Filmed:
    path = folder / f"knee_{seed:06d}.npz"
    if not path.is_file():
        knee, facts, person = drawn(knees, seed)
        films = films_of(make_case(knee, seed), [seed, 29], 0.7).numpy()
        if facts[-1]:
            films = films[..., ::-1]
        unfinished = path.with_suffix(".part")
        with unfinished.open("wb") as file:
            np.savez_compressed(
                file, films=films.astype(np.float16), facts=facts, person=np.array(person)
            )
        unfinished.replace(path)
    with np.load(path, allow_pickle=False) as file:
        return Filmed(file["films"].astype(np.float32), file["facts"], str(file["person"]))


def of_pixels(pictures: torch.Tensor, lateral: bool) -> torch.Tensor:
    return F.adaptive_avg_pool2d(pictures[:, None], PIXELS).flatten(1)


def of_weights(weights: Path | None) -> Vectors:
    model = load_model(weights)

    def vectors(pictures: torch.Tensor, lateral: bool) -> torch.Tensor:
        return torch.cat([embed_standard(part, lateral, model) for part in pictures.split(8)])

    return vectors


class Probe:
    """Ridge regression on standardised vectors, for several strengths at once."""

    def __init__(self, vectors: np.ndarray, facts: np.ndarray) -> None:
        self._mean, self._spread = vectors.mean(axis=0), vectors.std(axis=0) + 1e-6
        self._offset = facts.mean(axis=0)
        left, values, right = np.linalg.svd(self._standard(vectors), full_matrices=False)
        projected = left.T @ (facts - self._offset)
        self._slopes = [
            right.T @ (projected * (values / (values**2 + strength * len(vectors)))[:, None])
            for strength in STRENGTHS
        ]

    def _standard(self, vectors: np.ndarray) -> np.ndarray:
        return (vectors - self._mean) / self._spread

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        """``(strengths, N, facts)``."""
        standard = self._standard(vectors)
        return np.stack([standard @ slopes + self._offset for slopes in self._slopes])


def told(vectors: np.ndarray, known: list[Filmed], tested: np.ndarray) -> np.ndarray:
    """Facts ``(N, facts)`` of the vectors that are tested, each with its own best strength."""
    facts = np.stack([knee.facts for knee in known])
    people = np.array([knee.person for knee in known])
    wrong = np.zeros((len(STRENGTHS), facts.shape[1]))
    for person in np.unique(people):
        own = people == person
        guesses = Probe(vectors[~own], facts[~own])(vectors[own])
        wrong += ((guesses - facts[own]) ** 2).sum(axis=1)
    guesses = Probe(vectors, facts)(tested)
    return np.stack([guesses[best, :, k] for k, best in enumerate(wrong.argmin(axis=0))], axis=1)


def scores(guesses: np.ndarray, truth: np.ndarray) -> list[str]:
    error = np.abs(guesses - truth)
    cells = [f"{error[:, k].mean():.2f} ± {error[:, k].std():.2f}" for k in range(2)]
    cells.append(f"{spearmanr(guesses[:, 2], truth[:, 2]).statistic:.2f}")
    cells.append(f"{100 * np.mean((guesses[:, 3] > 0.5) == (truth[:, 3] > 0.5)):.0f} %")
    return cells


def main(
    bones: Path,
    output: Path,
    flat: Annotated[Path, typer.Option(help="Weights of the network trained in 2D only.")],
    person: Annotated[list[str] | None, typer.Option(help="Who is measured.")] = None,
    knees: Annotated[int, typer.Option(help="To learn from.")] = 300,
    test_knees: Annotated[int, typer.Option(help="To measure.")] = 80,
) -> None:
    """Draw, film, probe, and write the table."""
    tested = person or ["lhdl", "vhf"]
    rest, held_out = split_by_person(load_knees(bones), [*tested, VALIDATION])
    complete = [
        [k if k.side.value == "right" else k.mirrored() for k in group if k.is_complete]
        for group in (rest, [k for k in held_out if k.person in tested])
    ]
    output.mkdir(parents=True, exist_ok=True)
    known = [filmed(complete[0], seed, output) for seed in range(knees)]
    unseen = [filmed(complete[1], 500_000 + seed, output) for seed in range(test_knees)]
    truth = np.stack([knee.facts for knee in unseen])
    lines = ["| Film | Vector | Flexion, degrees | Width, mm | Grade, Spearman's ρ | Side |"]
    lines.append("| --- | --- | ---: | ---: | ---: | ---: |")
    constant = np.stack([knee.facts for knee in known]).mean(axis=0)
    sources: dict[str, Vectors] = {
        "3D-aware": of_weights(None),
        "2D only": of_weights(flat),
        f"{PIXELS}×{PIXELS} pixels": of_pixels,
    }
    for view, name in enumerate(("AP", "lateral")):
        pictures = [
            torch.from_numpy(np.stack([knee.films[view] for knee in group]))
            for group in (known, unseen)
        ]
        for source, vectors in sources.items():
            learned, measured = (vectors(part, bool(view)).numpy() for part in pictures)
            cells = scores(told(learned, known, measured), truth)
            lines.append(f"| {name} | {source} | {' | '.join(cells)} |")
    spread = np.abs(truth - constant).mean(axis=0)
    lines.append(
        f"| none | the mean of the others | {spread[0]:.2f} | {spread[1]:.2f} | – | 50 % |"
    )
    (output / "embedding.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    typer.run(main)
