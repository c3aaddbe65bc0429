"""Weights between two trainings: only the films' network is mixed, and linearly."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.reconstruction.networks import NetworkSettings, ReconstructionNetwork
from XRayTo3DLib.reconstruction.weights import load_model, save_weights
from XRayTo3DLib.training.mixing import mix_films

SETTINGS = NetworkSettings(size=8, base=2, levels=2, film_base=2, film_features=2, film_size=32)


def weights(path: Path, seed: int, settings: NetworkSettings = SETTINGS) -> Path:
    torch.manual_seed(seed)
    save_weights(ReconstructionNetwork(settings), path, {"steps": seed})
    return path


def test_the_films_network_lies_between_and_the_rest_is_of_the_later_one(tmp_path: Path) -> None:
    before, after = (weights(tmp_path / f"{n}.safetensors", n) for n in (1, 2))
    mix_films(before, after, 0.25, tmp_path / "mixed.safetensors")
    old, new, mixed = (
        load_model(tmp_path / f"{name}.safetensors").network.state_dict()
        for name in ("1", "2", "mixed")
    )
    for name, value in mixed.items():
        expected = 0.75 * old[name] + 0.25 * new[name] if name.startswith("films.") else new[name]
        torch.testing.assert_close(value, expected, atol=1e-3, rtol=1e-3)
    moved = [name for name in old if not torch.equal(old[name], new[name])]
    assert any(name.startswith("films.") for name in moved)


def test_the_card_says_what_was_mixed(tmp_path: Path) -> None:
    before, after = (weights(tmp_path / f"{n}.safetensors", n) for n in (1, 2))
    mix_films(before, after, 0.5, tmp_path / "mixed.safetensors")
    card = load_model(tmp_path / "mixed.safetensors").card
    assert card["films_mixed_with"] == {"sha256": load_model(before).identity.sha256, "share": 0.5}
    assert card["steps"] == 2


def test_what_cannot_be_mixed_is_refused(tmp_path: Path) -> None:
    before, after = (weights(tmp_path / f"{n}.safetensors", n) for n in (1, 2))
    flat = NetworkSettings(lifting="backproject", size=8, base=2, levels=2)
    other = weights(tmp_path / "other.safetensors", 3, flat)
    with pytest.raises(XRayTo3DError, match="not of one network"):
        mix_films(before, other, 0.5, tmp_path / "mixed.safetensors")
    with pytest.raises(XRayTo3DError, match="not of one network"):
        mix_films(other, other, 0.5, tmp_path / "mixed.safetensors")
    with pytest.raises(XRayTo3DError, match="from 0 to 1, not 1.5"):
        mix_films(before, after, 1.5, tmp_path / "mixed.safetensors")
    assert not (tmp_path / "mixed.safetensors").exists()
