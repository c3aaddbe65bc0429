"""Casts drawn onto the sample films with the chord lengths of a tube, and what is none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from casts import Cast, Plaster, with_cast

from XRayTo3DLib.imaging.detector_signal import detector_signal
from XRayTo3DLib.imaging.film_settings import FilmSettings
from XRayTo3DLib.imaging.radiograph import Radiograph, Side, View
from XRayTo3DLib.imaging.reading import read_radiograph
from XRayTo3DLib.reconstruction.casts import bands_beside, shows_cast
from XRayTo3DLib.reconstruction.checking import check_films
from XRayTo3DLib.reconstruction.recognition_looks import bones_seen
from XRayTo3DLib.reconstruction.weights import load_model
from XRayTo3DLib.resources import resource_path


@pytest.fixture(scope="module", params=["knee_ap", "knee_lateral"])
def film(request: pytest.FixtureRequest) -> Radiograph:
    return read_radiograph(resource_path("SampleData") / f"{request.param}.dcm")


def bones(film: Radiograph) -> tuple[torch.Tensor, float]:
    return bones_seen(film, load_model())


def across(film: Radiograph) -> np.ndarray:
    """mm at the isocentre of each pixel right of the film's middle."""
    size = film.spacing.value[1] / film.magnification
    columns = np.arange(film.pixels.shape[1]) - (film.pixels.shape[1] - 1) / 2
    return np.broadcast_to(columns * size, film.pixels.shape)


def chords(across: np.ndarray, inner: float, outer: float) -> np.ndarray:
    """mm of an upright tube's wall along parallel rays."""
    outside, inside = (np.sqrt(np.clip(r**2 - across**2, 0, None)) for r in (outer, inner))
    return 2 * (outside - inside)


def with_tube(film: Radiograph, share: float = 0.01) -> Radiograph:
    """A tube of 74 to 80 mm about the middle, ``share`` of the film's greys for each mm."""
    low, high = film.pixels.min(), film.pixels.max()
    added = share * (high - low) * chords(across(film), 74.0, 80.0)
    return replace(film, pixels=(film.pixels + added).astype(np.float32))


def test_a_film_without_a_cast_shows_none(film: Radiograph) -> None:
    assert not shows_cast(film, bones(film))


def test_a_tube_about_the_leg_is_a_cast(film: Radiograph) -> None:
    assert shows_cast(with_tube(film), bones(film))


def test_a_left_leg_is_the_mirror_image(film: Radiograph) -> None:
    tube = with_tube(film)
    left = replace(tube, pixels=tube.pixels[:, ::-1], side=replace(film.side, value=Side.LEFT))
    found, step = bones(film)
    assert shows_cast(left, (found.flip(-1), step))
    there, mirrored = bands_beside(tube, found, step), bands_beside(left, found.flip(-1), step)
    assert mirrored.left == pytest.approx(there.right, abs=0.01)
    assert mirrored.right == pytest.approx(there.left, abs=0.01)


def test_more_soft_tissue_is_no_cast(film: Radiograph) -> None:
    radius = np.sqrt(np.clip(80.0**2 - across(film) ** 2, 0, None))
    span = film.pixels.max() - film.pixels.min()
    thick = replace(film, pixels=(film.pixels + 0.01 * span * radius).astype(np.float32))
    assert not shows_cast(thick, bones(film))


def test_a_short_bar_beside_the_leg_is_no_cast(film: Radiograph) -> None:
    pixels = film.pixels.copy()
    rows = pixels.shape[0]
    bar = np.abs(across(film) + 75) < 3
    bar[: rows // 2] = False
    pixels[bar] = pixels.max()
    assert not shows_cast(replace(film, pixels=pixels), bones(film))


def test_nothing_is_seen_without_bones(film: Radiograph) -> None:
    assert not shows_cast(with_tube(film), (torch.zeros(4, 128, 128), 1.36))


def test_it_is_warned_of() -> None:
    films = [
        read_radiograph(resource_path("SampleData") / f"knee_{name}.dcm")
        for name in ("ap", "lateral")
    ]
    pair = check_films(with_tube(films[0]), films[1], load_model())
    assert [film.cast for film in pair.films] == [True, False]
    told = [sum("in a cast" in line for line in film.warnings) for film in pair.films]
    assert told == [1, 0]


# The simulated casts by which the detection was measured.


@pytest.mark.parametrize(
    ("material", "coefficient"), [(Plaster.PLASTER, 0.3426), (Plaster.FIBREGLASS, 0.2413)]
)
def test_a_cast_attenuates_as_its_elements_do(material: Plaster, coefficient: float) -> None:
    """Coefficients at 60 keV, cm²/g, of xraylib 4.3 (Schoonjans et al., 2011)."""
    cast = Cast(material, 6.0, 10.0, 1.1)
    settings = FilmSettings(energy_kev=60.0, cortex_density=0.7, muscle_scale=0.6)
    paths = with_cast(torch.zeros(4, 2, 2), cast, torch.full((2, 2), 20.0), settings)
    signal = detector_signal(paths, 0.5, settings)
    np.testing.assert_allclose(signal, np.exp(-coefficient * 1.1 * 2.0), rtol=5e-3)


def test_ordinary_casts_are_of_their_ranges() -> None:
    rng = np.random.default_rng(0)
    for material in Plaster:
        for cast in (Cast.random(material, rng) for _ in range(20)):
            assert 3 <= cast.thickness <= 10
            assert 5 <= cast.gap <= 20
            assert 0.8 <= cast.density <= 1.3


def test_the_view_says_where_the_front_is(film: Radiograph) -> None:
    """On a lateral film a band behind the leg alone is a fold of the skin."""
    behind = film.view.value is View.LATERAL
    span = film.pixels.max() - film.pixels.min()
    added = 0.01 * span * chords(across(film), 74.0, 80.0) * (across(film) > 0)
    one_sided = replace(film, pixels=(film.pixels + added).astype(np.float32))
    assert shows_cast(one_sided, bones(film)) is not behind
