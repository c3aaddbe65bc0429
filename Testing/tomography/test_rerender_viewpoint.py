from __future__ import annotations

import numpy as np
import pytest

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.geometry import view_geometry
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.radiograph import Side, View
from XRayTo3DLib.tomography.viewpoint import OrbitCamera, fitting_detector

FIELDS = ("source", "first_pixel", "row_step", "column_step")


@pytest.mark.parametrize(
    ("turn", "view", "side"),
    [
        (0.0, View.AP, Side.RIGHT),
        (90.0, View.LATERAL, Side.RIGHT),
        (-90.0, View.LATERAL, Side.LEFT),
    ],
)
def test_the_orbit_passes_the_textbook_views(turn: float, view: View, side: Side) -> None:
    camera = OrbitCamera(turn, sid=1100.0, sod=950.0, detector=256.0, size=128)
    textbook = view_geometry(
        view, side, sid=1100.0, sod=950.0, spacing=(2.0, 2.0), shape=(128, 128)
    )
    for name in FIELDS:
        np.testing.assert_allclose(
            getattr(camera.view, name), getattr(textbook, name), atol=1e-9, err_msg=name
        )


def test_a_raised_tube_looks_down_on_the_point() -> None:
    camera = OrbitCamera(25.0, 30.0, sod=800.0, about=(10.0, -20.0, 40.0))
    source = camera.view.source - camera.about
    # Spherical coordinates: 25° from the front towards the patient's left, 30° up.
    azimuth, height = np.radians(90.0 + 25.0), np.radians(30.0)
    expected = 800.0 * np.array(
        [
            np.cos(height) * np.cos(azimuth),
            np.cos(height) * np.sin(azimuth),
            np.sin(height),
        ]
    )
    np.testing.assert_allclose(source, expected, atol=1e-9)
    np.testing.assert_allclose(camera.view.project(np.array(camera.about)), [255.5, 255.5])
    assert camera.view.row_step[2] < 0  # rows run down the leg
    assert camera.view.column_step[2] == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(("sid", "sod"), [(1000.0, 900.0), (1500.0, 900.0), (1000.0, 500.0)])
def test_magnification_is_sid_over_sod(sid: float, sod: float) -> None:
    camera = OrbitCamera(33.0, sid=sid, sod=sod, detector=200.0, size=400)
    along_column = camera.view.column_step / camera.spacing
    first, second = (camera.view.project(step * along_column) for step in (-10.0, 10.0))
    assert (second - first)[1] * camera.spacing == pytest.approx(20.0 * sid / sod)
    assert camera.magnification == pytest.approx(sid / sod)


def test_detector_shows_most_of_the_height() -> None:
    grid = VolumeGrid((100, 80, 80), 2.0)
    camera = OrbitCamera(detector=fitting_detector(grid))
    shown = camera.detector / camera.magnification
    assert 0.85 * 200.0 < shown < 200.0


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"elevation": 90.0}, "elevation"),
        ({"elevation": float("nan")}, "elevation"),
        ({"turn": float("inf")}, "stand"),
        ({"size": 8}, "8 pixels"),
        ({"detector": 0.0}, "detector"),
        ({"sid": 800.0}, "source–object"),
    ],
)
def test_no_such_camera(wrong: dict[str, float], words: str) -> None:
    with pytest.raises(XRayTo3DError, match=words):
        OrbitCamera(**wrong).view  # noqa: B018
