"""The training loop of the network of densities: seeded, resumable, averaged, with a log."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.reconstruction.weights import load_model
from XRayTo3DLib.run_folder import RunFolder, load_checkpoint
from XRayTo3DLib.tomography.density_network import DensityNetwork
from XRayTo3DLib.tomography.density_weights import save_density_weights
from XRayTo3DLib.training.bank import training_card
from XRayTo3DLib.training.curves import read_log
from XRayTo3DLib.training.density_cases import DensityCase
from XRayTo3DLib.training.density_data import (
    DensitySample,
    DensitySet,
    fresh_films,
    population,
    truth_on,
)
from XRayTo3DLib.training.density_loss import level_cross_entropy
from XRayTo3DLib.training.density_settings import DensityTrainingSettings
from XRayTo3DLib.training.descent import Descent
from XRayTo3DLib.training.trainer import Step, schedule

SHOWN = {"frontal": (1.0, 0.0), "lateral": (0.0, 1.0), "both": (1.0, 1.0)}
"""Which films are there, by name."""

_LEAST_SPREAD = 0.02
"""Smallest deviation over the cases that is believed, in units of water."""

_SMOOTHING = 25


class DensityTrainer:
    """Trains one network of densities from a bank of cases.

    Args:
        settings: of the training.
        cases: files of the training cases.
        validation: files of cases of people held out.
        folder: for log and checkpoint; an unfinished run in it is continued.
        device: to train on.
        workers: processes that prepare samples.
        films: weights of a reconstruction whose films' network is taken; those shipped by default.

    Raises:
        XRayTo3DError: the folder holds a run with other settings, or the weights have another
            films' network.
    """

    def __init__(
        self,
        settings: DensityTrainingSettings,
        cases: list[Path],
        validation: list[Path],
        folder: Path,
        device: torch.device,
        workers: int = 1,
        films: Path | None = None,
    ) -> None:
        self._settings, self._cases, self._validation = settings, cases, validation
        self._folder, self._device, self._workers = RunFolder(folder), device, workers
        torch.manual_seed(settings.seed)
        self._descent = Descent(
            lambda: DensityNetwork(settings.network),
            lambda network: [list(network.volume.parameters())],
            device,
            settings.weight_decay,
            settings.clip,
            settings.ema,
        )
        stopped = self._folder.unfinished(settings.as_dict())
        if stopped is not None:
            self._descent.restore(stopped)
        else:
            self._begin(films)

    def _begin(self, films: Path | None) -> None:
        network = self._descent.network
        _take_films(network, films)
        mean, deviation = population(self._cases, self._settings.network.size)
        network.mean.copy_(mean)
        network.deviation.copy_(deviation.clamp_min(_LEAST_SPREAD))
        self._descent.begin_at(network.state_dict())

    def run(self, report: Callable[[Step], None] | None = None) -> Path:
        """Train to the end (or on, after a stop); returns the checkpoint."""
        settings = self._settings
        samples = DensitySet(self._cases, settings)
        rest = Subset(samples, range(self._descent.done * settings.batch, len(samples)))
        loader = DataLoader(
            rest, settings.batch, num_workers=self._workers, collate_fn=DensitySample.collated
        )
        started, first = time.monotonic(), self._descent.done
        try:
            for sample in loader:
                loss = self._step(sample.to(self._device))
                done = self._descent.done
                elapsed = time.monotonic() - started
                left = elapsed / (done - first) * (settings.steps - done)
                self._after_step(loss, elapsed, left, report)
        except KeyboardInterrupt:
            self._save()
            raise
        return self._folder.checkpoint

    def _after_step(
        self, loss: float, elapsed: float, left: float, report: Callable[[Step], None] | None
    ) -> None:
        settings, done = self._settings, self._descent.done
        last = done == settings.steps
        validation = None
        if done % settings.validate_every == 0 or last:
            validation = self.validate()
        self._folder.log({"step": done, "loss": loss, **(validation or {}), "elapsed": elapsed})
        if done % settings.checkpoint_every == 0 or last:
            self._save()
        if report:
            report(Step(done, settings.steps, loss, left, validation))

    def _step(self, sample: DensitySample) -> float:
        settings, network = self._settings, self._descent.network
        network.train()
        fallen = schedule(self._descent.done, settings.warmup, settings.steps)
        self._descent.set_rates(settings.learning_rate * fallen)
        scores = network.scores(sample.films, sample.matrices, sample.present)
        loss = level_cross_entropy(scores, sample.truth, settings.network.bone_weight)
        return self._descent.step(loss, "--learning-rate")

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Errors of the averaged network on one fixed pair of films of each validation case.

        Returns:
            for each of :data:`SHOWN`: mean absolute error in bone and elsewhere in the leg, in
            Hounsfield units, and the root mean square of the errors in units of the deviations
            that the network states (1 where these are honest).
        """
        self._descent.average.eval()
        found: dict[str, list[float]] = {}
        for number, path in enumerate(self._validation):
            case = DensityCase.load(path)
            films = fresh_films(case, [self._settings.seed, 3, number], 1.0)[None]
            size = self._settings.network.size
            truth = truth_on(case, size)
            bone = _pooled_share(case.bone, size) > 0.5
            leg = (truth > 0.5) & ~bone
            for name, shown in SHOWN.items():
                mean, logarithm = self._descent.average(
                    films.to(self._device),
                    torch.from_numpy(case.matrices)[None].to(self._device),
                    torch.tensor([shown], device=self._device),
                )
                error = (mean[0].cpu() - truth).abs()
                ratio = error * (-0.5 * logarithm[0].cpu()).exp()
                found.setdefault(f"{name}_bone", []).append(1000.0 * float(error[bone].mean()))
                found.setdefault(f"{name}_soft", []).append(1000.0 * float(error[leg].mean()))
                found.setdefault(f"{name}_ratio", []).append(float(ratio.square().mean().sqrt()))
        return {name: float(np.mean(values)) for name, values in found.items()}

    def _save(self) -> None:
        state = {"settings": self._settings.as_dict(), "cases": len(self._cases)}
        self._folder.save({**state, **self._descent.state()})


def _take_films(network: DensityNetwork, weights: Path | None) -> None:
    """Use the films' network of a reconstruction."""
    model = load_model(weights)
    films = model.network.films
    wanted = {name: value.shape for name, value in network.films.state_dict().items()}
    there = {} if films is None else {n: v.shape for n, v in films.state_dict().items()}
    if films is None or there != wanted:
        raise XRayTo3DError(
            f"The weights {model.identity.name} have another films' network than densities are "
            "trained with; give others with --films."
        )
    network.films.load_state_dict(films.state_dict())


def _pooled_share(mask: np.ndarray, size: int) -> Tensor:
    share = torch.from_numpy(mask).float()[None, None]
    return nn.functional.avg_pool3d(share, mask.shape[0] // size)[0, 0]


def export_density_weights(checkpoint: Path, path: Path, bank: dict[str, Any]) -> None:
    """Write the averaged weights of a checkpoint, with what is known of their training.

    Args:
        checkpoint: of a run.
        path: ends in .safetensors.
        bank: what :func:`XRayTo3DLib.training.bank.describe_bank` says of the cases.
    """
    state = load_checkpoint(checkpoint)
    settings = DensityTrainingSettings.from_dict(state["settings"])
    network = DensityNetwork(settings.network)
    network.load_state_dict(state["average"])
    card = training_card(settings.as_dict(), state["step"], state["cases"], bank)
    save_density_weights(network, path, card)


def write_density_curves(log: Path, path: Path) -> None:
    """Draw the loss (mean over some steps) and the validation errors in bone."""
    entries = read_log(log)
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    loss_axes, error_axes = figure.subplots(1, 2)
    loss = np.array([entry["loss"] for entry in entries])
    window = min(_SMOOTHING, len(loss))
    smooth = np.convolve(loss, np.full(window, 1.0 / window), mode="valid")
    loss_axes.plot([entry["step"] for entry in entries][window - 1 :], smooth, color="0.2")
    loss_axes.set(xlabel="step", ylabel=f"loss, mean of {_SMOOTHING} steps")
    for name in SHOWN:
        measured = [entry for entry in entries if f"{name}_bone" in entry]
        for kind, style in (("bone", "o-"), ("soft", ":")) if measured else ():
            steps = [entry["step"] for entry in measured]
            values = [entry[f"{name}_{kind}"] for entry in measured]
            error_axes.plot(steps, values, style, ms=3, label=f"{name}, {kind}")
    error_axes.set(xlabel="step", ylabel="mean absolute error, HU")
    if error_axes.lines:
        error_axes.legend(fontsize="small")
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=120, metadata={"Software": None})
