"""Training of a translation: resumable, honest, and able to learn the plainest of styles."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from XRayTo3DLib.commands.train_style import train_style
from XRayTo3DLib.errors import InputFileError, XRayTo3DError
from XRayTo3DLib.run_folder import LOG, load_checkpoint
from XRayTo3DLib.style.film_sets import save_film
from XRayTo3DLib.style.histogram_matching import reference_quantiles
from XRayTo3DLib.style.style_settings import StyleSettings, settings_for
from XRayTo3DLib.style.style_training import StyleTrainer, crops
from XRayTo3DLib.style.style_weights import load_style, new_generator
from XRayTo3DLib.style.translate import translate
from XRayTo3DLib.training.curves import read_log

SETTINGS = StyleSettings(steps=4, crop=32, history=2, checkpoint_every=2, sheet_every=100)


def films(count: int, power: float, seed: int, size: int = 64) -> torch.Tensor:
    """Bright blobs on dark ground, whose greys follow a power."""
    noise = np.random.default_rng(seed).standard_normal((count, 1, size, size))
    smooth = ndimage.gaussian_filter(noise, (0, 0, 5, 5))
    ranks = smooth.argsort(axis=None).argsort().reshape(smooth.shape) / smooth.size
    return torch.from_numpy(ranks**power).float()


def stop_at(number: int):  # noqa: ANN201
    def report(step) -> None:  # noqa: ANN001
        if step.step == number:
            raise KeyboardInterrupt

    return report


@pytest.mark.parametrize("method", ["cyclegan", "curves"])
def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(method: str, tmp_path: Path) -> None:
    settings = replace(SETTINGS, method=method)
    sides = films(3, 1.0, 0), films(3, 0.4, 1)
    whole = load_checkpoint(StyleTrainer(settings, *sides, tmp_path / "whole").run())
    with pytest.raises(KeyboardInterrupt):
        StyleTrainer(settings, *sides, tmp_path / "parts").run(stop_at(3))
    parts = load_checkpoint(StyleTrainer(settings, *sides, tmp_path / "parts").run())
    assert parts["step"] == whole["step"] == 4
    for name, value in whole["average"].items():
        assert torch.allclose(value, parts["average"][name], atol=1e-6), name
    for part in whole["parts"]:
        for name, value in whole["parts"][part].items():
            assert torch.allclose(value, parts["parts"][part][name], atol=1e-6), name
    assert [entry["step"] for entry in read_log(tmp_path / "parts" / LOG)] == [1, 2, 3, 4]


def test_a_run_with_other_settings_is_left_alone(tmp_path: Path) -> None:
    sides = films(2, 1.0, 0), films(2, 0.4, 1)
    StyleTrainer(replace(SETTINGS, steps=1), *sides, tmp_path).run()
    before = (tmp_path / "checkpoint.pt").read_bytes()
    with pytest.raises(XRayTo3DError, match="holds a run with other settings"):
        StyleTrainer(SETTINGS, *sides, tmp_path)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"no checkpoint"])
def test_a_damaged_checkpoint(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(content)
    with pytest.raises(InputFileError, match="is not a checkpoint"):
        StyleTrainer(SETTINGS, films(2, 1.0, 0), films(2, 0.4, 1), tmp_path)


def test_the_checkpoint_of_another_training(tmp_path: Path) -> None:
    torch.save({"step": 3}, tmp_path / "checkpoint.pt")
    with pytest.raises(XRayTo3DError, match="other settings"):
        StyleTrainer(SETTINGS, films(2, 1.0, 0), films(2, 0.4, 1), tmp_path)


def test_crops_come_from_the_films() -> None:
    whole = torch.arange(2 * 64 * 64).reshape(2, 1, 64, 64)
    drawn = crops(whole, 32, 5, np.random.default_rng(0))
    assert drawn.shape == (5, 1, 32, 32)
    for square in drawn[:, 0]:
        film, place = divmod(int(square[0, 0]), 64 * 64)
        row, column = divmod(place, 64)
        assert torch.equal(square, whole[film, 0, row : row + 32, column : column + 32])


def test_tone_curves_learn_to_brighten_and_to_darken(tmp_path: Path) -> None:
    """The two styles differ by the power of the greys alone, and the adversary says which way."""
    dark, bright = films(6, 2.5, 0, 32), films(6, 0.4, 1, 32)
    settings = replace(
        SETTINGS,
        method="curves",
        steps=40,
        learning_rate=1e-2,
        adversary_rate=2e-3,
        cycle=0.0,
        identity=0.0,
        ema=0.5,
        checkpoint_every=40,
    )
    state = load_checkpoint(StyleTrainer(settings, dark, bright, tmp_path).run())
    styled = {}
    for name, side in (("to_drr", dark), ("to_radiograph", bright)):
        generator = new_generator("curves")
        generator.load_state_dict(state["parts"][name])
        with torch.no_grad():
            styled[name] = generator(side).mean()
    apart = bright.mean() - dark.mean()
    assert styled["to_drr"] - dark.mean() > 0.05 * apart
    assert bright.mean() - styled["to_radiograph"] > 0.05 * apart


def test_the_command(tmp_path: Path) -> None:
    for name, power in (("radiographs", 2.0), ("drrs", 0.6)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "films.json").write_text('{"people": ["somebody"]}')
        for number, film in enumerate(films(2, power, 3, 256)):
            save_film(film[0].numpy(), tmp_path / name / f"film_{number}.png")
    run = tmp_path / "run"
    train_style(tmp_path / "radiographs", tmp_path / "drrs", run, steps=1, crop=32, threads=1)
    model = load_style(run / "weights.safetensors")
    assert model.method == "cyclegan"
    assert model.card["radiographs"] == {"films": 2, "people": ["somebody"]}
    assert model.card["settings"]["crop"] == 32
    assert torch.allclose(model.reference, reference_quantiles(films(2, 0.6, 3, 256)), atol=1e-3)
    generator = new_generator("cyclegan")
    generator.load_state_dict(load_checkpoint(run / "checkpoint.pt")["average"])
    film = films(1, 2.0, 4, 256)
    with torch.no_grad():
        expected = generator(film)[0, 0].clamp(0, 1)
    assert torch.allclose(translate(film[0, 0], model), expected, atol=5e-3)  # half precision
    made = {path.name for path in run.iterdir()}
    assert made == {
        "checkpoint.pt",
        "curves.png",
        "log.jsonl",
        "samples_000001.png",
        "weights.safetensors",
        "weights.sha256",
    }


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"method": "magic"}, "--method is one of cyclegan, curves, not magic"),
        ({"crop": 100}, "multiple of 32 up to 256, not 100"),
        ({"crop": 288}, "not 288"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"anatomy": -1.0}, "must not be negative"),
        ({"anatomy": float("nan")}, "must not be negative"),
        ({"learning_rate": 0.0}, "must be positive"),
        ({"ema": 1.0}, "below 1"),
    ],
)
def test_settings_out_of_range(changes: dict, sentence: str) -> None:
    with pytest.raises(XRayTo3DError, match=sentence):
        replace(SETTINGS, **changes)


def test_each_method_has_its_defaults() -> None:
    assert settings_for("cyclegan", None, None).crop == 128
    assert settings_for("curves", None, None).crop == 256
    assert settings_for("curves", 64, 0.1, seed=3) == StyleSettings(
        method="curves", crop=64, learning_rate=0.1, seed=3
    )
