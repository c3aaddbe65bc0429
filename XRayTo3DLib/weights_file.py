"""A file of weights: safetensors with a description, checked against what was published."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from XRayTo3DLib.errors import InputFileError

UNFIT = (SafetensorError, KeyError, TypeError, RuntimeError, ValueError)
"""What is raised where a file, or what it holds, is something else than was expected."""


@dataclass(frozen=True)
class WeightsFile:
    """What a file holds.

    Attributes:
        tensors: by name, float32.
        description: plain values.
    """

    tensors: dict[str, Tensor]
    description: dict[str, Any]


def write_weights_file(
    path: Path, tensors: Mapping[str, Tensor], key: str, description: Mapping[str, Any]
) -> None:
    """Write a file whole, or not at all.

    Args:
        path: ends in .safetensors.
        tensors: on the CPU, contiguous.
        key: under which the description stands; tells one kind of weights from another.
        description: plain values.
    """
    unfinished = path.with_suffix(".part")
    # One entry only: safetensors writes several in no fixed order.
    save_file(dict(tensors), unfinished, {key: json.dumps(description, sort_keys=True)})
    unfinished.replace(path)


def checked_digest(path: Path) -> str:
    """SHA-256 of a file that exists, hexadecimal.

    Raises:
        InputFileError: a ``.sha256`` stands beside it, and it differs from that.
    """
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    published = path.with_suffix(".sha256")
    if published.is_file() and published.read_text(encoding="utf-8").split()[:1] != [digest]:
        raise InputFileError(
            path, "is damaged (its SHA-256 is not the published one); install XRayTo3D again."
        )
    return digest


def read_weights_file(path: Path, key: str) -> WeightsFile:
    """Read a file that exists; one of :data:`UNFIT` is raised where it is of another kind."""
    with safe_open(path, framework="pt") as file:
        description = json.loads((file.metadata() or {})[key])
        tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    return WeightsFile(tensors, description)
