"""One network on its way down: its weights, their moving average, and the optimiser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.reconstruction.weights import with_fast_layout
from XRayTo3DLib.run_folder import move_average

Network = TypeVar("Network", bound=nn.Module)


class Descent(Generic[Network]):
    """Moves the weights of a network against a loss by AdamW.

    Args:
        made: makes the network; called twice.
        groups: its parameters as groups of one learning rate each.
        device: to compute on.
        weight_decay: of AdamW.
        clip: largest norm of the gradient.
        decay: of the moving average of the weights, per step.
    """

    def __init__(
        self,
        made: Callable[[], Network],
        groups: Callable[[Network], list[list[nn.Parameter]]],
        device: torch.device,
        weight_decay: float,
        clip: float,
        decay: float,
    ) -> None:
        self.network = with_fast_layout(made()).to(device)
        self.average = with_fast_layout(made()).to(device)
        self.average.requires_grad_(False)
        self.done = 0
        self._clip, self._decay = clip, decay
        parameters = [{"params": group} for group in groups(self.network)]
        self._optimiser = torch.optim.AdamW(parameters, weight_decay=weight_decay)

    def begin_at(self, weights: dict[str, Tensor]) -> None:
        """Set the weights, and their average."""
        self.network.load_state_dict(weights)
        self.average.load_state_dict(weights)

    def set_rates(self, *rates: float) -> None:
        """Learning rates, of each group."""
        for group, rate in zip(self._optimiser.param_groups, rates, strict=True):
            group["lr"] = rate

    def step(self, loss: Tensor, slower: str) -> float:
        """One step against a loss, which is given back.

        Args:
            loss: a scalar.
            slower: the option that sets the learning rate, for the sentence of an error.

        Raises:
            XRayTo3DError: the loss is no number.
        """
        value = float(loss.detach())
        if not torch.isfinite(loss):
            raise XRayTo3DError(f"The loss is {value} at step {self.done}; use a smaller {slower}.")
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), self._clip)
        self._optimiser.step()
        move_average(self.average, self.network, self._decay, self.done)
        self.done += 1
        return value

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {
            "step": self.done,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self._optimiser.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """The reverse of :meth:`state`."""
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self._optimiser.load_state_dict(state["optimiser"])
        self.done = state["step"]
