"""Train the network that marks metal on films.

    python Testing/benchmarks/fit_metal.py CASES OUTPUT [--steps 2500]

CASES is a folder of training cases (``xrayto3d generate``) of people who are not held out. OUTPUT
gets the weights and a log. What the network finds is measured by cast_benchmark.py.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import torch
import typer

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from XRayTo3DLib.training.bank import list_cases  # noqa: E402
from XRayTo3DLib.training.metal_training import MetalTrainingSettings, train_metal  # noqa: E402


def main(
    cases: Annotated[Path, typer.Argument(help="Folder of training cases.")],
    output: Annotated[Path, typer.Argument(help="Folder for weights and log.")],
    steps: Annotated[int, typer.Option(help="Of the optimiser.")] = 2500,
    start: Annotated[Path | None, typer.Option(help="Weights to begin with.")] = None,
    presence: Annotated[float, typer.Option(help="Weight of the loss of whole films.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Of all that is random.")] = 0,
) -> None:
    """Train."""

    def report(step: int, loss: float, left: float) -> None:
        if step % 20 == 0:
            print(f"{step}/{steps}: loss {loss:.3f}, {left / 60:.0f} min left", flush=True)

    settings = MetalTrainingSettings(steps=steps, presence_weight=presence, seed=seed)
    print(train_metal(list_cases(cases), output, settings, start, report))


if __name__ == "__main__":
    torch.set_num_threads(1)
    typer.run(main)
