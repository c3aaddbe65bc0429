"""Keeping the chatter of C and C++ decoders off the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_STANDARD_ERROR = 2


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Send what is written to the process's standard error to nowhere.

    libjpeg, OpenJPEG and ITK print there whatever they mind in a damaged file, past Python; the
    caller says it in one sentence. It holds for the whole process, so keep the block short.
    """
    if sys.stderr is not None:
        sys.stderr.flush()
    try:
        kept = os.dup(_STANDARD_ERROR)
    except OSError:  # a program without a console has no standard error
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, _STANDARD_ERROR)
        yield
    finally:
        os.dup2(kept, _STANDARD_ERROR)
        os.close(nowhere)
        os.close(kept)
