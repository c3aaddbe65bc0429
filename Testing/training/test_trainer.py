"""Training: seeded, resumable, honest about its settings; and the words that set it up."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from XRayTo3DLib.errors import InputFileError, XRayTo3DError
from XRayTo3DLib.imaging.geometry import view_geometry
from XRayTo3DLib.imaging.projector import projection_matrices
from XRayTo3DLib.imaging.radiograph import Side, View
from XRayTo3DLib.reconstruction.networks import NetworkSettings, ReconstructionNetwork
from XRayTo3DLib.reconstruction.weights import load_model, save_weights
from XRayTo3DLib.run_folder import LOG, load_checkpoint
from XRayTo3DLib.training.cases import Case
from XRayTo3DLib.training.curves import read_log, write_curves
from XRayTo3DLib.training.dataset import TrainingSet, truth_on
from XRayTo3DLib.training.options import setting_names, settings_from
from XRayTo3DLib.training.settings import TrainingSettings
from XRayTo3DLib.training.trainer import (
    Trainer,
    chosen_device,
    export_weights,
    schedule,
)

NETWORK = NetworkSettings(lifting="backproject", size=16, upscale=1, base=4, levels=2)
SETTINGS = TrainingSettings(
    network=NETWORK, steps=4, warmup=1, ngcc_start=2, checkpoint_every=2, validate_every=4
)


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two small cases: a ball that stands for the femur, seen as discs."""
    folder = tmp_path_factory.mktemp("cases")
    views = tuple(
        view_geometry(view, Side.RIGHT, sid=1100, sod=1000, spacing=(0.75, 0.75), shape=(256, 256))
        for view in (View.AP, View.LATERAL)
    )
    z, y, x = np.meshgrid(*(np.linspace(-76, 76, 32),) * 3, indexing="ij")
    rows, columns = np.mgrid[:256, :256] - 127.5
    paths = []
    for number, radius in enumerate((30.0, 40.0)):
        depth = radius - np.sqrt(x**2 + y**2 + z**2)
        disc = 2 * np.sqrt(np.clip(radius**2 - 0.68**2 * (rows**2 + columns**2), 0, None))
        path = folder / f"case_{number:06d}.npz"
        Case(
            np.ones(depth.shape, np.uint8),
            depth.astype(np.float32),
            np.stack([[disc, disc, 80 - disc, 40 + 0 * disc]] * 2).astype(np.float32),
            projection_matrices(views),
            np.stack([[_halved(disc / 8.0), *[np.zeros((128, 128))] * 3]] * 2),
        ).save(path)
        paths.append(path)
    return paths


def _halved(image: np.ndarray) -> np.ndarray:
    return image.clip(0, 1).reshape(128, 2, 128, 2).mean(axis=(1, 3))


def trained(folder: Path, cases: list[Path], settings: TrainingSettings = SETTINGS) -> dict:
    return load_checkpoint(Trainer(settings, cases, cases[:1], folder).run())


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(cases: list[Path], tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole", cases)

    def stop(step: object) -> None:
        if step.step == 3:  # between two checkpoints
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Trainer(SETTINGS, cases, cases[:1], tmp_path / "parts").run(stop)
    assert load_checkpoint(tmp_path / "parts" / "checkpoint.pt")["step"] == 3
    parts = trained(tmp_path / "parts", cases)
    assert parts["step"] == whole["step"] == 4
    for name, value in whole["average"].items():
        torch.testing.assert_close(parts["average"][name], value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("stopped", [2, 5])
def test_silhouettes_are_learnt_first_and_a_stop_in_either_stage_changes_nothing(
    cases: list[Path], tmp_path: Path, stopped: int
) -> None:
    network = NetworkSettings(size=16, upscale=1, base=4, levels=2, film_base=4, silhouettes=True)
    settings = replace(SETTINGS, network=network, film_steps=3, film_batch=2, steps=3)
    whole = trained(tmp_path / "whole", cases, settings)

    def stop(step: object) -> None:
        if step.step == stopped:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Trainer(settings, cases, cases[:1], tmp_path / "parts").run(stop)
    parts = trained(tmp_path / "parts", cases, settings)
    assert parts["step"] == whole["step"] == 6
    for name, value in whole["average"].items():
        torch.testing.assert_close(parts["average"][name], value, rtol=1e-3, atol=1e-4)
    entries = read_log(tmp_path / "parts" / LOG)
    assert ["cross_entropy" in entry for entry in entries] == [False] * 3 + [True] * 3
    assert all("silhouette_loss" in entry for entry in entries)
    assert 0 <= entries[2]["silhouette_femur"] <= 1
    write_curves(tmp_path / "parts" / LOG, tmp_path / "curves.png")


def test_silhouettes_alone_leave_the_volume_network_as_it_was(
    cases: list[Path], tmp_path: Path
) -> None:
    network = NetworkSettings(size=16, upscale=1, base=4, levels=2, film_base=4, silhouettes=True)
    settings = replace(SETTINGS, network=network, film_steps=2, film_batch=1, steps=1)
    torch.manual_seed(settings.seed)
    fresh = ReconstructionNetwork(network).state_dict()

    def stop(step: object) -> None:
        if step.step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Trainer(settings, cases, [], tmp_path).run(stop)
    learnt = load_checkpoint(tmp_path / "checkpoint.pt")["network"]
    for name, value in fresh.items():
        assert torch.equal(learnt[name], value) is name.startswith("volume"), name


def test_the_films_grow_harder(cases: list[Path]) -> None:
    ramped = TrainingSet(cases, NETWORK, 6, seed=5, strength=1.0, ramp=4)
    half = TrainingSet(cases, NETWORK, 6, seed=5, strength=0.5)
    whole = TrainingSet(cases, NETWORK, 6, seed=5, strength=1.0)
    torch.testing.assert_close(ramped[0].films, half[0].films)
    torch.testing.assert_close(ramped[5].films, whole[5].films)
    assert not torch.equal(ramped[2].films, whole[2].films)


def test_the_log_holds_losses_and_validation(cases: list[Path], tmp_path: Path) -> None:
    trained(tmp_path, cases)
    entries = read_log(tmp_path / LOG)
    assert [entry["step"] for entry in entries] == [1, 2, 3, 4]
    assert "reprojection" in entries[-1]
    assert "reprojection" not in entries[0]
    assert 0 <= entries[-1]["dice_femur"] <= 1
    write_curves(tmp_path / LOG, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes()[:4] == b"\x89PNG"


def test_other_settings_do_not_continue_a_run(cases: list[Path], tmp_path: Path) -> None:
    trained(tmp_path, cases)
    with pytest.raises(XRayTo3DError, match="other settings"):
        Trainer(settings_from("paper", []), cases, [], tmp_path)


def test_weights_carry_their_history(cases: list[Path], tmp_path: Path) -> None:
    trained(tmp_path, cases)
    bank = {"knees": ["a_left", "a_right", "femora/b_left"], "held_out": ["c"]}
    export_weights(tmp_path / "checkpoint.pt", tmp_path / "w.safetensors", bank)
    card = load_model(tmp_path / "w.safetensors").card
    assert card["people"] == ["a", "b"]
    assert card["held_out"] == ["c"]
    assert TrainingSettings.from_dict(card["settings"]) == SETTINGS


def test_an_item_is_the_same_whenever_it_is_asked_for(cases: list[Path]) -> None:
    items = TrainingSet(cases, NETWORK, 6, seed=5, strength=1.0)
    torch.testing.assert_close(items[3].films, items[3].films, rtol=0, atol=0)
    assert not torch.equal(items[0].films, items[2].films)
    other = TrainingSet(cases, NETWORK, 6, seed=6, strength=1.0)
    assert not torch.equal(items[0].films, other[0].films)


def test_every_case_is_seen_before_one_is_seen_again(cases: list[Path]) -> None:
    items = TrainingSet(cases, NETWORK, 6, seed=5, strength=0.0)
    for epoch in range(3):
        sizes = {int((items[2 * epoch + k].depth > 0).sum()) for k in range(2)}
        assert len(sizes) == 2


def test_coarser_truth_spans_the_same_cube(cases: list[Path]) -> None:
    case = Case.load(cases[0])
    nearest, depth = truth_on(case, 16)
    assert nearest.shape == depth.shape == (16, 16, 16)
    coarse = (depth > 0).double().mean()
    assert float(coarse) == pytest.approx((case.depth > 0).mean(), rel=0.15)


def test_schedule_warms_up_and_ends_at_nothing() -> None:
    assert schedule(0, 100, 1000) == pytest.approx(0.01)
    assert schedule(99, 100, 1000) == pytest.approx(1.0)
    assert schedule(550, 100, 1000) == pytest.approx(0.5)
    assert schedule(1000, 100, 1000) == pytest.approx(0.0, abs=1e-12)
    assert schedule(0, 0, 1000) == pytest.approx(1.0)


def test_settings_survive_json() -> None:
    settings = settings_from("paper", ["steps=7", "network.base=16", "learning_rate=1e-4"])
    assert (settings.steps, settings.network.base, settings.learning_rate) == (7, 16, 1e-4)
    assert settings.network.lifting == "stack"
    again = TrainingSettings.from_dict(json.loads(json.dumps(settings.as_dict())))
    assert again == settings
    assert "network.base=16" in setting_names()


@pytest.mark.parametrize(
    ("preset", "pair", "said"),
    [
        ("nothing", "steps=1", "nothing"),
        ("paper", "steps", "steps=2000"),
        ("paper", "stepps=2", "stepps"),
        ("paper", "steps=many", "many"),
        ("paper", "steps=2.5", "2.5"),
        ("paper", "precision=float16", "float16"),
        ("paper", "network.lifting=magic", "magic"),
        ("paper", "steps=-3", "-3"),
        ("paper", "batch=0", "batch"),
        ("paper", "learning_rate=0", "learning_rate"),
        ("paper", "film_strength=1.5", "1.5"),
        ("paper", "ema=1", "ema"),
        ("paper", "network.base=0", "base"),
        ("paper", "network.field_of_view=-1", "field_of_view"),
        ("paper", "network.silhouettes=1", "encode"),
    ],
)
def test_wrong_words_are_said(preset: str, pair: str, said: str) -> None:
    with pytest.raises(XRayTo3DError, match=said):
        settings_from(preset, [pair])


def test_devices() -> None:
    assert chosen_device("cpu") == torch.device("cpu")
    with pytest.raises(XRayTo3DError, match="tpu"):
        chosen_device("tpu")


@pytest.mark.parametrize("content", ["", "no json", '{"loss": 1}'])
def test_a_log_that_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / LOG).write_text(content, encoding="utf-8")
    with pytest.raises(InputFileError, match=LOG):
        read_log(tmp_path / LOG)


def test_a_run_can_begin_with_weights(cases: list[Path], tmp_path: Path) -> None:
    trained(tmp_path / "first", cases)
    weights = tmp_path / "first.safetensors"
    export_weights(tmp_path / "first" / "checkpoint.pt", weights, {})
    still = replace(SETTINGS, steps=1, learning_rate=1e-12, film_learning_rate=1e-12)
    Trainer(still, cases, [], tmp_path / "second", start=weights).run()
    learnt = load_checkpoint(tmp_path / "second" / "checkpoint.pt")["network"]
    for name, value in load_model(weights).network.state_dict().items():
        torch.testing.assert_close(learnt[name], value, atol=1e-6, rtol=0)


def test_a_run_on_fine_voxels_can_begin_with_weights_of_coarse_ones(
    cases: list[Path], tmp_path: Path
) -> None:
    coarse = replace(SETTINGS, network=replace(NETWORK, size=8), steps=2)
    Trainer(coarse, cases, [], tmp_path / "coarse").run()
    weights = tmp_path / "coarse.safetensors"
    export_weights(tmp_path / "coarse" / "checkpoint.pt", weights, {})
    still = replace(SETTINGS, steps=1, learning_rate=1e-12)
    Trainer(still, cases, [], tmp_path / "fine", start=weights).run()
    export_weights(tmp_path / "fine" / "checkpoint.pt", tmp_path / "fine.safetensors", {})
    fine = load_model(tmp_path / "fine.safetensors").network
    assert fine.settings == NETWORK
    for name, value in load_model(weights).network.state_dict().items():
        torch.testing.assert_close(fine.state_dict()[name], value, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    ("learnt", "wanted"),
    [
        (NETWORK, replace(NETWORK, base=8)),
        (replace(NETWORK, lifting="latent"), replace(NETWORK, lifting="latent", size=32)),
    ],
)
def test_weights_of_another_network_cannot_begin_a_run(
    cases: list[Path], tmp_path: Path, learnt: NetworkSettings, wanted: NetworkSettings
) -> None:
    weights = tmp_path / "first.safetensors"
    save_weights(ReconstructionNetwork(learnt), weights, {})
    other = replace(SETTINGS, network=wanted)
    with pytest.raises(XRayTo3DError, match="first.safetensors is of another network"):
        Trainer(other, cases, [], tmp_path / "second", start=weights)
