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


def named_model(given: str | Path, ending: str = ".safetensors") -> Path:
    """The file that is meant: the one given, or else a model that comes with the program.

    Args:
        given: a path, or a name such as ``knee-paper128``; a file of that name comes first.
        ending: of such models: weights of networks by default.
    """
    given = Path(given)
    if given.is_file() or given.name != str(given):
        return given
    for folder in _FOLDERS:
        path = folder / "Models" / f"{given.name}{ending}"
        if path.is_file():
            return path
    return given


def shipped_weights() -> Path:
    """The file of the weights that come with the program."""
    return resource_path("Models", f"{SHIPPED}.safetensors")


def shipped_digest() -> str:
    """SHA-256 of those weights as published, hexadecimal."""
    return shipped_weights().with_suffix(".sha256").read_text(encoding="utf-8").split()[0]
