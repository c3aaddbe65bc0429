"""Where the weights and the sample radiographs are, however the library was installed."""

from __future__ import annotations

from pathlib import Path

from XRayTo3DLib.errors import XRayTo3DError

SHIPPED = "knee-encode64"
"""Name of the weights that reconstructions use unless told otherwise."""

_LIBRARY = Path(__file__).resolve().parent

# In a checkout and in a built Slicer extension Resources stands beside the library; in an
# installed Python package it stands inside, lest it be loose among other people's packages.
_FOLDERS = (_LIBRARY / "Resources", _LIBRARY.parent / "Resources")


def resource_path(*parts: str) -> Path:
    """Path of a file or folder of ``Resources``.

    Args:
        parts: names below ``Resources``, as in ``resource_path("Models", "knee.safetensors")``.

    Raises:
        XRayTo3DError: it is not there; the installation is incomplete.
    """
    for folder in _FOLDERS:
        path = folder.joinpath(*parts)
        if path.exists():
            return path
    name = "/".join(("Resources", *parts))
    raise XRayTo3DError(f"{name} is missing from this installation; install XRayTo3D again.")


def shipped_weights() -> Path:
    """The file of the weights that come with the program."""
    return resource_path("Models", f"{SHIPPED}.safetensors")
