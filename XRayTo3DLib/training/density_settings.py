"""One record of settings that feeds the command line, the trainer and the checkpoint."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.tomography.density_network import DensityNetworkSettings


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
    ema: float = 0.995
    seed: int = 0
    validate_every: int = 250
    checkpoint_every: int = 100

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("steps", "batch", "validate_every", "checkpoint_every"):
            self._check(name, getattr(self, name) >= 1, "at least 1")
        for name in ("learning_rate", "clip"):
            self._check(name, getattr(self, name) > 0, "positive")
        for name in ("warmup", "weight_decay", "film_ramp", "seed"):
            self._check(name, getattr(self, name) >= 0, "at least 0")
        for name in ("film_strength", "frontal_only", "lateral_only"):
            self._check(name, 0 <= getattr(self, name) <= 1, "from 0 to 1")
        self._check("ema", 0 <= self.ema < 1, "at least 0 and below 1")
        if self.frontal_only + self.lateral_only > 1:
            raise XRayTo3DError("The settings frontal_only and lateral_only must not exceed 1.")

    def _check(self, name: str, holds: bool, range_: str) -> None:
        if not holds:
            raise XRayTo3DError(
                f"The setting {name} must be {range_}, not {getattr(self, name):g}."
            )

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON and checkpoints."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> DensityTrainingSettings:
        """The reverse of :meth:`as_dict`."""
        return cls(**{**values, "network": DensityNetworkSettings(**values["network"])})
