"""Films on the networks' detector, against SciPy and against what is known of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from XRayTo3DLib.imaging.geometry import ViewGeometry, view_geometry
from XRayTo3DLib.imaging.normalisation import normalise_film
from XRayTo3DLib.imaging.radiograph import Side, View
from XRayTo3DLib.reconstruction.finding_window import Window
from XRayTo3DLib.reconstruction.standard_film import FilmSampler, standard_film

SID, SOD = 1150.0, 1000.0


def stand(shape: tuple[int, int], step: float, centre: tuple[float, float]) -> ViewGeometry:
    """A frontal film with ``step`` mm between its pixels at the isocentre."""
    return view_geometry(
        View.AP,
        Side.RIGHT,
        sid=SID,
        sod=SOD,
        spacing=(step * SID / SOD, step * SID / SOD),
        shape=shape,
        centre=centre,
    )


def smooth(shape: tuple[int, int]) -> np.ndarray:
    noise = np.random.default_rng(3).normal(size=shape)
    return ndimage.gaussian_filter(noise, 6.0).astype(np.float32)


@pytest.mark.parametrize("step", [0.9, 0.68, 0.5])
def test_a_film_of_pixels_as_large_is_interpolated(step: float) -> None:
    film, centre = smooth((400, 360)), (190.3, 181.9)
    rows, columns = (middle + (np.arange(128) - 63.5) * 0.68 / step for middle in centre)
    places = np.meshgrid(rows, columns, indexing="ij")
    wanted = ndimage.map_coordinates(film - film.min(), places, order=1)
    found = standard_film(film, stand(film.shape, step, centre), 0.68, 128)
    expected = normalise_film(torch.from_numpy(wanted))
    assert np.abs(found.numpy() - expected.numpy()).max() < 2e-3


def test_fine_pixels_are_averaged_first() -> None:
    film, centre = smooth((400, 400)), (199.5, 199.5)
    fine = np.kron(film, np.ones((4, 4), dtype=np.float32))
    found = standard_film(fine, stand(fine.shape, 0.17, (799.5, 799.5)), 0.68, 128)
    wanted = standard_film(film, stand(film.shape, 0.68, centre), 0.68, 128)
    assert np.abs(found.numpy() - wanted.numpy()).max() < 2e-3


def test_beside_the_film_it_is_dark() -> None:
    film = 5.0 + smooth((100, 100))
    found = standard_film(film, stand(film.shape, 0.68, (49.5, 49.5)), 0.68, 256)
    assert found[:70].max() == 0.0
    assert found[:, -70:].max() == 0.0
    assert found[100:156, 100:156].mean() > 0.2


@pytest.mark.parametrize("roll", [0.0, 30.0, 90.0])
@pytest.mark.parametrize("finer", [(4, 1), (1, 4)])
def test_pixels_finer_in_one_direction_are_averaged_in_that(
    roll: float, finer: tuple[int, int]
) -> None:
    film = ndimage.gaussian_filter(np.random.default_rng(4).normal(size=(200, 200)), 1.5)
    fine = np.kron(film, np.ones(finer)).astype(np.float32)
    shown = []
    for pixels, parts in ((film, (1, 1)), (fine, finer)):
        step = (0.68 / parts[0], 0.68 / parts[1])
        rows, columns = pixels.shape
        window = Window(((rows - 1) / 2, (columns - 1) / 2), roll, step, 0.68, 128)
        shown.append(FilmSampler(pixels).at(window.affine(), (128, 128)).numpy())
    assert np.abs(shown[0] - shown[1]).max() < 2e-3
