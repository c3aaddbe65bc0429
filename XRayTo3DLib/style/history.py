"""Forgeries kept for the adversary."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


class History:
    """Shows an adversary older forgeries beside the newest.

    Shrivastava et al. (CVPR 2017): half the time the newest takes the place of an older one, which
    is shown instead; so that generator and adversary do not chase each other in circles.

    Args:
        size: how many forgeries are kept.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: list[Tensor] = []

    def exchange(self, newest: Tensor, rng: np.random.Generator) -> Tensor:
        """What the adversary is shown: ``newest`` (any shape, detached), or an older one."""
        if len(self._kept) < self._size:
            self._kept.append(newest)
            return newest
        if rng.random() < 0.5:
            return newest
        place = int(rng.integers(self._size))
        older, self._kept[place] = self._kept[place], newest
        return older

    def state(self) -> Tensor | None:
        """All that is kept, stacked, for a checkpoint."""
        return torch.stack(self._kept) if self._kept else None

    def restore(self, state: Tensor | None) -> None:
        """Take back what :meth:`state` gave."""
        self._kept = [] if state is None else list(state.unbind(0))
