from __future__ import annotations

import numpy as np
import pytest

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.tomography.stereo import anaglyph, side_by_side, stereo_views
from XRayTo3DLib.tomography.viewpoint import OrbitCamera

ABOUT = (5.0, -8.0, 12.0)
CAMERA = OrbitCamera(40.0, 15.0, sid=1000.0, sod=900.0, detector=200.0, size=400, about=ABOUT)


def test_eyes_are_the_angle_apart_and_the_point_stays() -> None:
    about = np.array(ABOUT)
    left, right = stereo_views(CAMERA.view, 6.0, about)
    rays = [view.source - about for view in (left, right)]
    cosine = rays[0] @ rays[1] / np.prod([np.linalg.norm(ray) for ray in rays])
    assert np.degrees(np.arccos(cosine)) == pytest.approx(6.0)
    for view in (left, right):
        np.testing.assert_allclose(view.project(about), CAMERA.view.project(about), atol=1e-9)
    rightwards = CAMERA.view.column_step
    assert (right.source - left.source) @ rightwards > 0


def test_nothing_is_displaced_up_or_down_and_depth_is_disparity() -> None:
    points = np.array(ABOUT) + np.random.default_rng(3).uniform(-60.0, 60.0, (50, 3))
    left, right = stereo_views(CAMERA.view, 6.0, np.array(ABOUT))
    difference = left.project(points) - right.project(points)
    np.testing.assert_allclose(difference[:, 0], 0.0, atol=1e-9)
    # Similar triangles: the base line b seen across the distance Z of a point from the tube
    # against that across the SOD, on a film at the SID.
    base = 2.0 * 900.0 * np.tan(np.radians(3.0))
    distance = (points - CAMERA.view.source) @ CAMERA.view.normal
    disparity = base * 1000.0 * (1.0 / distance - 1.0 / 900.0) / CAMERA.spacing
    np.testing.assert_allclose(difference[:, 1], disparity, atol=1e-9)


@pytest.mark.parametrize("angle", [0.0, -3.0, 31.0, float("nan")])
def test_no_such_eyes(angle: float) -> None:
    with pytest.raises(XRayTo3DError, match="angle between the eyes"):
        stereo_views(CAMERA.view, angle, np.array(ABOUT))


def test_side_by_side_has_the_left_eye_at_the_left() -> None:
    left, right = np.full((4, 5), 0.25), np.full((4, 5), 0.75)
    pair = side_by_side(left, right, gap=2)
    assert pair.shape == (4, 12)
    np.testing.assert_array_equal(pair[0], [0.25] * 5 + [0.0] * 2 + [0.75] * 5)


def test_red_is_the_left_eye() -> None:
    left, right = np.random.default_rng(0).random((2, 6, 7)).astype(np.float32)
    picture = anaglyph(left, right)
    np.testing.assert_array_equal(picture[..., 0], left)
    np.testing.assert_array_equal(picture[..., 1], right)
    np.testing.assert_array_equal(picture[..., 2], right)


def test_anaglyph_of_colour_takes_the_brightness() -> None:
    grey = np.full((3, 3, 3), 0.4, dtype=np.float32)
    np.testing.assert_allclose(anaglyph(grey, grey), 0.4, atol=1e-6)
