"""How long work says how far it is, and how it is stopped."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import TaskID

Progress = Callable[[str, float], None]
"""Called with the name of the stage and the fraction of it that is done, 0–1.

It may raise :class:`Cancelled`; the work then stops and leaves nothing behind.
"""


class Cancelled(Exception):  # noqa: N818 - a request of the user, not an error
    """The user asked to stop."""


def silent(stage: str, fraction: float) -> None:
    """Say nothing."""


class ShellProgress:
    """A line for each stage on standard error; a :data:`Progress` to be used with ``with``.

    Standard output stays free for results. Away from a terminal nothing is drawn.
    """

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bars

        console = Console(stderr=True)
        self._bars = Bars(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> ShellProgress:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def __call__(self, stage: str, fraction: float) -> None:
        """Draw ``stage`` at ``fraction``, 0–1; a stage not seen before gets a line of its own."""
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=1.0)
        self._bars.update(self._tasks[stage], completed=min(max(fraction, 0.0), 1.0))
