"""Weights on disk: half precision, safetensors, with all that is needed to use them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import nn

from XRayTo3DLib.errors import InputFileError
from XRayTo3DLib.reconstruction.networks import NetworkSettings, ReconstructionNetwork
from XRayTo3DLib.reconstruction.result import ModelIdentity
from XRayTo3DLib.resources import named_model, shipped_weights
from XRayTo3DLib.weights_file import (
    UNFIT,
    checked_digest,
    read_weights_file,
    write_weights_file,
)

LICENCE = "CC BY-NC-SA 4.0"

_KEY = "xrayto3d"

Network = TypeVar("Network", bound=nn.Module)


class _Saved(Protocol):
    @property
    def settings(self) -> Any:
        """A dataclass of all that the network is built from."""

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Its weights."""


@dataclass(frozen=True)
class LoadedNetwork(Generic[Network]):
    """A network ready to run.

    Attributes:
        network: in evaluation mode, float32, on the CPU.
        identity: which weights.
        card: what is known of their training.
    """

    network: Network
    identity: ModelIdentity
    card: dict[str, Any]


Model = LoadedNetwork[ReconstructionNetwork]
"""A network that reconstructs bones."""


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
    save_network(network, path, _KEY, card, licence)


def load_model(path: str | Path | None = None) -> Model:
    """Read weights (by default those shipped); a second call for the same file is free.

    Args:
        path: of a file, or the name of weights that come with the program.

    Raises:
        InputFileError: the file is missing, is something else, or, where a ``.sha256`` stands
            beside it, differs from what was published.
    """
    path = existing_weights(path, shipped_weights())
    return _load(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=3)
def _load(path: Path, _modified: int) -> Model:
    def built(settings: dict[str, Any]) -> ReconstructionNetwork:
        return ReconstructionNetwork(NetworkSettings(**settings))

    unfit = (
        "holds no weights of a network that reconstructs bones; train some or use those shipped."
    )
    return load_network(path, _KEY, built, unfit)


def existing_weights(path: str | Path | None, shipped: Path) -> Path:
    """The weights that were asked for, by file or by name, or else those shipped.

    Raises:
        InputFileError: there is no such file.
    """
    path = shipped if path is None else named_model(path)
    if not path.is_file():
        raise InputFileError(
            path,
            "does not exist; give with --weights a file of weights, or the name of some that come "
            "with the program.",
        )
    return path


def save_network(network: _Saved, path: Path, key: str, card: dict[str, Any], licence: str) -> None:
    """Write a network that knows its settings, in half precision.

    Args:
        network: to be saved.
        path: ends in .safetensors.
        key: tells one kind of network from another.
        card: plain values for the reader.
        licence: of the weights.
    """
    tensors = {
        name: value.detach().half().cpu().contiguous()
        for name, value in network.state_dict().items()
    }
    description = {"network": asdict(network.settings), "card": card, "licence": licence}
    write_weights_file(path, tensors, key, description)


def load_network(
    path: Path, key: str, built: Callable[[dict[str, Any]], Network], unfit: str
) -> LoadedNetwork[Network]:
    """The reverse of :func:`save_network`.

    Args:
        path: of a file that exists.
        key: of the kind of network.
        built: a network of given settings.
        unfit: what is said of a file of another kind.

    Raises:
        InputFileError: the file is of another kind, or not what was published.
    """
    digest = checked_digest(path)
    try:
        file = read_weights_file(path, key)
        network = built(file.description["network"])
        licence, card = file.description["licence"], file.description["card"]
        network.load_state_dict(file.tensors)
    except UNFIT as error:
        raise InputFileError(path, unfit) from error
    network.requires_grad_(False).eval()
    return LoadedNetwork(with_fast_layout(network), ModelIdentity(path.stem, digest, licence), card)


def with_fast_layout(network: Network) -> Network:
    """Convolution weights stored channels last, which oneDNN's kernels are fastest with."""
    for module in network.modules():
        if isinstance(module, (nn.Conv3d, nn.ConvTranspose3d)):
            module.to(memory_format=torch.channels_last_3d)
        elif isinstance(module, nn.Conv2d):
            module.to(memory_format=torch.channels_last)
    return network
