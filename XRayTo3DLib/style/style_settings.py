"""One record of settings that feeds the command line, the trainer and the checkpoint."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, cast, get_args

from XRayTo3DLib.errors import XRayTo3DError

Method = Literal["cyclegan", "curves"]


@dataclass(frozen=True)
class StyleSettings:
    """How a translation of style is learnt.

    Attributes:
        method: ``cyclegan`` corrects every pixel, ``curves`` only bends tone curves.
        steps: optimiser steps; the learning rate is constant for the first half and then falls
            to zero in a straight line.
        crop: side of the squares that are learnt from, pixels, a multiple of 32 up to 256.
        batch: squares of each style per step.
        learning_rate: of Adam, for the generators.
        adversary_rate: the same for the adversaries.
        cycle: weight of the way there and back, mean absolute difference.
        identity: weight of leaving a film alone that has the style already.
        anatomy: weight of the agreement of gradients before and after.
        history: forgeries kept for each adversary.
        ema: decay of the moving average of the generators, per step.
        seed: of everything random.
        checkpoint_every: steps.
        sheet_every: steps between the sheets of samples.
    """

    method: Method = "cyclegan"
    steps: int = 3000
    crop: int = 128
    batch: int = 1
    learning_rate: float = 4e-4
    adversary_rate: float = 2e-4
    cycle: float = 10.0
    identity: float = 2.0
    anatomy: float = 4.0
    history: int = 50
    ema: float = 0.995
    seed: int = 0
    checkpoint_every: int = 100
    sheet_every: int = 250

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.method not in get_args(Method):
            raise XRayTo3DError(
                f"--method is one of {', '.join(get_args(Method))}, not {self.method}."
            )
        if not (0 < self.crop <= 256 and self.crop % 32 == 0):
            raise XRayTo3DError(f"--crop must be a multiple of 32 up to 256, not {self.crop}.")
        for name in ("steps", "batch", "history", "checkpoint_every", "sheet_every"):
            if getattr(self, name) < 1:
                raise XRayTo3DError(f"{name} must be at least 1, not {getattr(self, name)}.")
        for name in ("cycle", "identity", "anatomy", "seed"):
            if not getattr(self, name) >= 0:
                raise XRayTo3DError(f"{name} must not be negative, as {getattr(self, name)} is.")
        for name in ("learning_rate", "adversary_rate"):
            if not getattr(self, name) > 0:
                raise XRayTo3DError(f"{name} must be positive, not {getattr(self, name)}.")
        if not 0 <= self.ema < 1:
            raise XRayTo3DError(f"ema must be at least 0 and below 1, not {self.ema}.")

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON and checkpoints."""
        return asdict(self)


def settings_for(
    method: str, crop: int | None, learning_rate: float | None, **others: Any
) -> StyleSettings:
    """Settings with the defaults of a method.

    A tone curve is a matter of the whole film and has few parameters, which bear larger steps.

    Args:
        method: ``cyclegan`` or ``curves``.
        crop: None for that of the method.
        learning_rate: likewise.
        others: as :class:`StyleSettings` names them.

    Raises:
        XRayTo3DError: an unknown method, or a value out of range.
    """
    whole = method == "curves"
    return StyleSettings(
        method=cast(Method, method),
        crop=crop if crop is not None else (256 if whole else 128),
        learning_rate=learning_rate if learning_rate is not None else (1e-3 if whole else 4e-4),
        **others,
    )
