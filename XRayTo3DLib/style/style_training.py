"""The training of a translation of style: seeded, resumable, with a log and sheets of samples.

Two generators and two adversaries as in CycleGAN (Zhu et al., ICCV 2017), with a term for the
anatomy; which kind of generator is a setting.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.run_folder import RunFolder, load_checkpoint, move_average
from XRayTo3DLib.style.cycle_losses import anatomy_loss, least_squares
from XRayTo3DLib.style.discriminator import PatchDiscriminator
from XRayTo3DLib.style.film_sheet import write_sheet
from XRayTo3DLib.style.histogram_matching import reference_quantiles
from XRayTo3DLib.style.history import History
from XRayTo3DLib.style.style_settings import StyleSettings
from XRayTo3DLib.style.style_weights import new_generator, save_style

_SHOWN = 4
"""Radiographs on a sheet of samples."""


@dataclass(frozen=True)
class StyleStep:
    """What a training reports after each step."""

    step: int
    steps: int
    losses: dict[str, float]
    seconds_left: float

    @property
    def cycle(self) -> float:
        """Loss of the way there and back, which tells best how the training goes."""
        return self.losses["cycle"]


class StyleTrainer:
    """Learns to translate radiographs into DRRs, and back.

    Args:
        settings: of the training.
        radiographs: ``(N, 1, 256, 256)`` in 0–1.
        drrs: ``(M, 1, 256, 256)`` in 0–1; no film of the one goes with one of the other.
        folder: for checkpoint, log and sheets; an unfinished run in it is continued.

    Raises:
        XRayTo3DError: the folder holds a run with other settings.
    """

    def __init__(
        self, settings: StyleSettings, radiographs: Tensor, drrs: Tensor, folder: Path
    ) -> None:
        self._settings, self._folder = settings, RunFolder(folder)
        self._radiographs, self._drrs = radiographs, drrs
        torch.manual_seed(settings.seed)
        self._parts: dict[str, nn.Module] = {
            "to_drr": new_generator(settings.method),
            "to_radiograph": new_generator(settings.method),
            "judge_drr": PatchDiscriminator(),
            "judge_radiograph": PatchDiscriminator(),
        }
        self._average = deepcopy(self._parts["to_drr"]).requires_grad_(False).eval()
        self._generating = self._optimiser(("to_drr", "to_radiograph"), settings.learning_rate)
        self._judging = self._optimiser(("judge_drr", "judge_radiograph"), settings.adversary_rate)
        self._histories = {name: History(settings.history) for name in ("drr", "radiograph")}
        self._done = 0
        stopped = self._folder.unfinished(settings.as_dict())
        if stopped is not None:
            self._resume(stopped)

    def _optimiser(self, names: tuple[str, str], rate: float) -> torch.optim.Adam:
        parameters = itertools.chain(*(self._parts[name].parameters() for name in names))
        return torch.optim.Adam(parameters, lr=rate, betas=(0.5, 0.999))

    def run(self, report: Callable[[StyleStep], None] | None = None) -> Path:
        """Train to the end (or on, after a stop); returns the checkpoint."""
        settings = self._settings
        started, first = time.monotonic(), self._done
        try:
            while self._done < settings.steps:
                losses = self._step()
                self._done += 1
                elapsed = time.monotonic() - started
                left = elapsed / (self._done - first) * (settings.steps - self._done)
                self._folder.log({"step": self._done, **losses, "elapsed": elapsed})
                last = self._done == settings.steps
                if last or self._done % settings.checkpoint_every == 0:
                    self._save()
                if last or self._done % settings.sheet_every == 0:
                    self._show()
                if report:
                    report(StyleStep(self._done, settings.steps, losses, left))
        except KeyboardInterrupt:
            self._save()
            raise
        return self._folder.checkpoint

    def _step(self) -> dict[str, float]:
        settings = self._settings
        # Drawn from the number of the step, so that a run that was stopped goes on unchanged.
        rng = np.random.default_rng([settings.seed, 23, self._done])
        radiograph = crops(self._radiographs, settings.crop, settings.batch, rng)
        drr = crops(self._drrs, settings.crop, settings.batch, rng)
        self._set_rates()
        losses, forgeries = self._generate(radiograph, drr)
        shown = {
            name: self._histories[name].exchange(forgeries[name], rng)
            for name in ("drr", "radiograph")
        }
        losses["judges"] = self._judge({"drr": drr, "radiograph": radiograph}, shown)
        if not all(math.isfinite(value) for value in losses.values()):
            raise XRayTo3DError(
                f"The loss is no number at step {self._done}; start again with a smaller "
                f"--learning-rate than {settings.learning_rate:g}."
            )
        return losses

    def _set_rates(self) -> None:
        settings = self._settings
        share = min(1.0, 2.0 * (1.0 - self._done / settings.steps))
        for optimiser, rate in (
            (self._generating, settings.learning_rate),
            (self._judging, settings.adversary_rate),
        ):
            for group in optimiser.param_groups:
                group["lr"] = rate * share

    def _generate(
        self, radiograph: Tensor, drr: Tensor
    ) -> tuple[dict[str, float], dict[str, Tensor]]:
        """A step of the generators; the losses, and the forgeries for the adversaries."""
        settings, parts = self._settings, self._parts
        to_drr, to_radiograph = parts["to_drr"], parts["to_radiograph"]
        for name in ("judge_drr", "judge_radiograph"):
            parts[name].requires_grad_(False)
        false_drr, false_radiograph = to_drr(radiograph), to_radiograph(drr)
        terms = {
            "adversary": least_squares(parts["judge_drr"](false_drr), True)
            + least_squares(parts["judge_radiograph"](false_radiograph), True),
            "cycle": (to_radiograph(false_drr) - radiograph).abs().mean()
            + (to_drr(false_radiograph) - drr).abs().mean(),
            "identity": (to_drr(drr) - drr).abs().mean()
            + (to_radiograph(radiograph) - radiograph).abs().mean(),
            "anatomy": anatomy_loss(radiograph, false_drr) + anatomy_loss(drr, false_radiograph),
        }
        weights = {
            "adversary": 1.0,
            "cycle": settings.cycle,
            "identity": settings.identity,
            "anatomy": settings.anatomy,
        }
        loss = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
        self._generating.zero_grad(set_to_none=True)
        loss.backward()
        self._generating.step()
        move_average(self._average, parts["to_drr"], settings.ema, self._done)
        losses = {name: float(term.detach()) for name, term in terms.items()}
        return losses, {"drr": false_drr.detach(), "radiograph": false_radiograph.detach()}

    def _judge(self, real: dict[str, Tensor], forged: dict[str, Tensor]) -> float:
        """A step of the adversaries."""
        total = torch.zeros(())
        for name in ("drr", "radiograph"):
            judge = self._parts[f"judge_{name}"].requires_grad_(True)
            total = total + 0.5 * (
                least_squares(judge(real[name]), True) + least_squares(judge(forged[name]), False)
            )
        self._judging.zero_grad(set_to_none=True)
        total.backward()
        self._judging.step()
        return float(total.detach())

    def _show(self) -> None:
        """A sheet of radiographs, their translation and what comes back, and DRRs beside."""
        rng = np.random.default_rng([self._settings.seed, 29])
        number = min(_SHOWN, len(self._radiographs), len(self._drrs))
        films = self._radiographs[rng.permutation(len(self._radiographs))[:number]]
        drrs = self._drrs[rng.permutation(len(self._drrs))[:number]]
        with torch.no_grad():
            translated = self._average(films)
            back = self._parts["to_radiograph"](translated)
        rows = {"radiograph": films, "as a DRR": translated, "and back": back, "other DRRs": drrs}
        write_sheet(rows, self._folder.path / f"samples_{self._done:06d}.png")

    def _save(self) -> None:
        state = {
            "settings": self._settings.as_dict(),
            "step": self._done,
            "radiographs": len(self._radiographs),
            "drrs": len(self._drrs),
            "reference": reference_quantiles(self._drrs),
            "parts": {name: part.state_dict() for name, part in self._parts.items()},
            "average": self._average.state_dict(),
            "generating": self._generating.state_dict(),
            "judging": self._judging.state_dict(),
            "histories": {name: kept.state() for name, kept in self._histories.items()},
        }
        self._folder.save(state)

    def _resume(self, state: dict[str, Any]) -> None:
        for name, part in self._parts.items():
            part.load_state_dict(state["parts"][name])
        self._average.load_state_dict(state["average"])
        self._generating.load_state_dict(state["generating"])
        self._judging.load_state_dict(state["judging"])
        for name, kept in self._histories.items():
            kept.restore(state["histories"][name])
        self._done = state["step"]


def crops(films: Tensor, size: int, count: int, rng: np.random.Generator) -> Tensor:
    """Squares ``(count, 1, size, size)`` drawn from films ``(N, 1, rows, columns)``."""
    drawn = []
    for film in rng.integers(len(films), size=count):
        row, column = (int(rng.integers(side - size + 1)) for side in films.shape[-2:])
        drawn.append(films[film, :, row : row + size, column : column + size])
    return torch.stack(drawn)


def export_style(
    checkpoint: Path, path: Path, radiographs: dict[str, Any], drrs: dict[str, Any]
) -> None:
    """Write the averaged generator from radiograph to DRR, with what is known of its training.

    Args:
        checkpoint: of a run.
        path: ends in .safetensors.
        radiographs: what :func:`XRayTo3DLib.style.film_sets.describe_films` says of the films.
        drrs: the same of the DRRs.
    """
    state = load_checkpoint(checkpoint)
    method = state["settings"]["method"]
    generator = new_generator(method)
    generator.load_state_dict(state["average"])
    card = {
        "settings": state["settings"],
        "steps": state["step"],
        "radiographs": {"films": state["radiographs"], **radiographs},
        "drrs": {"films": state["drrs"], **drrs},
    }
    save_style(generator, state["reference"], method, path, card)
