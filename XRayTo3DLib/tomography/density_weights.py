"""Weights of the network of densities on disk: half precision, safetensors, with their card."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from XRayTo3DLib.errors import InputFileError
from XRayTo3DLib.reconstruction.result import ModelIdentity
from XRayTo3DLib.reconstruction.weights import LICENCE, with_fast_layout
from XRayTo3DLib.resources import resource_path
from XRayTo3DLib.tomography.density_network import DensityNetwork, DensityNetworkSettings
from XRayTo3DLib.weights_file import (
    UNFIT,
    checked_digest,
    read_weights_file,
    write_weights_file,
)

SHIPPED = "knee-density64"
"""Name of the weights that are used unless told otherwise."""

_KEY = "xrayto3d-density"


@dataclass(frozen=True)
class DensityModel:
    """A network of densities ready to run.

    Attributes:
        network: in evaluation mode, float32, on the CPU.
        identity: which weights.
        card: what is known of their training.
    """

    network: DensityNetwork
    identity: ModelIdentity
    card: dict[str, Any]


def save_density_weights(
    network: DensityNetwork, path: Path, card: dict[str, Any], licence: str = LICENCE
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


def load_density_model(path: str | Path | None = None) -> DensityModel:
    """Read weights (by default those shipped); a second call for the same file is free.

    Raises:
        InputFileError: the file is missing, is something else, or, where a ``.sha256`` stands
            beside it, differs from what was published.
    """
    path = Path(path) if path else resource_path("Models", f"{SHIPPED}.safetensors")
    if not path.is_file():
        raise InputFileError(path, "does not exist; give a file of weights with --weights.")
    return _load(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=2)
def _load(path: Path, _modified: int) -> DensityModel:
    digest = checked_digest(path)
    try:
        file = read_weights_file(path, _KEY)
        network = DensityNetwork(DensityNetworkSettings(**file.description["network"]))
        licence, card = file.description["licence"], file.description["card"]
        network.load_state_dict(file.tensors)
    except UNFIT as error:
        raise InputFileError(
            path,
            "holds no weights of densities; train some with train-density or use those shipped.",
        ) from error
    network.requires_grad_(False).eval()
    identity = ModelIdentity(path.stem, digest, licence)
    return DensityModel(with_fast_layout(network), identity, card)
