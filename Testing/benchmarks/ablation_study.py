"""What each part of the method is worth, and how it grows with data and resolution.

    python Testing/benchmarks/ablation_study.py BONES CASES OUTPUT
        [--person lhdl --person vhf] [--film-steps 150] [--steps 400] [--placements 2]
        [--only parts]

Small networks (64³ output of 2.4 mm, 8 channels) that differ in one thing each learn from the same
cases for the same number of steps, and are measured as ``xrayto3d evaluate`` measures. They are
far from what longer training and finer voxels reach: compare rows, not with other tables.

CASES are of ``xrayto3d generate``, made from BONES. Writes parts.md, data.md and resolution.md (one
of them with ``--only``) into OUTPUT; each network stays in a folder there, and a stopped study goes
on.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import typer

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from XRayTo3DLib.anatomy.generator import KneeGenerator  # noqa: E402
from XRayTo3DLib.anatomy.knee import Knee, load_knees, split_by_person  # noqa: E402
from XRayTo3DLib.evaluation.evaluate import EvaluationSettings, evaluate  # noqa: E402
from XRayTo3DLib.evaluation.filming import Simulator  # noqa: E402
from XRayTo3DLib.evaluation.tables import KneeScores, markdown, summarise  # noqa: E402
from XRayTo3DLib.run_folder import LOG  # noqa: E402
from XRayTo3DLib.training.bank import describe_bank, list_cases  # noqa: E402
from XRayTo3DLib.training.options import settings_from  # noqa: E402
from XRayTo3DLib.training.trainer import Trainer, export_weights  # noqa: E402

BASE = (
    "network.size=32",
    "network.base=8",
    "network.film_base=8",
    "network.film_features=4",
    "dice_weight=1",
    "ngcc_weight=0",
    "film_strength=0.7",
    "film_ramp=300",
    "validate_every=100000",
)
"""What all networks share, as of ``xrayto3d train --set``."""

Chosen = Callable[[list[Path]], list[Path]]
"""Which of the cases a network learns from."""


def all_of(cases: list[Path]) -> list[Path]:
    return cases


@dataclass(frozen=True)
class Variant:
    """A network that differs from the others in one thing."""

    name: str
    changes: tuple[str, ...] = ()
    preset: str = "encode"
    chosen: Chosen = all_of

    @property
    def folder(self) -> str:
        return "".join(letter if letter.isalnum() else "_" for letter in self.name.lower())


def ablations() -> list[Variant]:
    features = ("network.silhouettes=false", "film_steps=0")
    return [
        Variant("as shipped, but small"),
        Variant("no surface weighting", ("surface_strength=0",)),
        Variant("no Dice loss", ("dice_weight=0",)),
        Variant("NGCC loss, 0.05", ("ngcc_weight=0.05", "ngcc_start=100")),
        Variant("silhouettes not learnt first", ("film_steps=0",)),
        Variant("features without silhouettes", features),
        Variant("films back-projected", ("network.upscale=2",), "backproject"),
        Variant("films stacked (Kasten et al.)", ("network.upscale=2",), "paper"),
        Variant("one vector (Chen et al.)", ("network.upscale=2", "network.latent=192"), "chen"),
    ]


def amounts(bones: Path, bank: Path) -> list[Variant]:
    """Fewer cases of all knees; and as many cases of fewer knees."""
    knees, _ = split_by_person(load_knees(bones), describe_bank(bank)["held_out"])
    generator = KneeGenerator(knees)
    names = [knee.name for knee in knees if knee.is_complete]

    def first(count: int) -> Chosen:
        return lambda cases: cases[:count]

    def of_knees(count: int, each: int) -> Chosen:
        def chosen(cases: list[Path]) -> list[Path]:
            wanted = set(names[:count])
            seeds = {path: int(path.stem.split("_")[-1]) for path in cases}
            return [p for p in cases if generator.base_of(seeds[p]).name in wanted][:each]

        return chosen

    fewer = [
        Variant(f"{count} cases of all knees", chosen=first(count)) for count in (30, 100, 300)
    ]
    counts = sorted({1, 3, len(names)})
    return fewer + [
        Variant(f"100 cases of {count} of {len(names)} knees", chosen=of_knees(count, 100))
        for count in counts
    ]


def resolutions() -> list[Variant]:
    return [
        Variant(f"{2 * size}³ voxels", (f"network.size={size}",)) for size in (16, 24, 48, 64, 96)
    ]


def trained(variant: Variant, bank: Path, folder: Path, stages: tuple[str, ...]) -> Path:
    weights = folder / "weights.safetensors"
    if not weights.is_file():
        settings = settings_from(variant.preset, [*BASE, *stages, *variant.changes])
        cases = variant.chosen(list_cases(bank))
        trainer = Trainer(settings, cases, [], folder)
        export_weights(trainer.run(), weights, describe_bank(bank))
    return weights


def measured(weights: Path, knees: list[Knee], folder: Path, placements: int) -> list[KneeScores]:
    settings = EvaluationSettings(
        simulators=(Simulator.OWN,), placements=placements, weights=weights
    )
    return evaluate(knees, folder / "evaluation", settings)


def seconds_a_step(log: Path) -> float:
    """Of the second half of a run: by then nothing is made for the first time."""
    entries = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    later = entries[len(entries) // 2 :]
    return (later[-1]["elapsed"] - later[0]["elapsed"]) / (len(later) - 1)


def row(variant: Variant, scores: list[KneeScores], seconds: float) -> list[str]:
    summary = {entry.bone: entry for entry in summarise(scores)}
    bones = [summary[bone].dice.text(3) for bone in summary if bone is not None]
    mean = summary[None]
    return [variant.name, *bones, mean.dice.text(3), mean.assd.text(2), f"{seconds:.2f}"]


def main(
    bones: Path,
    cases: Path,
    output: Path,
    person: Annotated[list[str], typer.Option()] = ["lhdl", "vhf"],  # noqa: B006
    film_steps: int = 150,
    steps: int = 400,
    placements: int = 2,
    threads: int = 1,
    only: str = "",
) -> None:
    torch.set_num_threads(threads)
    _, held_out = split_by_person(load_knees(bones), person)
    groups = {
        "parts": ablations(),
        "data": amounts(bones, cases),
        "resolution": resolutions(),
    }
    output.mkdir(parents=True, exist_ok=True)
    head = ["", "Femur", "Tibia", "Patella", "Fibula", "Mean Dice", "ASSD mm", "s a step"]
    for title in [only] if only else groups:
        variants, lines = groups[title], [head]
        for variant in variants:
            started = time.monotonic()
            folder = output / variant.folder
            stages = (f"film_steps={film_steps}", f"steps={steps}")
            weights = trained(variant, cases, folder, stages)
            scores = measured(weights, held_out, folder, placements)
            lines.append(row(variant, scores, seconds_a_step(folder / LOG)))
            typer.echo(f"{variant.name}: {lines[-1][5]} ({time.monotonic() - started:.0f} s)")
            (output / f"{title}.md").write_text(markdown(lines), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
