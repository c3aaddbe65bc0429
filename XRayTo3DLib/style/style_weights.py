"""The translation from radiograph to DRR on disk: half precision, safetensors, with its card."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from XRayTo3DLib.errors import InputFileError, XRayTo3DError
from XRayTo3DLib.resources import resource_path
from XRayTo3DLib.style.residual_generator import ResidualGenerator
from XRayTo3DLib.style.tone_generator import ToneGenerator
from XRayTo3DLib.weights_file import (
    UNFIT,
    checked_digest,
    read_weights_file,
    write_weights_file,
)

LICENCE = "CC BY-NC-SA 4.0"

SHIPPED = "shipped"
"""Word for the translation that comes with the program."""

_KEY = "xrayto3d-style"
_REFERENCE = "reference"
_NETWORK = "generator."


@dataclass(frozen=True)
class StyleModel:
    """A translation ready to run.

    Attributes:
        generator: in evaluation mode, float32, on the CPU.
        reference: ``(129,)`` greys of the style aimed at, for
            :func:`XRayTo3DLib.style.histogram_matching.match_histogram`.
        method: ``cyclegan`` or ``curves``.
        name: file name without its ending.
        sha256: of the file, hexadecimal.
        licence: of the weights.
        card: what is known of the training.
    """

    generator: nn.Module
    reference: Tensor
    method: str
    name: str
    sha256: str
    licence: str
    card: dict[str, Any]


def new_generator(method: str) -> nn.Module:
    """An untrained generator, which is (nearly) the identity.

    Raises:
        XRayTo3DError: an unknown method.
    """
    kinds = {"cyclegan": ResidualGenerator, "curves": ToneGenerator}
    if method not in kinds:
        raise XRayTo3DError(f"--method is one of {', '.join(kinds)}, not {method}.")
    return kinds[method]()


def save_style(
    generator: nn.Module,
    reference: Tensor,
    method: str,
    path: Path,
    card: dict[str, Any],
    licence: str = LICENCE,
) -> None:
    """Write the generator in half precision, and its SHA-256 beside it.

    Args:
        generator: made by :func:`new_generator`.
        reference: ``(129,)`` greys of the style aimed at.
        method: of the generator.
        path: ends in .safetensors.
        card: plain values for the reader: films, people held out, settings.
        licence: of the weights.
    """
    tensors = {
        f"{_NETWORK}{name}": value.detach().half().cpu().contiguous()
        for name, value in generator.state_dict().items()
    }
    tensors[_REFERENCE] = reference.float().cpu().contiguous()
    description = {"method": method, "card": card, "licence": licence}
    # In between, a reader finds new weights beside no digest, and nothing is amiss.
    path.with_suffix(".sha256").unlink(missing_ok=True)
    write_weights_file(path, tensors, _KEY, description)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_suffix(".sha256").write_text(f"{digest}  {path.name}\n", encoding="utf-8")


def load_style(path: str | Path) -> StyleModel:
    """Read a translation; a second call for the same file is free.

    Args:
        path: a file of weights, or :data:`SHIPPED` for the CycleGAN that comes with the program.

    Raises:
        InputFileError: the file is missing, is something else, or, where a ``.sha256`` stands
            beside it, differs from what was published.
    """
    path = resource_path("Models", "style-cyclegan.safetensors") if path == SHIPPED else Path(path)
    if not path.is_file():
        raise InputFileError(
            path, "does not exist; give weights that 'xrayto3d train-style' has written."
        )
    return _load(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _load(path: Path, _modified: int) -> StyleModel:
    digest = checked_digest(path)
    try:
        file = read_weights_file(path, _KEY)
        tensors, description = dict(file.tensors), file.description
        reference = tensors.pop(_REFERENCE)
        generator = new_generator(description["method"])
        generator.load_state_dict({k.removeprefix(_NETWORK): v for k, v in tensors.items()})
        card, licence = description["card"], description["licence"]
    except UNFIT as error:
        raise InputFileError(
            path, "holds no translation of style; give weights of 'xrayto3d train-style'."
        ) from error
    generator.requires_grad_(False).eval()
    method = description["method"]
    return StyleModel(generator, reference, method, path.stem, digest, licence, card)


def parameter_count(module: nn.Module) -> int:
    """Number of learnt values."""
    return sum(torch.numel(parameter) for parameter in module.parameters())
