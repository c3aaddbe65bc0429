"""Metal on films of the simulator and drawn onto the sample films, and what is none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.knee import Knee
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.anatomy.tissue import extended, make_tissues, material_paths
from XRayTo3DLib.errors import InputFileError
from XRayTo3DLib.imaging.film import simulate_film
from XRayTo3DLib.imaging.film_settings import FilmSettings
from XRayTo3DLib.imaging.geometry import view_geometry
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.lead_marker import Marker, marker_mask
from XRayTo3DLib.imaging.materials import Material, linear_attenuation
from XRayTo3DLib.imaging.radiograph import Origin, Radiograph, Side, Sourced, View
from XRayTo3DLib.imaging.reading import read_radiograph
from XRayTo3DLib.reconstruction.implant_network import (
    ImplantNetwork,
    ImplantSettings,
    as_seen,
    load_implant_network,
)
from XRayTo3DLib.reconstruction.implants import metal_on
from XRayTo3DLib.reconstruction.weights import load_model
from XRayTo3DLib.resources import resource_path, shipped_weights


@pytest.fixture(scope="module", params=["knee_ap", "knee_lateral"])
def film(request: pytest.FixtureRequest) -> Radiograph:
    return read_radiograph(resource_path("SampleData") / f"{request.param}.dcm")


def places(film: Radiograph) -> tuple[np.ndarray, np.ndarray]:
    """mm at the isocentre of each pixel down and right of the film's middle."""
    size = film.spacing.value[0] / film.magnification
    rows, columns = film.pixels.shape
    down, right = np.mgrid[:rows, :columns]
    return (down - (rows - 1) / 2) * size, (right - (columns - 1) / 2) * size


def with_metal(film: Radiograph, mask: np.ndarray) -> Radiograph:
    """Metal takes the upper part of the film's greys."""
    pixels = 0.6 * film.pixels + mask
    return replace(film, pixels=np.clip(pixels, 0, 1).astype(np.float32))


def middle_bones() -> tuple[torch.Tensor, float]:
    """Silhouettes of a leg of bone, 60 mm wide, along the middle of the film."""
    silhouettes = torch.zeros(4, 128, 128)
    silhouettes[0, :, 42:86] = 1.0
    return silhouettes, 1.36


def test_a_film_without_metal_shows_none(film: Radiograph) -> None:
    assert metal_on(film) == 0


def test_a_plate_is_measured(film: Radiograph) -> None:
    down, right = places(film)
    plate = (np.abs(down - 45) < 30) & (np.abs(right) < 6)
    area = metal_on(with_metal(film, plate), middle_bones)
    # Bright bone beside metal is marked with it.
    assert 0.8 * 60 * 12 < area < 2.2 * 60 * 12


def test_a_screw_is_found(film: Radiograph) -> None:
    down, right = places(film)
    screw = (np.abs(down + 0.3 * right - 30) < 3) & (np.abs(right) < 20)
    assert metal_on(with_metal(film, screw), middle_bones) > 100


def test_coarser_and_finer_films_show_as_much(film: Radiograph) -> None:
    down, right = places(film)
    shown = with_metal(film, (np.abs(down - 45) < 30) & (np.abs(right) < 6))
    expected = metal_on(shown)
    finer = shown.pixels.repeat(2, axis=0).repeat(2, axis=1)
    spacing = tuple(value / 2 for value in shown.spacing.value)
    finer_film = replace(shown, pixels=finer, spacing=replace(shown.spacing, value=spacing))
    assert metal_on(finer_film) == pytest.approx(expected, rel=0.05)


def test_metal_beside_the_bones_does_not_count(film: Radiograph) -> None:
    down, right = places(film)
    beside = (np.abs(down - 45) < 20) & (np.abs(right - 50) < 6)
    seen = with_metal(film, beside)
    assert metal_on(seen) > 0
    assert metal_on(seen, middle_bones) == 0


def test_a_haze_is_no_implant(film: Radiograph) -> None:
    down, right = places(film)
    haze = np.exp(-(down**2 + right**2) / (2 * 25.0**2))
    assert metal_on(with_metal(film, 0.5 * haze)) == 0


@pytest.mark.parametrize("text", ["L", "R", "RX"])
def test_letters_in_a_corner_are_no_implant(film: Radiograph, text: str) -> None:
    marker = Marker(text, (0.1, 0.9), height=0.08, rotation=12.0)
    mask = marker_mask(torch.from_numpy(film.pixels), marker).numpy()
    lettered = replace(film, pixels=np.maximum(film.pixels, mask))
    assert metal_on(lettered, middle_bones) == 0


def test_the_border_of_the_exposed_field_is_no_implant(film: Radiograph) -> None:
    down, right = places(film)
    border = (np.abs(down) > 75) | (np.abs(right) > 70)
    assert metal_on(with_metal(film, border)) == 0


# Films of a leg of capsules.

STEP = 0.6


@pytest.fixture(scope="module")
def paths(toy_knee: dict[Bone, Surface]) -> torch.Tensor:
    """mm of each material on a frontal film of 180 mm at the knee."""
    knee = Knee("toy", "nobody", Side.RIGHT, toy_knee)
    tissues = make_tissues(knee, extended(VolumeGrid.cube(128, 153.6)), np.random.default_rng(3))
    spacing = STEP * 1.1
    stand = view_geometry(
        View.AP,
        Side.RIGHT,
        sid=1100.0,
        sod=1000.0,
        spacing=(spacing, spacing),
        shape=(300, 300),
    )
    return material_paths(tissues, stand)


def simulated(paths: torch.Tensor, steel: np.ndarray, seed: int) -> Radiograph:
    """A film, half randomised, through mm of steel (9.5/cm at 60 keV)."""
    rng = np.random.default_rng(seed)
    settings = replace(FilmSettings.random(rng, 0.5), collimation=None, energy_kev=60.0)
    ratio = 0.952 / float(linear_attenuation(Material.CORTEX, 60.0)) / settings.cortex_density
    with_steel = paths.clone()
    with_steel[Material.CORTEX] += torch.from_numpy(steel * ratio).float()
    pixels = simulate_film(with_steel, STEP, settings, torch.Generator().manual_seed(seed))
    header = Origin.HEADER
    return Radiograph(
        pixels=pixels.numpy(),
        spacing=Sourced((1.1 * STEP, 1.1 * STEP), header),
        sid=Sourced(1100.0, header),
        sod=Sourced(1000.0, header),
        view=Sourced(View.AP, header),
        side=Sourced(Side.RIGHT, header),
        orientation=Sourced(("L", "F"), header),
        inverted=Sourced(False, header),
    )


def test_plates_on_simulated_films_are_told_from_bone(paths: torch.Tensor) -> None:
    down, right = (np.mgrid[:300, :300] - 149.5) * STEP
    plate = 4.0 * ((np.abs(down + 50) < 35) & (np.abs(right - 10) < 6))
    plain = [metal_on(simulated(paths, 0 * plate, seed), middle_bones) for seed in range(8)]
    plated = [metal_on(simulated(paths, plate, seed), middle_bones) for seed in range(8)]
    assert sum(area > 0 for area in plain) <= 1
    assert sum(area == pytest.approx(70 * 12, rel=0.25) for area in plated) >= 7


# The network and its file.


def test_it_takes_films_of_any_size() -> None:
    network = ImplantNetwork(ImplantSettings(base=4, levels=3)).eval()
    for shape in ((64, 64), (37, 51), (9, 130)):
        assert network(torch.rand(1, 2, *shape)).shape == (1, 1, *shape)


def test_what_it_sees_does_not_depend_on_the_window() -> None:
    film = torch.rand(80, 90, generator=torch.Generator().manual_seed(1)) ** 2
    torch.testing.assert_close(as_seen(film), as_seen(37.0 * film - 5.0), rtol=1e-3, atol=1e-3)
    assert not as_seen(torch.full((40, 40), 0.3)).any()


def test_what_is_shipped_is_small_and_published() -> None:
    path = resource_path("Models", "knee-metal.safetensors")
    assert path.stat().st_size < 1e6
    published = path.with_suffix(".sha256").read_text(encoding="utf-8").split()[0]
    card = path.with_suffix(".md").read_text(encoding="utf-8")
    assert published in card
    known = load_implant_network(path).card
    for person in known["held_out"]:
        assert person in card
        assert not any(name.split("/")[-1].startswith(person) for name in known["knees"])


def test_weights_of_another_kind_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="mark metal"):
        load_implant_network(shipped_weights())
    with pytest.raises(InputFileError, match="holds no weights"):
        load_model(resource_path("Models", "knee-metal.safetensors"))
