"""Weights of the network of densities on disk: half precision, safetensors, with their card."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from XRayTo3DLib.reconstruction.weights import (
    LICENCE,
    LoadedNetwork,
    existing_weights,
    load_network,
    save_network,
)
from XRayTo3DLib.resources import resource_path
from XRayTo3DLib.tomography.density_network import DensityNetwork, DensityNetworkSettings

SHIPPED = "knee-density64"
"""Name of the weights that are used unless told otherwise."""

_KEY = "xrayto3d-density"


DensityModel = LoadedNetwork[DensityNetwork]
"""A network that estimates densities."""


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
    save_network(network, path, _KEY, card, licence)


def load_density_model(path: str | Path | None = None) -> DensityModel:
    """Read weights (by default those shipped); a second call for the same file is free.

    Raises:
        InputFileError: the file is missing, is something else, or, where a ``.sha256`` stands
            beside it, differs from what was published.
    """
    path = existing_weights(path, resource_path("Models", f"{SHIPPED}.safetensors"))
    return _load(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=2)
def _load(path: Path, _modified: int) -> DensityModel:
    def built(settings: dict[str, Any]) -> DensityNetwork:
        return DensityNetwork(DensityNetworkSettings(**settings))

    unfit = "holds no weights of densities; train some with train-density or use those shipped."
    return load_network(path, _KEY, built, unfit)
