"""Weights on disk: half precision, safetensors, with all that is needed to use them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from XRayTo3DLib.errors import InputFileError
from XRayTo3DLib.reconstruction.networks import NetworkSettings, ReconstructionNetwork
from XRayTo3DLib.reconstruction.result import ModelIdentity
from XRayTo3DLib.resources import shipped_weights
from XRayTo3DLib.weights_file import (
    UNFIT,
    checked_digest,
    read_weights_file,
    write_weights_file,
)

LICENCE = "CC BY-NC-SA 4.0"

_KEY = "xrayto3d"


@dataclass(frozen=True)
class Model:
    """A network ready to run.

    Attributes:
        network: in evaluation mode, float32, on the CPU.
        identity: which weights.
        card: what is known of their training.
    """

    network: ReconstructionNetwork
    identity: ModelIdentity
    card: dict[str, Any]


def save_weights(
    network: ReconstructionNetwork, path: Path, card: dict[str, Any], licence: str = LICENCE
) -> None:
    """Write the weights in half precision.

    Args:
        network: to be saved.
        path: ends in .safetensors.
        card: plain values for the reader: data, people held out, settings.
        licence: of the weights.
    """
    tensors = {
        name: value.detach().half().cpu().contiguous()
        for name, value in network.state_dict().items()
    }
    description = {"network": asdict(network.settings), "card": card, "licence": licence}
    write_weights_file(path, tensors, _KEY, description)


def load_model(path: str | Path | None = None) -> Model:
    """Read weights (by default those shipped); a second call for the same file is free.

    Raises:
        InputFileError: the file is missing, is something else, or, where a ``.sha256`` stands
            beside it, differs from what was published.
    """
    path = Path(path) if path is not None else shipped_weights()
    if not path.is_file():
        raise InputFileError(path, "does not exist; give a file of weights with --weights.")
    return _load(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=2)
def _load(path: Path, _modified: int) -> Model:
    digest = checked_digest(path)
    try:
        file = read_weights_file(path, _KEY)
        network = ReconstructionNetwork(NetworkSettings(**file.description["network"]))
        licence, card = file.description["licence"], file.description["card"]
        network.load_state_dict(file.tensors)
    except UNFIT as error:
        raise InputFileError(
            path, "holds no weights of this program; train some or use those shipped."
        ) from error
    network.requires_grad_(False).eval()
    identity = ModelIdentity(path.stem, digest, licence)
    return Model(with_fast_layout(network), identity, card)


def with_fast_layout(network: ReconstructionNetwork) -> ReconstructionNetwork:
    """Convolution weights stored channels last, which oneDNN's kernels are fastest with."""
    for module in network.modules():
        if isinstance(module, (torch.nn.Conv3d, torch.nn.ConvTranspose3d)):
            module.to(memory_format=torch.channels_last_3d)
        elif isinstance(module, torch.nn.Conv2d):
            module.to(memory_format=torch.channels_last)
    return network
