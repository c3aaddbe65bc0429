"""``xrayto3d train``: a network from a bank of cases."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def _list_settings(wanted: bool) -> None:
    if wanted:
        from XRayTo3DLib.training.options import setting_names

        typer.echo("\n".join(setting_names()))
        raise typer.Exit


def train(
    cases: Annotated[Path, typer.Option(help="Folder of training cases.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for checkpoint, log, curves and weights.")
    ],
    validation: Annotated[
        Path | None, typer.Option(help="Folder of cases of people held out.")
    ] = None,
    preset: Annotated[
        str, typer.Option(help="Network: paper (stacked films), chen, backproject or encode.")
    ] = "encode",
    start: Annotated[
        Path | None,
        typer.Option(
            help="Weights to begin with instead of random ones; of the same network, on voxels of "
            "any size."
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting, as in steps=2000 or network.base=16; repeatable."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    threads: Annotated[
        int | None, typer.Option(min=1, help="Processor threads (default: all cores but one).")
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, help="Processes that make films while the network learns.")
    ] = 1,
    list_settings: Annotated[
        bool,
        typer.Option(
            "--list-settings", callback=_list_settings, is_eager=True, help="Show every setting."
        ),
    ] = False,
) -> None:
    """Train a network; the same command again goes on where a stopped run was.

    Writes checkpoint.pt, log.jsonl, curves.png and, at the end, weights.safetensors.
    """
    import os

    import torch

    from XRayTo3DLib.commands.training_progress import run_shown
    from XRayTo3DLib.reconstruction.device import chosen_device
    from XRayTo3DLib.run_folder import LOG
    from XRayTo3DLib.training.bank import describe_bank, list_cases
    from XRayTo3DLib.training.curves import write_curves
    from XRayTo3DLib.training.options import settings_from
    from XRayTo3DLib.training.trainer import Trainer, export_weights

    settings = settings_from(preset, set_ or [])
    torch.set_num_threads(threads or max(1, (os.cpu_count() or 2) - 1))
    trainer = Trainer(
        settings,
        list_cases(cases),
        list_cases(validation) if validation else [],
        output,
        chosen_device(device),
        workers,
        start,
    )
    checkpoint = run_shown(trainer.run, settings.all_steps, lambda step: f"loss {step.loss:.3f}")
    weights = output / "weights.safetensors"
    export_weights(checkpoint, weights, describe_bank(cases))
    write_curves(output / LOG, output / "curves.png")
    typer.echo(f"Weights in {weights}")
