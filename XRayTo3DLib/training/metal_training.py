"""How the network that marks metal on films learns: fresh implants on fresh films at every step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.reconstruction.implant_network import (
    ImplantNetwork,
    ImplantSettings,
    save_implant_network,
)
from XRayTo3DLib.run_folder import RunFolder
from XRayTo3DLib.training.bank import describe_bank
from XRayTo3DLib.training.cases import Case
from XRayTo3DLib.training.metal_films import MetalSample, metal_sample
from XRayTo3DLib.training.trainer import schedule

WEIGHTS = "knee-metal.safetensors"
"""Name of the file that training writes."""

_POSITIVE = 3.0
"""How much more a pixel of metal counts than one of none, of which there are fifty times as many."""


@dataclass(frozen=True)
class MetalTrainingSettings:
    """How it is trained.

    Attributes:
        network: what is trained.
        steps: of the optimiser.
        cases: in each step; of each, both views are filmed.
        learning_rate: at its highest; falls to zero along half a cosine.
        warmup: steps until it is.
        weight_decay: of AdamW.
        share: of the films that show an implant.
        hard: share of the films at full randomisation; that of the others is drawn from 0.2 to 1.
        seed: of all that is random.
        save_every: steps.
    """

    network: ImplantSettings = field(default_factory=ImplantSettings)
    steps: int = 1500
    cases: int = 4
    learning_rate: float = 4e-3
    warmup: int = 50
    weight_decay: float = 1e-4
    share: float = 0.55
    hard: float = 0.75
    seed: int = 0
    save_every: int = 100


def films_with_metal(
    path: Path, seed: list[int], strength: float, share: float, moved: bool = True
) -> list[MetalSample]:
    """Both views of a case, filmed as :func:`metal_sample` does."""
    case = Case.load(path)
    fine = case.paths.shape[-1] // case.silhouettes.shape[-1]
    samples = []
    for lateral in (False, True):
        bones = case.silhouettes[int(lateral)].repeat(fine, axis=1).repeat(fine, axis=2)
        paths = case.paths[int(lateral)]
        samples.append(
            metal_sample(paths, bones, lateral, [*seed, int(lateral)], strength, share, moved)
        )
    return samples


def batches(
    cases: list[Path], settings: MetalTrainingSettings
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Films, metal and weights of each step, each ``(2 · cases, 1, rows, columns)``."""
    for step in range(settings.steps):
        rng = np.random.default_rng([settings.seed, 1, step])
        samples: list[MetalSample] = []
        for place in rng.choice(len(cases), settings.cases, replace=len(cases) < settings.cases):
            hard = rng.random() < settings.hard
            strength = 1.0 if hard else float(rng.uniform(0.2, 1.0))
            seed = [settings.seed, 2, step, len(samples)]
            samples += films_with_metal(cases[place], seed, strength, settings.share)
        yield (
            torch.stack([sample.film for sample in samples]),
            torch.stack([sample.metal for sample in samples]),
            torch.stack([sample.counts for sample in samples]),
        )


def metal_loss(logits: Tensor, metal: Tensor, counts: Tensor) -> Tensor:
    """Cross-entropy plus 1 - Dice, over the whole batch; all of one shape.

    Args:
        logits: of metal.
        metal: 0–1, the truth.
        counts: 0–1, by how much each pixel counts.
    """
    heavier = counts * (1.0 + (_POSITIVE - 1.0) * metal)
    entropy = F.binary_cross_entropy_with_logits(logits, metal, heavier, reduction="sum")
    found = logits.sigmoid() * counts
    shared = (found * metal).sum()
    dice = (2.0 * shared + 1.0) / (found.sum() + (metal * counts).sum() + 1.0)
    return entropy / counts.sum().clamp_min(1.0) + 1.0 - dice


def train_metal(
    cases: list[Path],
    folder: Path,
    settings: MetalTrainingSettings,
    report: Callable[[int, float, float], None] | None = None,
) -> Path:
    """Train; returns the file of the weights.

    Args:
        cases: files of training cases.
        folder: for the log and the weights.
        settings: of the training.
        report: called with the step, the loss and the seconds left, after each step.

    Raises:
        XRayTo3DError: the loss is no number any more.
    """
    run, started = RunFolder(folder), time.monotonic()
    torch.manual_seed(settings.seed)
    network = ImplantNetwork(settings.network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=settings.weight_decay)
    for step, (films, metal, counts) in enumerate(batches(cases, settings)):
        network.train()
        for group in optimiser.param_groups:
            group["lr"] = settings.learning_rate * schedule(step, settings.warmup, settings.steps)
        loss = metal_loss(network(films), metal, counts)
        if not torch.isfinite(loss):
            raise XRayTo3DError(
                f"The loss is {float(loss.detach())} at step {step}; use a smaller learning rate."
            )
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        done, elapsed = step + 1, time.monotonic() - started
        run.log({"step": done, "loss": float(loss.detach()), "elapsed": elapsed})
        if done % settings.save_every == 0 or done == settings.steps:
            save_implant_network(network, folder / WEIGHTS, _card(cases, settings, done))
        if report:
            report(done, float(loss.detach()), elapsed / done * (settings.steps - done))
    return folder / WEIGHTS


def _card(cases: list[Path], settings: MetalTrainingSettings, steps: int) -> dict[str, Any]:
    bank = describe_bank(cases[0].parent)
    return {
        "settings": asdict(settings),
        "steps": steps,
        "cases": len(cases),
        "knees": bank.get("knees", []),
        "held_out": bank.get("held_out", []),
    }
