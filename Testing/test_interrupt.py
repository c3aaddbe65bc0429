"""Ctrl-C, as a real signal to a real run: the status, the sentence, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

pty = pytest.importorskip("pty", reason="signals and terminals of POSIX")

PATIENCE = 300.0
"""Seconds until a run that shows no sign of progress, or does not end, is given up."""
ERASED_LINE = "\x1b[2K"
"""What rich sends a terminal to take a line of its bars away again."""


@dataclass(frozen=True)
class Stopped:
    """How a run ended."""

    status: int
    out: str
    err: str


@contextmanager
def run(repository: Path, *options: str | Path, err: int) -> Iterator[subprocess.Popen[bytes]]:
    """A run of ``xrayto3d reconstruct`` on the sample films; killed if a test leaves it running."""
    samples = repository / "Resources" / "SampleData"
    films = (samples / "knee_ap.dcm", samples / "knee_lateral.dcm")
    words = ("-m", "XRayTo3DLib.cli", "reconstruct", *films, "--threads", "1", *options)
    process = subprocess.Popen(
        [sys.executable, *map(str, words)],
        cwd=repository,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=err,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
        # Tests that run in the background of a shell ignore the signal, and so would this child.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def stopped_at(process: subprocess.Popen[bytes], sign: Callable[[], bool]) -> int:
    """Interrupt a run once ``sign`` has seen that it is under way; its exit status.

    ``sign`` is called until the run has ended, as a terminal must be read on.
    """
    deadline = time.monotonic() + PATIENCE
    asked = False
    while process.poll() is None:
        assert time.monotonic() < deadline, "the run does not stop" if asked else "no progress"
        if sign() and not asked:
            process.send_signal(signal.SIGINT)
            asked = True
        time.sleep(0.005)
    assert asked, "the run ended before it could be stopped"
    return process.returncode


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file of an earlier run, which ``--overwrite`` allows to be replaced."""
    folder = tmp_path_factory.mktemp("earlier")
    (folder / "femur.stl").write_bytes(b"of an earlier run")
    return folder


@pytest.fixture(scope="module")
def while_writing(repository: Path, earlier: Path) -> Stopped:
    """Stopped when the first of the new files has appeared on the disk."""

    def file_is_there() -> bool:
        with suppress(FileNotFoundError):  # the folder that is looked into may be going away
            return any(earlier.glob("*/*.stl"))
        return False

    options = ("--output", earlier, "--overwrite")
    with run(repository, *options, err=subprocess.PIPE) as process:
        status = stopped_at(process, file_is_there)
        out, err = process.communicate()
    return Stopped(status, out.decode(), err.decode())


@pytest.fixture(scope="module")
def nowhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that does not exist, in one that does."""
    return tmp_path_factory.mktemp("new") / "results"


@pytest.fixture(scope="module")
def while_computing(repository: Path, nowhere: Path) -> Stopped:
    """Stopped when the terminal shows that the network is at work."""
    ours, theirs = pty.openpty()
    os.set_blocking(ours, False)
    shown = bytearray()

    def network_is_shown() -> bool:
        with suppress(BlockingIOError):
            shown.extend(os.read(ours, 65536))
        return b"Network" in shown

    try:
        with run(repository, "--output", nowhere, err=theirs) as process:
            status = stopped_at(process, network_is_shown)
            out, _ = process.communicate()
        network_is_shown()
    finally:
        os.close(ours)
        os.close(theirs)
    return Stopped(status, out.decode(), shown.decode())


def test_a_stopped_run_has_the_status_of_an_interrupt(
    while_computing: Stopped, while_writing: Stopped
) -> None:
    for stopped in (while_computing, while_writing):
        assert (stopped.status, stopped.out) == (130, "")
        assert "Traceback" not in stopped.err


def test_a_stopped_run_says_so_in_one_line(
    while_computing: Stopped, while_writing: Stopped
) -> None:
    assert while_writing.err == "Stopped.\n"
    # On a terminal the bars are drawn, and taken away, before it.
    assert while_computing.err.rpartition(ERASED_LINE)[2].strip() == "Stopped."


def test_a_run_stopped_while_computing_makes_no_folder(
    while_computing: Stopped, nowhere: Path
) -> None:
    assert list(nowhere.parent.iterdir()) == []


def test_a_run_stopped_while_writing_leaves_the_folder_as_it_was(
    while_writing: Stopped, earlier: Path
) -> None:
    assert [path.name for path in earlier.rglob("*")] == ["femur.stl"]
    assert (earlier / "femur.stl").read_bytes() == b"of an earlier run"
