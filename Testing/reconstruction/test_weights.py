"""Weights on disk: what goes in comes out, damage is noticed, nothing foreign is run."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from XRayTo3DLib.errors import InputFileError
from XRayTo3DLib.reconstruction.networks import NetworkSettings, ReconstructionNetwork
from XRayTo3DLib.reconstruction.weights import load_model, save_weights
from XRayTo3DLib.resources import named_model, shipped_weights
from XRayTo3DLib.weights_file import checked_digest

MODELS = sorted(
    path for path in shipped_weights().parent.iterdir() if path.suffix in {".safetensors", ".npz"}
)
"""Files of all models that come with the program."""

RECONSTRUCTING = ["knee-encode64", "knee-paper128", "knee-small96"]
"""Names of the shipped weights that reconstruct bones."""

SETTINGS = NetworkSettings(lifting="backproject", size=8, upscale=1, base=4, levels=2)


@pytest.fixture
def saved(tmp_path: Path) -> tuple[ReconstructionNetwork, Path]:
    torch.manual_seed(1)
    network, path = ReconstructionNetwork(SETTINGS), tmp_path / "small.safetensors"
    save_weights(network, path, {"people": ["nobody"]})
    return network, path


def test_round_trip_in_half_precision(saved: tuple[ReconstructionNetwork, Path]) -> None:
    network, path = saved
    model = load_model(path)
    assert model.network.settings == SETTINGS
    assert model.card == {"people": ["nobody"]}
    assert model.identity.name == "small"
    for name, value in network.state_dict().items():
        torch.testing.assert_close(model.network.state_dict()[name], value, rtol=1e-3, atol=1e-3)


def test_the_same_weights_are_the_same_bytes(
    saved: tuple[ReconstructionNetwork, Path], tmp_path: Path
) -> None:
    network, path = saved
    save_weights(network, tmp_path / "again.safetensors", {"people": ["nobody"]})
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()


def test_damage_is_noticed(saved: tuple[ReconstructionNetwork, Path]) -> None:
    _, path = saved
    path.with_suffix(".sha256").write_text(load_model(path).identity.sha256 + "  small\n")
    load_model(path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputFileError, match="small.safetensors.*SHA-256"):
        load_model(path)


@pytest.mark.parametrize("content", [b"", b"not weights at all", pickle.dumps({"a": 1})])
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputFileError, match="other.safetensors"):
        load_model(path)


def test_weights_that_come_with_the_program_have_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_model("knee-encode64").identity == load_model().identity
    (tmp_path / "knee-encode64").mkdir()  # of results, say
    assert named_model("knee-encode64") == shipped_weights()
    (tmp_path / "knee-encode64").rmdir()
    (tmp_path / "knee-encode64").write_bytes(b"the user's own")
    assert named_model("knee-encode64") == Path("knee-encode64")
    with pytest.raises(InputFileError, match="knee-nobody: does not exist; give with --weights"):
        load_model("knee-nobody")


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_what_is_shipped_is_small_and_published(path: Path) -> None:
    assert path.stat().st_size < 12e6
    digest = checked_digest(path)
    assert path.with_suffix(".sha256").read_text(encoding="utf-8") == f"{digest}  {path.name}\n"
    card = path.with_suffix(".md").read_text(encoding="utf-8")
    assert digest in card
    assert "Not for clinical use." in card
    assert "Creative Commons BY-NC-SA 4.0" in card


@pytest.mark.parametrize("name", RECONSTRUCTING)
def test_nobody_held_out_was_learnt_from(name: str) -> None:
    model = load_model(name)
    card = shipped_weights().with_name(f"{name}.md").read_text(encoding="utf-8")
    for person in model.card["held_out"]:
        assert person in card
        assert person not in model.card["people"]
