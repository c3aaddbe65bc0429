"""The training loop: seeded, resumable, with a moving average, a log and validation."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.knee import person_of
from XRayTo3DLib.errors import InputFileError, XRayTo3DError
from XRayTo3DLib.reconstruction.losses import reprojection_loss, surface_weighted_cross_entropy
from XRayTo3DLib.reconstruction.networks import ReconstructionNetwork
from XRayTo3DLib.reconstruction.weights import save_weights, with_fast_layout
from XRayTo3DLib.training.cases import Case
from XRayTo3DLib.training.dataset import Sample, TrainingSet, collate, films_of, truth_on
from XRayTo3DLib.training.settings import TrainingSettings

CHECKPOINT = "checkpoint.pt"
LOG = "log.jsonl"


@dataclass(frozen=True)
class Step:
    """What a training run reports after each step."""

    step: int
    steps: int
    loss: float
    seconds_left: float
    validation: dict[str, float] | None = None


class Trainer:
    """Trains one network from a bank of cases.

    Args:
        settings: of the training.
        cases: files of the training cases.
        validation: files of cases of people held out.
        folder: for log and checkpoint; an unfinished run in it is continued.
        device: to train on.
        workers: processes that prepare samples.

    Raises:
        XRayTo3DError: the folder holds a run with other settings.
    """

    def __init__(
        self,
        settings: TrainingSettings,
        cases: list[Path],
        validation: list[Path],
        folder: Path,
        device: torch.device | None = None,
        workers: int = 1,
    ) -> None:
        self._settings, self._cases, self._validation = settings, cases, validation
        self._folder, self._workers = folder, workers
        self._device = device or chosen_device("auto")
        folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(settings.seed)
        self._network = with_fast_layout(ReconstructionNetwork(settings.network)).to(self._device)
        self._average = with_fast_layout(ReconstructionNetwork(settings.network)).to(self._device)
        self._average.load_state_dict(self._network.state_dict())
        self._average.requires_grad_(False)
        self._optimiser = torch.optim.AdamW(
            self._network.parameters(),
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
        )
        self._done = 0
        if (folder / CHECKPOINT).is_file():
            self._resume(folder / CHECKPOINT)

    def run(self, report: Callable[[Step], None] | None = None) -> Path:
        """Train to the end (or on, after a stop); returns the checkpoint."""
        settings = self._settings
        total = settings.steps * settings.batch
        samples = TrainingSet(
            self._cases, settings.network, total, settings.seed, settings.film_strength
        )
        rest = Subset(samples, range(self._done * settings.batch, total))
        loader = DataLoader(rest, settings.batch, num_workers=self._workers, collate_fn=collate)
        try:
            self._learn(loader, report)
        except KeyboardInterrupt:
            self._save()
            raise
        return self._folder / CHECKPOINT

    def _learn(self, loader: DataLoader[Sample], report: Callable[[Step], None] | None) -> None:
        settings = self._settings
        started, first = time.monotonic(), self._done
        for sample in loader:
            losses = self._step(sample.to(self._device))
            self._done += 1
            validation = None
            if self._done % settings.validate_every == 0 or self._done == settings.steps:
                validation = self.validate()
            elapsed = time.monotonic() - started
            left = elapsed / (self._done - first) * (settings.steps - self._done)
            self._log({"step": self._done, **losses, **(validation or {}), "elapsed": elapsed})
            if self._done % settings.checkpoint_every == 0 or self._done == settings.steps:
                self._save()
            if report:
                report(Step(self._done, settings.steps, losses["loss"], left, validation))

    def _step(self, sample: Sample) -> dict[str, float]:
        settings, device = self._settings, self._device
        self._network.train()
        for group in self._optimiser.param_groups:
            group["lr"] = settings.learning_rate * schedule(self._done, settings)
        reduced = settings.precision == "bfloat16"
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=reduced):
            scores = self._network(sample.films, sample.matrices)
        scores = scores.float()
        grid = settings.network.output_grid
        loss = entropy = surface_weighted_cross_entropy(
            scores,
            sample.nearest,
            sample.depth,
            grid.spacing,
            settings.surface_strength,
            settings.surface_width,
        )
        parts = {"cross_entropy": float(entropy.detach())}
        if settings.ngcc_weight > 0 and self._done >= settings.ngcc_start:
            projected = reprojection_loss(scores, sample.films, sample.matrices, grid)
            loss = entropy + settings.ngcc_weight * projected
            parts["reprojection"] = float(projected.detach())
        if not torch.isfinite(loss):
            raise XRayTo3DError(
                f"The loss is {float(loss)} at step {self._done}; "
                "use a smaller --set learning_rate=…"
            )
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self._network.parameters(), settings.clip)
        self._optimiser.step()
        self._update_average()
        return {"loss": float(loss.detach()), **parts}

    def _update_average(self) -> None:
        # Early on a long memory would hold the random start.
        decay = min(self._settings.ema, (1 + self._done) / (10 + self._done))
        with torch.no_grad():
            for mean, now in zip(
                self._average.parameters(), self._network.parameters(), strict=True
            ):
                mean.lerp_(now, 1.0 - decay)

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Mean Dice per bone of the averaged network, one fixed film of each validation case."""
        network = self._average.eval()
        settings = self._settings
        scores = []
        for number, path in enumerate(self._validation):
            case = Case.load(path)
            films = films_of(case, [settings.seed, 3, number], settings.film_strength)
            matrices = torch.from_numpy(case.matrices)
            output = network(films[None].to(self._device), matrices[None].to(self._device))
            nearest, depth = truth_on(case, settings.network.size * settings.network.upscale)
            truth = torch.where(depth > 0, nearest, 0)
            scores.append(_dice(output[0].argmax(0).cpu(), truth))
        if not scores:
            return {}
        mean = torch.stack(scores).nanmean(dim=0)
        return {f"dice_{bone.key}": float(mean[bone - 1]) for bone in Bone}

    def _log(self, entry: dict[str, Any]) -> None:
        with (self._folder / LOG).open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def _save(self) -> None:
        state = {
            "settings": self._settings.as_dict(),
            "step": self._done,
            "cases": len(self._cases),
            "network": self._network.state_dict(),
            "average": self._average.state_dict(),
            "optimiser": self._optimiser.state_dict(),
        }
        unfinished = self._folder / f"{CHECKPOINT}.part"
        torch.save(state, unfinished)
        unfinished.replace(self._folder / CHECKPOINT)

    def _resume(self, path: Path) -> None:
        state = load_checkpoint(path)
        if TrainingSettings.from_dict(state["settings"]) != self._settings:
            raise XRayTo3DError(
                f"{self._folder.name} holds a run with other settings; name another folder."
            )
        self._network.load_state_dict(state["network"])
        self._average.load_state_dict(state["average"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._done = state["step"]


def schedule(step: int, settings: TrainingSettings) -> float:
    """Share of the highest learning rate at a step: linear warm-up, then half a cosine."""
    if step < settings.warmup:
        return (step + 1) / settings.warmup
    progress = (step - settings.warmup) / max(1, settings.steps - settings.warmup)
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))


def chosen_device(name: str) -> torch.device:
    """``auto``, ``cpu`` or ``cuda`` as a device.

    Raises:
        XRayTo3DError: another name, or a GPU that is not there.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise XRayTo3DError(f"--device is auto, cpu or cuda, not {name!r}.")
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise XRayTo3DError("There is no GPU that PyTorch can use; take --device cpu.")
    return torch.device("cuda" if there and name != "cpu" else "cpu")


def export_weights(checkpoint: Path, path: Path, bank: dict[str, Any]) -> None:
    """Write the averaged weights of a checkpoint, with what is known of their training.

    Args:
        checkpoint: of a run.
        path: ends in .safetensors.
        bank: what :func:`XRayTo3DLib.training.bank.describe_bank` says of the cases.
    """
    state = load_checkpoint(checkpoint)
    settings = TrainingSettings.from_dict(state["settings"])
    network = ReconstructionNetwork(settings.network)
    network.load_state_dict(state["average"])
    knees = bank.get("knees", [])
    card = {
        "settings": settings.as_dict(),
        "steps": state["step"],
        "cases": state["cases"],
        "bank": bank,
        "people": sorted({person_of(name) for name in knees}),
        "held_out": bank.get("held_out", []),
    }
    save_weights(network, path, card)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint (tensors and plain values only).

    Raises:
        InputFileError: it is not one.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InputFileError(path, "is not a checkpoint of a training run.") from error


def _dice(predicted: Tensor, truth: Tensor) -> Tensor:
    """Dice per bone, ``(4,)``; not a number where neither has the bone."""
    values = []
    for bone in Bone:
        a, b = predicted == bone, truth == bone
        values.append(2.0 * (a & b).sum() / (a.sum() + b.sum()))
    return torch.stack(values)
