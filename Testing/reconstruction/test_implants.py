"""Metal drawn onto the sample films, white whatever is behind it, as steel is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from XRayTo3DLib.imaging.lead_marker import Marker, marker_mask
from XRayTo3DLib.imaging.radiograph import Radiograph
from XRayTo3DLib.imaging.reading import read_radiograph
from XRayTo3DLib.reconstruction.implants import metal_on
from XRayTo3DLib.resources import resource_path


@pytest.fixture(scope="module", params=["knee_ap", "knee_lateral"])
def film(request: pytest.FixtureRequest) -> Radiograph:
    return read_radiograph(resource_path("SampleData") / f"{request.param}.dcm")


def places(film: Radiograph) -> tuple[np.ndarray, np.ndarray]:
    """mm at the isocentre of each pixel down and right of the film's middle."""
    size = film.spacing.value[0] / film.magnification
    rows, columns = film.pixels.shape
    down, right = np.mgrid[:rows, :columns]
    return (down - (rows - 1) / 2) * size, (right - (columns - 1) / 2) * size


def with_metal(film: Radiograph, mask: np.ndarray, opacity: float = 1.0) -> Radiograph:
    """Metal takes the upper part of the film's greys."""
    pixels = 0.6 * film.pixels + opacity * mask
    return replace(film, pixels=np.clip(pixels, 0, 1).astype(np.float32))


def middle_bones(film: Radiograph):
    """Silhouettes of a leg of bone, 60 mm wide, along the middle of the film."""
    silhouettes = torch.zeros(4, 128, 128)
    silhouettes[0, :, 42:86] = 1.0
    return silhouettes, 1.36


def test_a_film_without_metal_shows_none(film: Radiograph) -> None:
    assert metal_on(film) == 0


def test_a_plate_is_measured(film: Radiograph) -> None:
    down, right = places(film)
    plate = (np.abs(down - 45) < 30) & (np.abs(right) < 6)
    area = metal_on(with_metal(film, plate), lambda: middle_bones(film))
    # Rounded off by the disc, and spread by half a pixel.
    assert area == pytest.approx(60 * 12, rel=0.15)


def test_a_screw_is_found(film: Radiograph) -> None:
    down, right = places(film)
    screw = (np.abs(down + 0.3 * right - 30) < 3) & (np.abs(right) < 20)
    assert metal_on(with_metal(film, screw), lambda: middle_bones(film)) > 100


def test_metal_beside_the_bones_does_not_count(film: Radiograph) -> None:
    down, right = places(film)
    beside = (np.abs(down - 45) < 20) & (np.abs(right - 50) < 6)
    seen = with_metal(film, beside)
    assert metal_on(seen) > 0
    assert metal_on(seen, lambda: middle_bones(film)) == 0


def test_a_wire_and_a_haze_are_no_implant(film: Radiograph) -> None:
    down, right = places(film)
    wire = (np.abs(right) < 0.7) & (np.abs(down) < 40)
    assert metal_on(with_metal(film, wire)) == 0
    haze = np.exp(-(down**2 + right**2) / (2 * 25.0**2))
    assert metal_on(with_metal(film, haze, 0.5)) == 0


@pytest.mark.parametrize("text", ["L", "R", "RX"])
def test_letters_in_a_corner_are_no_implant(film: Radiograph, text: str) -> None:
    marker = Marker(text, (0.1, 0.9), height=0.08, rotation=12.0)
    mask = marker_mask(torch.from_numpy(film.pixels), marker).numpy()
    lettered = replace(film, pixels=np.maximum(film.pixels, mask))
    assert metal_on(lettered, lambda: middle_bones(film)) == 0


def test_the_border_of_the_exposed_field_is_no_implant(film: Radiograph) -> None:
    down, right = places(film)
    border = (np.abs(down) > 75) | (np.abs(right) > 70)
    assert metal_on(with_metal(film, border)) == 0
