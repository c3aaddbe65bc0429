"""Parts of what refinement measures, against SciPy and plain vectors."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from XRayTo3DLib.imaging.geometry import ViewGeometry, view_geometry
from XRayTo3DLib.imaging.radiograph import Side, View
from XRayTo3DLib.reconstruction.refine_chords import _ways
from XRayTo3DLib.reconstruction.refine_evidence import _cut_to, _holes


@pytest.fixture
def view() -> ViewGeometry:
    return view_geometry(
        View.LATERAL, Side.RIGHT, sid=1100.0, sod=1000.0, spacing=(0.7, 0.9), shape=(60, 90)
    )


@pytest.mark.parametrize("seed", range(6))
def test_holes_are_what_scipy_fills(seed: int) -> None:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(70, 90)), 2.0)
    mask = noise > 0.0
    wanted = ndimage.binary_fill_holes(mask) & ~mask
    assert wanted.any()
    assert np.array_equal(_holes(mask), wanted)


@pytest.mark.parametrize("mask", [np.zeros((5, 7), bool), np.ones((5, 7), bool)])
def test_without_a_rim_to_enclose_them_there_are_no_holes(mask: np.ndarray) -> None:
    assert not _holes(mask).any()


def test_ways_are_distances_from_the_source(view: ViewGeometry) -> None:
    askew = ViewGeometry(
        view.source, view.first_pixel, view.row_step, view.column_step + 0.2 * view.row_step, (9, 7)
    )
    for stand in (view, askew):
        wanted = np.linalg.norm(stand.pixel_positions() - stand.source, axis=-1)
        assert _ways(stand) == pytest.approx(wanted, rel=1e-12)


def test_a_part_of_a_detector_lies_where_it_lay(view: ViewGeometry) -> None:
    points = np.random.default_rng(1).normal(scale=3.0, size=(50, 3))
    part = _cut_to(view, points)
    assert part.shape[0] < view.shape[0]
    assert part.shape[1] < view.shape[1]
    moved = view.project(points) - part.project(points)
    assert moved == pytest.approx(np.broadcast_to(np.round(moved[0]), moved.shape), abs=1e-6)
    assert (part.project(points) > 10).all()
    assert (part.project(points) < np.array(part.shape) - 11).all()


def test_a_surface_beside_the_detector_has_no_part_of_it(view: ViewGeometry) -> None:
    assert 0 in _cut_to(view, np.array([[0.0, 0.0, 500.0], [1.0, 1.0, 501.0]])).shape
