"""The training loop: seeded, resumable, with a moving average, a log and validation."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.reconstruction.device import chosen_device
from XRayTo3DLib.reconstruction.losses import (
    dice_loss,
    reprojection_loss,
    silhouette_loss,
    surface_weighted_cross_entropy,
)
from XRayTo3DLib.reconstruction.networks import NetworkSettings, ReconstructionNetwork
from XRayTo3DLib.reconstruction.weights import load_model, save_weights
from XRayTo3DLib.run_folder import RunFolder, load_checkpoint
from XRayTo3DLib.training.bank import training_card
from XRayTo3DLib.training.cases import Case
from XRayTo3DLib.training.dataset import (
    Sample,
    SilhouetteSet,
    TrainingSet,
    collate,
    films_of,
    silhouettes_of,
    truth_on,
)
from XRayTo3DLib.training.descent import Descent
from XRayTo3DLib.training.misstatement import stated_matrices
from XRayTo3DLib.training.settings import TrainingSettings

_SLOWER = "--set learning_rate=…"


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
        start: weights to begin with, of a network with the same settings but, perhaps, another
            ``size``: coarse voxels first learn in a fraction of the time. Random ones by default.

    Raises:
        XRayTo3DError: the folder holds a run with other settings, or the weights are of another
            network.
    """

    def __init__(
        self,
        settings: TrainingSettings,
        cases: list[Path],
        validation: list[Path],
        folder: Path,
        device: torch.device | None = None,
        workers: int = 1,
        start: Path | None = None,
    ) -> None:
        self._settings, self._cases, self._validation = settings, cases, validation
        self._folder, self._workers = RunFolder(folder), workers
        self._device = device or chosen_device("auto")
        torch.manual_seed(settings.seed)
        self._descent = Descent(
            lambda: ReconstructionNetwork(settings.network),
            _volume_and_films,
            self._device,
            settings.weight_decay,
            settings.clip,
            settings.ema,
        )
        network = self._descent.network
        self._descent.begin_at(
            network.state_dict() if start is None else _weights_of(start, settings)
        )
        if network.films is not None:
            network.films.requires_grad_(settings.film_learning_rate > 0)
        stopped = self._folder.unfinished(settings.as_dict())
        if stopped is not None:
            self._descent.restore(stopped)

    def run(self, report: Callable[[Step], None] | None = None) -> Path:
        """Train to the end (or on, after a stop); returns the checkpoint."""
        try:
            self._learn(self._silhouette_steps(), self._settings.film_stage, report)
            self._learn(self._volume_steps(), self._settings.all_steps, report)
        except KeyboardInterrupt:
            self._save()
            raise
        return self._folder.checkpoint

    def _silhouette_steps(self) -> Iterator[dict[str, float]]:
        settings = self._settings
        length = settings.film_stage * settings.film_batch
        ramp = settings.film_ramp * settings.film_batch
        samples = SilhouetteSet(*self._draws(settings.seed + 1_000_000, length), ramp)
        begun = min(self._descent.done * settings.film_batch, length)
        rest = Subset(samples, range(begun, length))
        for films, truth in self._loader(rest, settings.film_batch):
            yield self._silhouette_step(films.to(self._device), truth.to(self._device))

    def _volume_steps(self) -> Iterator[dict[str, float]]:
        settings = self._settings
        length = settings.steps * settings.batch
        ramp = max(0, settings.film_ramp - settings.film_stage) * settings.batch
        samples = TrainingSet(*self._draws(settings.seed, length), ramp, settings.misstated)
        begun = (self._descent.done - settings.film_stage) * settings.batch
        rest = Subset(samples, range(begun, length))
        for sample in self._loader(rest, settings.batch, collate_fn=collate):
            yield self._volume_step(sample.to(self._device))

    def _loader(self, samples: Subset, batch: int, **options: Any) -> DataLoader:
        pinned = self._device.type == "cuda"
        return DataLoader(samples, batch, num_workers=self._workers, pin_memory=pinned, **options)

    def _draws(self, seed: int, length: int) -> tuple[list[Path], NetworkSettings, int, int, float]:
        settings = self._settings
        return self._cases, settings.network, length, seed, settings.film_strength

    def _learn(
        self, steps: Iterator[dict[str, float]], end: int, report: Callable[[Step], None] | None
    ) -> None:
        settings = self._settings
        started, first = time.monotonic(), self._descent.done
        for losses in steps:
            done = self._descent.done
            validation = None
            if done % settings.validate_every == 0 or done == end:
                validation = self.validate()
            elapsed = time.monotonic() - started
            left = elapsed / (done - first) * (end - done)
            self._folder.log({"step": done, **losses, **(validation or {}), "elapsed": elapsed})
            if done % settings.checkpoint_every == 0 or done == end:
                self._save()
            if report:
                report(Step(done, end, losses["loss"], left, validation))

    def _silhouette_step(self, films: Tensor, truth: Tensor) -> dict[str, float]:
        settings, network = self._settings, self._descent.network
        assert network.films is not None  # as the settings have silhouettes
        network.train()
        warm = min(1.0, (self._descent.done + 1) / max(1, settings.warmup))
        self._descent.set_rates(0.0, settings.film_learning_rate * warm)
        with self._precision():
            _, outlined = network.films(films)
        loss = self._descent.step(silhouette_loss(outlined.float(), truth), _SLOWER)
        return {"loss": loss, "silhouette_loss": loss}

    def _volume_step(self, sample: Sample) -> dict[str, float]:
        settings, network = self._settings, self._descent.network
        network.train()
        done = self._descent.done - settings.film_stage
        self._descent.set_rates(
            settings.learning_rate * schedule(done, settings.warmup, settings.steps),
            settings.film_learning_rate * schedule(done, 0, settings.steps),
        )
        with self._precision():
            scores, outlined = network.scores_and_silhouettes(sample.films, sample.matrices)
        loss, parts = self._losses(scores.float(), outlined.float(), sample)
        return {"loss": self._descent.step(loss, _SLOWER), **parts}

    def _precision(self) -> torch.autocast:
        reduced = self._settings.precision == "bfloat16"
        return torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=reduced)

    def _losses(
        self, scores: Tensor, outlined: Tensor, sample: Sample
    ) -> tuple[Tensor, dict[str, float]]:
        """The weighted sum of the losses of a step, and each that is in it."""
        settings = self._settings
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
        if settings.dice_weight > 0:
            overlap = dice_loss(scores, sample.nearest, sample.depth, grid.spacing)
            loss = loss + settings.dice_weight * overlap
            parts["dice_loss"] = float(overlap.detach())
        if settings.silhouette_weight > 0 and settings.network.silhouettes:
            seen = silhouette_loss(outlined, sample.silhouettes)
            loss = loss + settings.silhouette_weight * seen
            parts["silhouette_loss"] = float(seen.detach())
        if (
            settings.ngcc_weight > 0
            and self._descent.done - settings.film_stage >= settings.ngcc_start
        ):
            projected = reprojection_loss(scores, sample.films, sample.matrices, grid)
            loss = loss + settings.ngcc_weight * projected
            parts["reprojection"] = float(projected.detach())
        return loss, parts

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Mean Dice per bone of the averaged network, one fixed film of each validation case.

        Of the silhouettes while only they are learnt, else of the volumes.
        """
        self._descent.average.eval()
        settings = self._settings
        films_only = self._descent.done <= settings.film_stage
        scores = []
        for number, path in enumerate(self._validation):
            case = Case.load(path)
            films = films_of(case, [settings.seed, 3, number], settings.film_strength)
            films = films[None].to(self._device)
            if films_only:
                score = self._silhouette_dice(case, films)
            else:
                seed = [settings.seed, 5, number]
                stated = stated_matrices(case.matrices, settings.misstated, seed)
                score = self._volume_dice(case, films, torch.from_numpy(stated))
            scores.append(score.cpu())
        if not scores:
            return {}
        mean = torch.stack(scores).nanmean(dim=0)
        name = "silhouette" if films_only else "dice"
        return {f"{name}_{bone.key}": float(mean[bone - 1]) for bone in Bone}

    def _silhouette_dice(self, case: Case, films: Tensor) -> Tensor:
        network = self._descent.average
        assert network.films is not None  # as the settings have silhouettes
        found = network.films(films)[1][0].cpu() > 0
        truth = silhouettes_of(case, self._settings.network) > 0.5
        return _dice(found.transpose(0, 1), truth.transpose(0, 1))

    def _volume_dice(self, case: Case, films: Tensor, matrices: Tensor) -> Tensor:
        network = self._settings.network
        found = self._descent.average(films, matrices[None].to(self._device))[0].argmax(0).cpu()
        nearest, depth = truth_on(case, network.size * network.upscale)
        truth = torch.where(depth > 0, nearest, 0)
        return _dice(
            torch.stack([found == bone for bone in Bone]),
            torch.stack([truth == bone for bone in Bone]),
        )

    def _save(self) -> None:
        state = {"settings": self._settings.as_dict(), "cases": len(self._cases)}
        self._folder.save({**state, **self._descent.state()})


def _volume_and_films(network: ReconstructionNetwork) -> list[list[nn.Parameter]]:
    films = network.films
    return [list(network.volume.parameters()), [] if films is None else list(films.parameters())]


def schedule(step: int, warmup: int, steps: int) -> float:
    """Share of the highest learning rate at a step: linear warm-up, then half a cosine."""
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))


def _weights_of(path: Path, settings: TrainingSettings) -> dict[str, Tensor]:
    network, wanted = load_model(path).network, settings.network
    known = network.settings
    if wanted.lifting != "latent":  # nothing but convolutions, which fit voxels of any size
        known = replace(known, size=wanted.size)
    if known != wanted:
        raise XRayTo3DError(
            f"{path.name} is of another network; choose the preset and the network's settings that "
            "it was trained with (only network.size may differ, and not of the preset chen)."
        )
    return network.state_dict()


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
    card = training_card(settings.as_dict(), state["step"], state["cases"], bank)
    save_weights(network, path, card)


def _dice(found: Tensor, truth: Tensor) -> Tensor:
    """Dice of each of ``(4, …)`` masks, ``(4,)``; not a number where both are empty."""
    found, truth = found.flatten(1), truth.flatten(1)
    return 2.0 * (found & truth).sum(dim=1) / (found.sum(dim=1) + truth.sum(dim=1))
