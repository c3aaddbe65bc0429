from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.imaging.geometry import ViewGeometry, view_geometry
from XRayTo3DLib.imaging.radiograph import Side, View
from XRayTo3DLib.reconstruction.overview import draw_overview, write_overview
from XRayTo3DLib.reconstruction.rendering import render_bones
from XRayTo3DLib.reconstruction.result import Reconstruction

SPAN = 200.0
SIZE = 300


@pytest.fixture(scope="module")
def path(knee: Reconstruction, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("overview") / "overview.png"
    write_overview(knee, path)
    return path


def pixels_like(picture: np.ndarray, bone: Bone) -> np.ndarray:
    """Which pixels have the hue of a bone, however bright, ``(rows, columns)`` bool."""
    colour = picture[..., :3].astype(float)
    length = np.linalg.norm(colour, axis=-1)
    rgb = np.array(bone.style.rgb)
    cosine = colour @ rgb / np.linalg.norm(rgb) / np.maximum(length, 1)
    return (cosine > 0.98) & (length > 15)


def extent(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First and last (row, column) of a mask."""
    found = np.argwhere(mask)
    return found.min(axis=0), found.max(axis=0)


def rendered(surfaces: dict[Bone, Surface], view: ViewGeometry) -> np.ndarray:
    return render_bones(surfaces, view, size=SIZE, span=SPAN, centre=np.zeros(3))


def changed(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Pixels that differ between two pictures, ``(rows, columns)`` bool."""
    return (one != other).any(axis=-1)


def beam(view: View, side: Side) -> ViewGeometry:
    return view_geometry(view, side, sid=1000.0, sod=900.0, spacing=(1.0, 1.0), shape=(200, 200))


@pytest.mark.parametrize(
    ("view", "side", "bone", "column_mm"),
    [
        # The fibula is 36 mm to the patient's right: at the left of a frontal film.
        (View.AP, Side.RIGHT, Bone.FIBULA, -36),
        (View.PA, Side.RIGHT, Bone.FIBULA, -36),
        # The patella is 42 mm in front: at the left of a right knee's lateral film.
        (View.LATERAL, Side.RIGHT, Bone.PATELLA, -42),
        (View.LATERAL, Side.LEFT, Bone.PATELLA, 42),
    ],
)
def test_rendering_lies_as_the_film(
    knee: Reconstruction, view: View, side: Side, bone: Bone, column_mm: float
) -> None:
    picture = rendered({bone: knee.surfaces[bone]}, beam(view, side))
    first, last = extent(changed(picture, rendered({}, beam(view, side))))
    millimetres = (np.stack([first, last]) - (SIZE - 1) / 2) * SPAN / SIZE
    vertices = knee.surfaces[bone].vertices
    radius = 0.5 * np.ptp(vertices[:, 0])
    assert millimetres[:, 1] == pytest.approx([column_mm - radius, column_mm + radius], abs=1.5)
    top, bottom = vertices[:, 2].max(), max(vertices[:, 2].min(), -SPAN / 2)
    assert millimetres[:, 0] == pytest.approx([-top, -bottom], abs=1.5)


def test_nearer_bones_hide_those_behind(knee: Reconstruction) -> None:
    """Seen from the front the patella is whole; seen from behind the femur hides it."""
    femur = {Bone.FEMUR: knee.surfaces[Bone.FEMUR]}
    both = {**femur, Bone.PATELLA: knee.surfaces[Bone.PATELLA]}
    front = beam(View.AP, Side.RIGHT)
    behind = front.moved(np.diag([-1.0, -1.0, 1.0]))
    area = (np.pi * 12**2 + 8 * 24) * (SIZE / SPAN) ** 2
    seen = pixels_like(rendered(both, front), Bone.PATELLA).sum()
    assert seen == pytest.approx(area, rel=0.05)
    assert not changed(rendered(both, behind), rendered(femur, behind)).any()


@pytest.mark.parametrize("bone", Bone)
def test_a_bone_has_its_colour(knee: Reconstruction, bone: Bone) -> None:
    front = beam(View.AP, Side.RIGHT)
    picture = rendered({bone: knee.surfaces[bone]}, front)
    mask = changed(picture, rendered({}, front))
    assert (pixels_like(picture, bone) & mask).sum() > 0.7 * mask.sum()


def test_picture_is_plain_png(path: Path) -> None:
    with Image.open(path) as image:
        assert image.size == (1440, 1584)
        assert image.info.keys() <= {"dpi"}


def test_same_bytes_again(knee: Reconstruction, path: Path, tmp_path: Path) -> None:
    again = tmp_path / "overview.png"
    write_overview(knee, again)
    assert again.read_bytes() == path.read_bytes()


def test_outline_of_the_patella_is_where_the_cone_beam_puts_it(path: Path) -> None:
    """Spheres of 12 mm, 42 mm before the isocentre, seen from 900 mm: 858 mm from the source."""
    picture = np.asarray(Image.open(path))
    panel = 684
    top, left = round((13.2 - 6.75 - 5.7) * 120), round(0.2 * 120)
    film = picture[top : top + panel, left : left + panel]
    first, last = extent(pixels_like(film, Bone.PATELLA))
    scale = panel / (1.04 * 180)
    half_width = 12 / np.sqrt(858**2 - 12**2) * 900 * scale
    middle = (panel - 1) / 2
    line = 1.4 / 72 * 120 / 2
    expected = [middle - half_width - line, middle + half_width + line]
    assert [first[1], last[1]] == pytest.approx(expected, abs=scale * 1.8)


def test_captions_say_what_was_assumed(knee: Reconstruction) -> None:
    texts = {text.get_text() for text in draw_overview(knee).findobj(Text)}
    assert "Right knee" in texts
    assert "SID 1000 mm (header), SOD 900 mm (header), spacing 2 mm (assumed)" in texts
    assert "Not for clinical use" in texts
    assert "3 warnings, see report" in texts
    assert any(text.startswith("Femur") and text.endswith("in view") for text in texts)


def test_a_bone_that_was_not_found_is_said_so(knee: Reconstruction) -> None:
    figure = draw_overview(replace(knee, surfaces={}))
    texts = {text.get_text() for text in figure.findobj(Text)}
    assert "Patella  not found" in texts


def test_a_film_that_misses_the_field_of_view_is_shown_black(knee: Reconstruction) -> None:
    """The overview of a badly placed film is drawn all the same: it is what shows the mistake."""
    geometry = replace(
        knee.geometry, frontal=knee.geometry.frontal.moved(np.eye(3), (500.0, 0.0, 0.0))
    )
    figure = draw_overview(replace(knee, geometry=geometry))
    assert len(figure.axes) == 4
