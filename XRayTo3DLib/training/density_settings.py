"""One record of settings that feeds the command line, the trainer and the checkpoint."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.tomography.density_network import DensityNetworkSettings
from XRayTo3DLib.training.settings import check_setting


@dataclass(frozen=True)
class DensityTrainingSettings:
    """How a network of densities is trained.

    Attributes:
        network: what is trained.
        steps: optimiser steps.
        batch: cases per step.
        learning_rate: of AdamW at its highest; falls to zero along a half cosine.
        warmup: steps until then.
        weight_decay: of AdamW.
        clip: largest norm of the gradient.
        frontal_only: share of the steps that show the frontal film alone.
        lateral_only: share of the steps that show the lateral film alone.
        film_strength: of the randomisation of films, 0 (plain DRRs) to 1.
        film_ramp: steps over which that rises from half to its whole.
        misstated: share of the steps in which the lateral does not stand as is stated
            (:class:`XRayTo3DLib.training.misstatement.Misstatement`).
        ema: decay of the moving average of the weights, per step.
        seed: of everything random.
        validate_every: steps.
        checkpoint_every: steps.
    """

    network: DensityNetworkSettings = field(default_factory=DensityNetworkSettings)
    steps: int = 3000
    batch: int = 1
    learning_rate: float = 5e-3
    warmup: int = 100
    weight_decay: float = 1e-4
    clip: float = 1.0
    frontal_only: float = 0.35
    lateral_only: float = 0.25
    film_strength: float = 1.0
    film_ramp: int = 1000
    misstated: float = 0.5
    ema: float = 0.995
    seed: int = 0
    validate_every: int = 250
    checkpoint_every: int = 100

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("steps", "batch", "validate_every", "checkpoint_every"):
            check_setting(name, getattr(self, name), at_least=1)
        for name in ("learning_rate", "clip"):
            check_setting(name, getattr(self, name), above=0)
        for name in ("warmup", "weight_decay", "film_ramp", "seed"):
            check_setting(name, getattr(self, name), at_least=0)
        for name in ("film_strength", "misstated", "frontal_only", "lateral_only"):
            check_setting(name, getattr(self, name), at_least=0, at_most=1)
        check_setting("ema", self.ema, at_least=0, below=1)
        if self.frontal_only + self.lateral_only > 1:
            raise XRayTo3DError("The settings frontal_only and lateral_only must not exceed 1.")

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON and checkpoints."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> DensityTrainingSettings:
        """The reverse of :meth:`as_dict`."""
        return cls(**{**values, "network": DensityNetworkSettings(**values["network"])})
