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
    load_implant_network,
    save_implant_network,
)
from XRayTo3DLib.reconstruction.weights import with_fast_layout
from XRayTo3DLib.run_folder import RunFolder
from XRayTo3DLib.training.bank import describe_bank
from XRayTo3DLib.training.cases import Case
from XRayTo3DLib.training.metal_films import MetalSample, metal_sample
from XRayTo3DLib.training.trainer import schedule

WEIGHTS = "knee-metal.safetensors"
"""Name of the file that training writes."""

_POSITIVE = 3.0
"""How much more a pixel of metal counts than another, of which there are fifty times as many."""

_PIECE = 80
"""Pixels of the smallest piece of metal that matters: 37 mm²."""


@dataclass(frozen=True)
class MetalTrainingSettings:
    """How it is trained.

    Attributes:
        network: what is trained.
        steps: of the optimiser.
        batch: films of each step.
        cases: that are filmed anew in each step, in both views.
        pool: films that are kept to be shown again.
        crop: pixels a side of what is shown of them.
        learning_rate: at its highest; falls to zero along half a cosine.
        warmup: steps until it is.
        weight_decay: of AdamW.
        presence_weight: of the loss of whether there is metal at all beside that of the pixels.
        share: of the films that show an implant.
        hard: share of the films at full randomisation; that of the others is drawn from 0.2 to 1.
        seed: of all that is random.
        save_every: steps.
    """

    network: ImplantSettings = field(default_factory=ImplantSettings)
    steps: int = 2500
    batch: int = 8
    cases: int = 1
    pool: int = 64
    crop: int = 192
    learning_rate: float = 3e-3
    warmup: int = 50
    weight_decay: float = 1e-4
    presence_weight: float = 1.0
    share: float = 0.55
    hard: float = 0.6
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


def batches(cases: list[Path], settings: MetalTrainingSettings) -> Iterator[Tensor]:
    """Squares of films (two channels), metal and weights of each step, ``(batch, 4, crop, crop)``.

    Filming takes longer than learning: films stay in a pool for a while and are shown more than
    once, other parts of them each time.
    """
    pool: list[MetalSample] = []
    for step in range(settings.steps):
        rng = np.random.default_rng([settings.seed, 1, step])
        count = settings.cases if pool else settings.batch
        for place in rng.integers(len(cases), size=count):
            hard = rng.random() < settings.hard
            strength = 1.0 if hard else float(rng.uniform(0.2, 1.0))
            seed = [settings.seed, 2, step, int(place), int(rng.integers(2**31))]
            pool += films_with_metal(cases[place], seed, strength, settings.share)
        pool = pool[-settings.pool :]
        newest = len(pool) - 2 * settings.cases  # which are always shown
        old = rng.permutation(newest)[: settings.batch - 2 * settings.cases]
        shown = [pool[place] for place in (*old, *range(newest, len(pool)))]
        yield torch.stack([_part(sample, settings.crop, rng) for sample in shown])


def _part(sample: MetalSample, size: int, rng: np.random.Generator) -> Tensor:
    """``(4, size, size)``: a square of film, metal and weights, as it is or mirrored."""
    whole = torch.cat([sample.film, sample.metal, sample.counts])
    top, left = (int(rng.integers(max(1, n - size + 1))) for n in whole.shape[-2:])
    part = whole[:, top : top + size, left : left + size]
    return part.flip(-1) if rng.random() < 0.5 else part


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


def presence_loss(logits: Tensor, metal: Tensor, counts: Tensor) -> Tensor:
    """Cross-entropy of whether there is metal at all, told by the pixels most like it.

    Few pixels on a few films decide about false alarms; the mean over all pixels hardly feels them.

    Args:
        logits: ``(B, 1, rows, columns)`` of metal.
        metal: the same shape, 0–1, the truth.
        counts: the same shape; pixels that count less than half are left out.
    """
    known = torch.where(counts > 0.5, logits, logits.new_tensor(-20.0)).flatten(1)
    likeliest = known.topk(_PIECE, dim=1).values.mean(dim=1)
    area = (metal * (counts > 0.5)).flatten(1).sum(dim=1)
    certain = ((area == 0) | (area >= _PIECE)).float()
    there = (area >= _PIECE).float()
    entropy = F.binary_cross_entropy_with_logits(likeliest, there, certain, reduction="sum")
    return entropy / certain.sum().clamp_min(1.0)


def train_metal(
    cases: list[Path],
    folder: Path,
    settings: MetalTrainingSettings,
    start: Path | None = None,
    report: Callable[[int, float, float], None] | None = None,
) -> Path:
    """Train; returns the file of the weights.

    Args:
        cases: files of training cases.
        folder: for the log and the weights.
        settings: of the training.
        start: weights to begin with instead of random ones.
        report: called with the step, the loss and the seconds left, after each step.

    Raises:
        XRayTo3DError: the loss is no number any more.
    """
    run, started = RunFolder(folder), time.monotonic()
    torch.manual_seed(settings.seed)
    network = with_fast_layout(ImplantNetwork(settings.network))
    if start is not None:
        network.load_state_dict(load_implant_network(start).network.state_dict())
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=settings.weight_decay)
    for step, batch in enumerate(batches(cases, settings)):
        network.train()
        for group in optimiser.param_groups:
            group["lr"] = settings.learning_rate * schedule(step, settings.warmup, settings.steps)
        truth = batch[:, 2:3], batch[:, 3:]
        logits = network(batch[:, :2])
        loss = metal_loss(logits, *truth)
        loss = loss + settings.presence_weight * presence_loss(logits, *truth)
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
