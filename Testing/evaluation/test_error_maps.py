"""Error maps: distances at vertices, the renderer against solids, and the figure written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.evaluation.error_maps import (
    error_map_figure,
    render,
    vertex_errors,
    write_error_maps,
)
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.radiograph import Side

FRONT = ((-1.0, 0.0, 0.0), (0.0, -1.0, 0.0))
RED, GREEN = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)


def painted(surface: Surface, rgb: tuple[float, float, float]) -> np.ndarray:
    return np.tile(rgb, (len(surface.vertices), 1))


def swollen(surface: Surface, factor: float) -> Surface:
    middle = surface.vertices.mean(axis=0)
    return Surface(middle + factor * (surface.vertices - middle), surface.faces)


def joined(a: Surface, b: Surface) -> Surface:
    return Surface(
        np.concatenate([a.vertices, b.vertices]),
        np.concatenate([a.faces, b.faces + len(a.vertices)]),
    )


@pytest.fixture
def ball(toy_knee) -> Surface:
    """The two halves of the patella, pushed together: a ball of 12 mm about (0, 42, 32)."""
    patella = toy_knee[Bone.PATELLA]
    shift = np.where(patella.vertices[:, 2:] > 32, -4.0, 4.0) * [0, 0, 1]
    return Surface(patella.vertices + shift, patella.faces)


def test_errors_are_signed_and_left_out_at_the_cut_ends(toy_knee):
    region = VolumeGrid.cube(60, 150.0)
    truth = toy_knee[Bone.FEMUR]
    axis = np.stack([0 * truth.vertices[:, 0]] * 2 + [truth.vertices[:, 2].clip(30, 100)], 1)
    for growth in (2.0, -3.0):
        predicted = Surface(axis + (truth.vertices - axis) * (1 + growth / 25), truth.faces)
        errors = vertex_errors(predicted, truth, region)
        cut = predicted.vertices[:, 2] >= 75 - 2.5
        assert np.array_equal(np.isnan(errors), cut)
        assert 0 < cut.sum() < len(cut)
        np.testing.assert_allclose(errors[~cut], growth, atol=0.02)


def test_a_ball_is_drawn_as_a_disc_with_its_colour_and_place(ball):
    picture, (left, right, bottom, top) = render(ball, painted(ball, (0.2, 0.6, 1.0)), *FRONT)
    rows, columns = picture.shape[:2]
    assert (left, top) == pytest.approx((-12, 44), abs=0.02)
    assert (right, bottom) == pytest.approx((12, 20), abs=0.2)
    pixel_area = (right - left) / columns * (top - bottom) / rows
    assert picture[..., 3].sum() * pixel_area == pytest.approx(np.pi * 12**2, rel=0.01)
    middle = picture[rows // 2, columns // 2]
    np.testing.assert_allclose(middle, [0.2, 0.6, 1.0, 1.0], atol=0.01)
    # The rim is darker: it is lit from the viewer.
    assert picture[rows // 2, 4, 2] < 0.6
    assert picture[0, 0, 3] == 0.0


@pytest.mark.parametrize("towards, seen", [((0.0, -1.0, 0.0), RED), ((0.0, 1.0, 0.0), GREEN)])
def test_the_nearer_ball_hides_the_other(ball, towards, seen):
    small = swollen(ball, 0.5)
    behind = Surface(small.vertices - [0, 30, 0], small.faces)
    both = joined(small, behind)
    rgb = np.concatenate([painted(small, RED), painted(behind, GREEN)])
    right = (-1.0, 0.0, 0.0) if towards[1] < 0 else (1.0, 0.0, 0.0)
    picture, _ = render(both, rgb, right, towards, pixels=120)
    shown = picture[picture[..., 3] == 1.0][:, :3]
    assert np.all(shown[:, np.argmax(seen)] > 0)
    assert np.all(shown[:, np.argmin(seen)] == 0)


def test_from_the_front_the_right_side_of_the_patient_is_on_the_left(toy_knee):
    legs = joined(toy_knee[Bone.TIBIA], toy_knee[Bone.FIBULA])
    rgb = np.concatenate(
        [painted(toy_knee[Bone.TIBIA], RED), painted(toy_knee[Bone.FIBULA], GREEN)]
    )
    picture, _ = render(legs, rgb, *FRONT, pixels=100)
    columns = np.arange(picture.shape[1])
    green = np.average(columns, weights=picture[..., 1].sum(axis=0))
    red = np.average(columns, weights=picture[..., 0].sum(axis=0))
    assert green < red - 20


def test_figure_is_written_the_same_each_time(toy_knee, tmp_path: Path):
    bones = (Bone.PATELLA, Bone.FIBULA)
    predicted = {bone: swollen(toy_knee[bone], 1.05) for bone in bones}
    region = VolumeGrid.cube(64, 192.0)
    paths = [tmp_path / name for name in ("first.png", "second.png")]
    for path in paths:
        figure = error_map_figure(predicted, toy_knee, region, side=Side.LEFT, title="Toy")
        write_error_maps(figure, path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    picture = imread(paths[0])[..., :3]
    assert min(picture.shape[:2]) > 500
    reddish = (picture[..., 0] > picture[..., 2] + 0.1).sum()
    bluish = (picture[..., 2] > picture[..., 0] + 0.1).sum()
    titles = [axes.get_title() for axes in figure.axes]
    assert [name for name in titles if name] == [
        f"{bone.title}\nmean |error| {error:.2f} mm"
        for bone, error in ((bone, mean_error(predicted, toy_knee, bone, region)) for bone in bones)
    ]
    assert reddish > 5 * bluish > 0, "swollen bones are red; blue is in the colour bar"


def mean_error(predicted, truth, bone: Bone, region: VolumeGrid) -> float:
    return float(np.nanmean(np.abs(vertex_errors(predicted[bone], truth[bone], region))))


def test_only_bones_in_both_are_drawn(toy_knee):
    femur = {Bone.FEMUR: toy_knee[Bone.FEMUR]}
    figure = error_map_figure(toy_knee, femur)
    assert [axes.get_title().split("\n")[0] for axes in figure.axes if axes.get_title()] == [
        "Femur"
    ]
    with pytest.raises(XRayTo3DError, match="no bone"):
        error_map_figure(femur, {Bone.TIBIA: toy_knee[Bone.TIBIA]})
