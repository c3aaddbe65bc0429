"""``xrayto3d train-style``: learn to translate radiographs into the style of DRRs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def train_style(
    radiographs: Annotated[Path, typer.Option(help="Folder of radiographs, frontal and lateral.")],
    drrs: Annotated[
        Path, typer.Option(help="Folder of DRRs, as 'xrayto3d style-films' makes them.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for checkpoint, log, sheets and weights.")
    ],
    method: Annotated[
        str,
        typer.Option(
            help="cyclegan corrects every pixel; curves bends tone curves and can move no edge."
        ),
    ] = "cyclegan",
    steps: Annotated[int, typer.Option(min=1, help="Steps of the optimiser.")] = 3000,
    crop: Annotated[
        int | None,
        typer.Option(
            help="Side of the squares that are learnt from, pixels of 0.68 mm, a multiple of 32 "
            "(default: 128 for cyclegan, 256 for curves)."
        ),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(help="Of the generators (default: 4e-4 for cyclegan, 1e-3 for curves)."),
    ] = None,
    anatomy: Annotated[
        float, typer.Option(min=0, help="Weight of the term that keeps edges where they are.")
    ] = 4.0,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Processor threads (default: all cores but one).")
    ] = None,
) -> None:
    """Learn a translation of style; the same command again goes on where a stopped run was.

    Writes checkpoint.pt, log.jsonl, samples_….png and, at the end, curves.png and
    weights.safetensors.
    """
    import os

    import torch

    from XRayTo3DLib.commands.training_progress import run_shown
    from XRayTo3DLib.run_folder import LOG
    from XRayTo3DLib.style.film_sets import describe_films, load_films
    from XRayTo3DLib.style.style_settings import settings_for
    from XRayTo3DLib.style.style_training import StyleTrainer, export_style
    from XRayTo3DLib.training.style_curves import write_style_curves

    settings = settings_for(method, crop, learning_rate, steps=steps, anatomy=anatomy, seed=seed)
    torch.set_num_threads(threads or max(1, (os.cpu_count() or 2) - 1))
    trainer = StyleTrainer(settings, load_films(radiographs), load_films(drrs), output)
    checkpoint = run_shown(
        trainer.run, settings.steps, lambda step: f"cycle {step.losses['cycle']:.3f}"
    )
    weights = output / "weights.safetensors"
    export_style(checkpoint, weights, describe_films(radiographs), describe_films(drrs))
    write_style_curves(output / LOG, output / "curves.png")
    typer.echo(f"Weights in {weights}")
