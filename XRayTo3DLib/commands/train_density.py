"""``xrayto3d train-density``: a network of densities from a bank of cases."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def train_density(
    cases: Annotated[Path, typer.Option(help="Folder of cases of 'generate-density'.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for checkpoint, log, curves and weights.")
    ],
    validation: Annotated[
        Path | None, typer.Option(help="Folder of cases of people held out.")
    ] = None,
    films: Annotated[
        Path | None,
        typer.Option(help="Weights of a reconstruction whose films' network is used (shipped)."),
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 3000,
    batch: Annotated[int, typer.Option(min=1, help="Cases per step.")] = 1,
    learning_rate: Annotated[float, typer.Option(help="Of AdamW, at its highest.")] = 5e-3,
    film_strength: Annotated[
        float, typer.Option(min=0, max=1, help="Randomisation of the films: 0 gives plain DRRs.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    threads: Annotated[
        int | None, typer.Option(min=1, help="Processor threads (default: all cores but one).")
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, help="Processes that make films while the network learns.")
    ] = 1,
) -> None:
    """Train a network of densities; the same command again goes on where a stopped run was.

    Writes checkpoint.pt, log.jsonl, curves.png and, at the end, weights.safetensors.
    """
    import os

    import torch

    from XRayTo3DLib.commands.training_progress import run_shown
    from XRayTo3DLib.reconstruction.device import chosen_device
    from XRayTo3DLib.run_folder import LOG
    from XRayTo3DLib.training.bank import describe_bank, list_cases
    from XRayTo3DLib.training.density_settings import DensityTrainingSettings
    from XRayTo3DLib.training.density_training import (
        DensityTrainer,
        export_density_weights,
        write_density_curves,
    )

    settings = DensityTrainingSettings(
        steps=steps,
        batch=batch,
        learning_rate=learning_rate,
        film_strength=film_strength,
        seed=seed,
    )
    torch.set_num_threads(threads or max(1, (os.cpu_count() or 2) - 1))
    trainer = DensityTrainer(
        settings,
        list_cases(cases),
        list_cases(validation) if validation else [],
        output,
        chosen_device(device),
        workers,
        films,
    )
    checkpoint = run_shown(trainer.run, settings.steps, lambda step: f"loss {step.loss:.3f}")
    weights = output / "weights.safetensors"
    export_density_weights(checkpoint, weights, describe_bank(cases))
    write_density_curves(output / LOG, output / "curves.png")
    typer.echo(f"Weights in {weights}")
