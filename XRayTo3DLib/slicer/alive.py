"""Long work while the window stays alive and can cancel it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from XRayTo3DLib.progress import Cancelled, Progress

T = TypeVar("T")

_PAUSE = 0.02
"""s between two looks at the window; meanwhile the work has the interpreter to itself."""


def run_alive(
    job: Callable[[Progress], T],
    pump: Callable[[str, float], None],
    cancelled: Callable[[], bool] = lambda: False,
) -> T:
    """Run a job in a thread and keep the caller's window alive until it ends.

    The job must not touch the scene or the window; it is given a progress to report to, which is
    also where it is stopped after ``cancelled``.

    Args:
        job: the work.
        pump: called in the caller's thread, many times a second, with stage and fraction done; it
            shows them and lets the window handle its events.
        cancelled: asked each time whether to stop.

    Raises:
        Cancelled: the user stopped it.
        Exception: whatever the job raised.
    """
    state: dict[str, tuple[str, float]] = {"at": ("", 0.0)}
    stop = threading.Event()
    result: list[T] = []
    failure: list[BaseException] = []

    def report(stage: str, fraction: float) -> None:
        state["at"] = (stage, fraction)
        if stop.is_set():
            raise Cancelled

    def work() -> None:
        try:
            result.append(job(report))
        except BaseException as error:  # noqa: BLE001 - handed on to the caller below
            failure.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    while thread.is_alive():
        pump(*state["at"])
        if cancelled():
            stop.set()
        # Sleeping gives the interpreter to the thread; an event loop alone would not.
        time.sleep(_PAUSE)
    if stop.is_set():
        raise Cancelled
    pump(*state["at"])  # what was reported since the last look
    if failure:
        raise failure[0]
    return result[0]
