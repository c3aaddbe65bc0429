"""One record of settings that feeds the command line, the trainer and the checkpoint."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.reconstruction.networks import NetworkSettings


@dataclass(frozen=True)
class TrainingSettings:
    """How a network is trained.

    Attributes:
        network: what is trained.
        film_steps: optimiser steps in which the films' network first learns silhouettes alone
            (none where the network estimates no silhouettes).
        film_batch: cases per such step.
        film_learning_rate: of the films' network; constant while it learns alone, then it falls
            to zero along a half cosine. 0 leaves the films' network as it is.
        steps: optimiser steps of the whole network, after those.
        batch: cases per step.
        learning_rate: of the 3D network at its highest, after the warm-up; falls to zero along a
            half cosine.
        warmup: steps until then.
        weight_decay: of AdamW.
        clip: largest norm of the gradient.
        surface_strength: how much more a voxel on a surface counts.
        surface_width: mm over which that fades.
        dice_weight: of the Dice loss beside the cross-entropy.
        silhouette_weight: of the loss of the silhouettes, where the network estimates them.
        ngcc_weight: of the unsupervised reprojection loss beside the cross-entropy.
        ngcc_start: step from which it counts, once there is something to project.
        film_strength: of the randomisation of films, 0 (plain DRRs) to 1.
        film_ramp: steps from the very first over which that rises from half to its whole; 0 has
            it whole at once.
        misstated: share of the steps in which the lateral does not stand as is stated
            (:class:`XRayTo3DLib.training.misstatement.Misstatement`).
        ema: decay of the moving average of the weights, per step.
        seed: of everything random.
        precision: ``float32``, or ``bfloat16`` where the processor computes in it.
        validate_every: steps.
        checkpoint_every: steps.
    """

    network: NetworkSettings = field(default_factory=NetworkSettings)
    film_steps: int = 1500
    film_batch: int = 4
    film_learning_rate: float = 2e-3
    steps: int = 3000
    batch: int = 1
    learning_rate: float = 5e-3
    warmup: int = 100
    weight_decay: float = 1e-4
    clip: float = 1.0
    surface_strength: float = 4.0
    surface_width: float = 2.0
    dice_weight: float = 0.5
    silhouette_weight: float = 0.5
    ngcc_weight: float = 0.05
    ngcc_start: int = 300
    film_strength: float = 1.0
    film_ramp: int = 1000
    misstated: float = 0.5
    ema: float = 0.99
    seed: int = 0
    precision: Literal["float32", "bfloat16"] = "float32"
    validate_every: int = 250
    checkpoint_every: int = 100

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("steps", "batch", "film_batch", "validate_every", "checkpoint_every"):
            check_setting(name, getattr(self, name), at_least=1)
        for name in ("learning_rate", "clip", "surface_width"):
            check_setting(name, getattr(self, name), above=0)
        for name in ("film_steps", "warmup", "weight_decay", "surface_strength", "dice_weight"):
            check_setting(name, getattr(self, name), at_least=0)
        for name in ("silhouette_weight", "ngcc_weight", "ngcc_start", "film_ramp", "seed"):
            check_setting(name, getattr(self, name), at_least=0)
        if self.film_stage:
            check_setting("film_learning_rate", self.film_learning_rate, above=0)
        check_setting("film_learning_rate", self.film_learning_rate, at_least=0)
        for name in ("film_strength", "misstated"):
            check_setting(name, getattr(self, name), at_least=0, at_most=1)
        check_setting("ema", self.ema, at_least=0, below=1)

    @property
    def film_stage(self) -> int:
        """Steps in which silhouettes are learnt alone."""
        return self.film_steps if self.network.silhouettes else 0

    @property
    def all_steps(self) -> int:
        """Optimiser steps of both stages."""
        return self.film_stage + self.steps

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON and checkpoints."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TrainingSettings:
        """The reverse of :meth:`as_dict`."""
        known = {entry.name for entry in fields(cls)}
        values = {key: value for key, value in values.items() if key in known}
        return cls(**{**values, "network": NetworkSettings(**values["network"])})


def check_setting(
    name: str,
    value: float,
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
) -> None:
    """Refuse a setting that is out of its range.

    Raises:
        XRayTo3DError: which setting it is, and its limit.
    """
    limits = (
        (at_least, "at least", lambda limit: value >= limit),
        (above, "above", lambda limit: value > limit),
        (at_most, "at most", lambda limit: value <= limit),
        (below, "below", lambda limit: value < limit),
    )
    for limit, word, holds in limits:
        if limit is not None and not holds(limit):
            raise XRayTo3DError(f"The setting {name} must be {word} {limit:g}, not {value:g}.")
