"""The one error that a user sees: a sentence that names the file, the value and what to do."""

from __future__ import annotations

from pathlib import Path


class XRayTo3DError(ValueError):
    """Bad input or an impossible request, said in one sentence.

    The command line prints the sentence and exits with status 2; the Slicer module shows it in a
    dialog. Anything else that is raised is a defect of this program.
    """


class InputFileError(XRayTo3DError):
    """A file that cannot be used; the sentence begins with its name (never with its contents)."""

    def __init__(self, path: str | Path, sentence: str) -> None:
        super().__init__(f"{Path(path).name}: {sentence}")
        self.path = Path(path)
