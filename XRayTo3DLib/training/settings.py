"""One record of settings that feeds the command line, the trainer and the checkpoint."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from XRayTo3DLib.reconstruction.networks import NetworkSettings


@dataclass(frozen=True)
class TrainingSettings:
    """How a network is trained.

    Attributes:
        network: what is trained.
        steps: optimiser steps in all.
        batch: cases per step.
        learning_rate: at its highest, after the warm-up; falls to zero along a half cosine.
        warmup: steps until then.
        weight_decay: of AdamW.
        clip: largest norm of the gradient.
        surface_strength: how much more a voxel on a surface counts.
        surface_width: mm over which that fades.
        ngcc_weight: of the unsupervised reprojection loss beside the cross-entropy.
        ngcc_start: step from which it counts, once there is something to project.
        film_strength: of the randomisation of films, 0 (plain DRRs) to 1.
        ema: decay of the moving average of the weights, per step.
        seed: of everything random.
        precision: ``float32``, or ``bfloat16`` where the processor computes in it.
        validate_every: steps.
        checkpoint_every: steps.
    """

    network: NetworkSettings = field(default_factory=NetworkSettings)
    steps: int = 3000
    batch: int = 1
    learning_rate: float = 2e-3
    warmup: int = 100
    weight_decay: float = 1e-4
    clip: float = 1.0
    surface_strength: float = 4.0
    surface_width: float = 2.0
    ngcc_weight: float = 0.05
    ngcc_start: int = 300
    film_strength: float = 1.0
    ema: float = 0.998
    seed: int = 0
    precision: Literal["float32", "bfloat16"] = "float32"
    validate_every: int = 250
    checkpoint_every: int = 100

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON and checkpoints."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TrainingSettings:
        """The reverse of :meth:`as_dict`."""
        known = {entry.name for entry in fields(cls)}
        values = {key: value for key, value in values.items() if key in known}
        return cls(**{**values, "network": NetworkSettings(**values["network"])})
