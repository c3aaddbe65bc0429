"""Films with metal, and a network that learns from them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from XRayTo3DLib.imaging.materials import Material
from XRayTo3DLib.reconstruction.implant_network import ImplantSettings, load_implant_network
from XRayTo3DLib.run_folder import LOG
from XRayTo3DLib.training.cases import Case
from XRayTo3DLib.training.metal_films import MetalSample, metal_sample
from XRayTo3DLib.training.metal_training import (
    MetalTrainingSettings,
    batches,
    films_with_metal,
    metal_loss,
    presence_loss,
    train_metal,
)

SETTINGS = MetalTrainingSettings(
    network=ImplantSettings(base=4, levels=2), steps=3, batch=4, cases=1, pool=6, crop=64, warmup=1
)


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A leg of bars: femur above, tibia below, in muscle."""
    down, right = np.mgrid[-127.5:128, -127.5:128] * 0.68
    femur, tibia = (np.abs(right) < 30) & (down < -3), (np.abs(right) < 28) & (down > 3)
    paths = np.zeros((2, 4, 256, 256), dtype=np.float32)
    paths[:, Material.SPONGIOSA] = 40.0 * (femur | tibia)
    paths[:, Material.MUSCLE] = 2 * np.sqrt(np.maximum(70.0**2 - right**2, 0))
    silhouettes = np.zeros((2, 4, 128, 128), dtype=np.float32)
    silhouettes[:, 0], silhouettes[:, 1] = femur[::2, ::2], tibia[::2, ::2]
    path = tmp_path_factory.mktemp("cases") / "case_000000.npz"
    empty = np.zeros((8, 8, 8))
    Case(empty.astype(np.uint8) + 1, empty, paths, np.zeros((2, 3, 4)), silhouettes).save(path)
    return path


def samples(case: Path, share: float, count: int = 8, strength: float = 0.3) -> list[MetalSample]:
    return [
        sample
        for seed in range(count)
        for sample in films_with_metal(case, [seed, 6], strength, share, moved=False)
    ]


def test_the_mask_is_where_the_film_is_brighter(case: Path) -> None:
    for sample in samples(case, 1.0):
        assert sample.film.shape == (2, 256, 256)
        assert sample.metal.shape == sample.counts.shape == (1, 256, 256)
        if not sample.kind:
            continue
        assert sample.metal.max() == 1.0
    brighter = [
        float(sample.film[0][metal].mean() - sample.film[0][bone & ~metal].mean())
        for sample in samples(case, 1.0)
        for metal, bone in [(sample.metal[0] > 0.5, sample.film[0] > 0.3)]
        if sample.kind and metal.any()
    ]
    assert np.mean(np.array(brighter) > 0.1) > 0.8


def test_most_films_without_implants_show_none(case: Path) -> None:
    """A few show a ball or buttons beside the leg."""
    shown = [bool(sample.metal.any()) for sample in samples(case, 0.0, 12)]
    assert np.mean(shown) < 0.3
    assert not any(sample.kind for sample in samples(case, 0.0))


def test_the_same_seed_gives_the_same_film(case: Path) -> None:
    loaded = Case.load(case)
    bones = loaded.silhouettes[0].repeat(2, axis=1).repeat(2, axis=2)
    first, second, other = (
        metal_sample(loaded.paths[0], bones, False, [seed], 1.0, 1.0) for seed in (3, 3, 4)
    )
    assert torch.equal(first.film, second.film)
    assert torch.equal(first.metal, second.metal)
    assert not torch.equal(first.film, other.film)


def test_films_are_shown_again_for_a_while(case: Path) -> None:
    whole = replace(SETTINGS, steps=3, crop=256)
    shown = list(batches([case], whole))
    assert all(batch.shape == (4, 4, 256, 256) for batch in shown)
    earlier = [film for batch in shown[:2] for film in batch]
    again = [
        any(torch.equal(film, old) or torch.equal(film, old.flip(-1)) for old in earlier)
        for film in shown[2]
    ]
    assert 0 < sum(again) <= 2  # the other two were made for this step


def test_films_are_shown_in_part(case: Path) -> None:
    first, second = (next(iter(batches([case], SETTINGS))) for _ in range(2))
    assert first.shape == (4, 4, 64, 64)
    assert torch.equal(first, second)


def test_the_loss_knows_right_from_wrong_and_what_counts() -> None:
    metal = torch.zeros(1, 1, 8, 8)
    metal[..., 2:5, 2:5] = 1.0
    counts = torch.ones_like(metal)
    right, wrong = 20.0 * (2 * metal - 1), 20.0 * (1 - 2 * metal)
    assert float(metal_loss(right, metal, counts)) < 1e-3
    assert float(metal_loss(wrong, metal, counts)) > 10
    half = right.clone()
    half[..., 7, 7] = 20.0
    assert float(metal_loss(half, metal, counts)) > 0.2
    counts[..., 7, 7] = 0.0
    assert float(metal_loss(half, metal, counts)) < 1e-3


def test_a_false_alarm_costs_more_than_the_mean_pixel() -> None:
    metal, counts = torch.zeros(2, 1, 32, 32), torch.ones(2, 1, 32, 32)
    metal[1, :, 4:16, 4:16] = 1.0  # 144 pixels
    right = 10.0 * (2 * metal - 1)
    assert float(presence_loss(right, metal, counts)) < 1e-3
    alarm, missed = right.clone(), right.clone()
    alarm[0, :, :12, :12] = 10.0
    missed[1] = -10.0
    for wrong in (alarm, missed):
        assert float(presence_loss(wrong, metal, counts)) == pytest.approx(5.0, abs=0.01)
    counts[0, :, :12, :12] = 0.0
    assert float(presence_loss(alarm, metal, counts)) < 1e-3
    metal[1, :, 8:] = 0.0  # 48 pixels, too few to matter either way
    assert float(presence_loss(missed, metal, counts)) < 1e-3


def test_training_is_seeded_logged_and_saved(case: Path, tmp_path: Path) -> None:
    first = train_metal([case], tmp_path / "first", SETTINGS)
    again = train_metal([case], tmp_path / "again", SETTINGS)
    assert first.read_bytes() == again.read_bytes()
    lines = (tmp_path / "first" / LOG).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3]
    further = train_metal([case], tmp_path / "further", SETTINGS, start=first)
    assert further.read_bytes() != first.read_bytes()
    loaded = load_implant_network(first)
    network, card = loaded.network, loaded.card
    assert network.settings == SETTINGS.network
    assert card["steps"] == 3
    assert not network.training
