"""Whether a reconstruction can run here, and what is missing if not."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from XRayTo3DLib.errors import XRayTo3DError

PACKAGES = {
    "skimage": "scikit-image",
    "safetensors": "safetensors",
    "pydicom": "pydicom",
}
"""Import names of what the library needs beside torch, and their names on the package index."""


@dataclass(frozen=True)
class Readiness:
    """What stands between the user and a reconstruction.

    Attributes:
        torch: whether PyTorch can be imported.
        packages: names, on the package index, of other packages that are missing.
        weights: the file that would be used; None when there is none.
        sentence: all of it for the user.
    """

    torch: bool
    packages: tuple[str, ...]
    weights: Path | None
    sentence: str

    @property
    def ready(self) -> bool:
        """Whether Apply can work."""
        return self.torch and not self.packages and self.weights is not None


def readiness(weights: str | Path | None = None) -> Readiness:
    """Look, without importing anything large.

    Args:
        weights: a file of the user's, or the name of some that come with the program; by default
            those meant for everyday use.
    """
    torch = find_spec("torch") is not None
    packages = tuple(name for module, name in PACKAGES.items() if find_spec(module) is None)
    problem = ""
    try:
        file = _weights(weights)
    except XRayTo3DError as error:
        file, problem = None, str(error)
    missing = [*(["PyTorch"] if not torch else []), *packages]
    parts = [f"{', '.join(missing)} must be installed."] if missing else []
    parts += [problem] if problem else []
    sentence = " ".join(parts) or f"Ready: {file.stem if file else ''}, on the processor."
    return Readiness(torch, packages, file, sentence)


def _weights(weights: str | Path | None) -> Path:
    from XRayTo3DLib.resources import named_model, shipped_weights

    file = named_model(weights) if weights else shipped_weights()
    if not file.is_file():
        raise XRayTo3DError(f"{file.name} does not exist; choose a file of weights.")
    return file
