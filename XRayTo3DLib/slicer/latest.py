"""Work that follows a hand on a slider: only what was asked for last is done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class LatestWins(Generic[T]):
    """Does the latest of many wishes, one at a time, in the thread of the window.

    A thread of its own would starve: Slicer's event loop keeps the interpreter while it waits. So
    the window handles what the hand does between two pieces of work, and wishes that came
    meanwhile take the place of one another, so that nothing is ever queued.

    Args:
        work: takes some 100 ms.
        later: calls what it is given once, after the window has handled its events, as
            ``QTimer.singleShot`` does.
    """

    def __init__(
        self, work: Callable[[T], None], later: Callable[[Callable[[], None]], None]
    ) -> None:
        self._work, self._later = work, later
        self._wishes: list[T] = []  # one at most
        self._waiting = False

    def want(self, wish: T) -> None:
        """Have this done as soon as the window has time, instead of what was wanted before."""
        self._wishes = [wish]
        if not self._waiting:
            self._waiting = True
            self._later(self._run)

    def forget(self) -> None:
        """Do nothing of what was wanted."""
        self._wishes = []

    def _run(self) -> None:
        self._waiting = False
        if self._wishes:
            self._work(self._wishes.pop())
