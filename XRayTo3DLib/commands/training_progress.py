"""A bar, the loss and the time left while a network trains."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar


class Reported(Protocol):
    """What every training reports after each step."""

    @property
    def step(self) -> int:
        """Steps done."""

    @property
    def seconds_left(self) -> float:
        """Until the last step."""


Kind = TypeVar("Kind", bound=Reported)


def run_shown(
    run: Callable[[Callable[[Kind], None]], Path], steps: int, loss: Callable[[Kind], str]
) -> Path:
    """Run a training to its end and show how far it is.

    Args:
        run: the training, told whom to report each step to.
        steps: all of them.
        loss: of a step, in words.

    Returns:
        what ``run`` returns, the checkpoint.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True)) as bars:
        task = bars.add_task("", total=steps)

        def show(step: Kind) -> None:
            text = f"{loss(step)}, {step.seconds_left / 60:.0f} min left"
            bars.update(task, completed=step.step, description=text)

        return run(show)
