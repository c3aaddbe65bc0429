"""Putting several files into place: all of them, or none."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path


class Transfer:
    """Moves that can be taken back; made by :func:`transfer`."""

    def __init__(self, undo: ExitStack) -> None:
        self._undo = undo

    def make_folder(self, folder: Path) -> None:
        """Make ``folder`` and its parents, as far as they are missing."""
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        for path in reversed(missing):
            self._undo.callback(_remove_if_empty, path)
            path.mkdir()

    def move(self, source: Path, target: Path) -> None:
        """Move a file or a folder to a place on the same disk that must be free.

        Raises:
            FileExistsError: something is there.
        """
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
        self._undo.callback(_move_back, source, target)
        os.replace(source, target)

    def replace(self, source: Path, target: Path) -> None:
        """Put a file where another may be; at no time is there none."""
        earlier = source.with_name(f"{source.name}.earlier")
        if target.is_file():
            shutil.copy2(target, earlier)
        self._undo.callback(_restore, source, target, earlier)
        os.replace(source, target)


@contextmanager
def transfer() -> Iterator[Transfer]:
    """What is moved within the ``with`` stays if it ends well, else it is moved back.

    Sources must still be on disk then, and the folders in which they were.
    """
    with ExitStack() as undo:
        yield Transfer(undo)
        undo.pop_all()


# A signal may come between a move and the next line, so that whether it took place is looked up.


def _move_back(source: Path, target: Path) -> None:
    if not os.path.lexists(source):
        os.replace(target, source)


def _restore(source: Path, target: Path, earlier: Path) -> None:
    if os.path.lexists(source):
        return
    if earlier.exists():
        os.replace(earlier, target)
    else:
        target.unlink()


def _remove_if_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
