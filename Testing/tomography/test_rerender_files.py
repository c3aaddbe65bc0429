"""Volumes in, pictures out, and the command between."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import typer
from PIL import Image
from rerender_phantoms import inside_ball
from typer.testing import CliRunner

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.commands.rerender import rerender
from XRayTo3DLib.errors import InputFileError, XRayTo3DError
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.materials import from_hounsfield
from XRayTo3DLib.tomography.density import REFERENCE_KEV, DensityVolume
from XRayTo3DLib.tomography.density_files import read_density, write_density
from XRayTo3DLib.tomography.moving_picture import write_moving_picture

GRID = VolumeGrid((40, 30, 34), 3.0, (5.0, -7.0, 11.0))
CENTRE = (9.0, -4.0, 20.0)


def units() -> np.ndarray:
    """A ball of 1000 HU in air."""
    return 2000.0 * inside_ball(GRID, CENTRE, 20.0) - 1000.0


def volume() -> DensityVolume:
    return DensityVolume(from_hounsfield(units(), REFERENCE_KEV).astype(np.float32), GRID)


def centre_of_mass(density: DensityVolume) -> np.ndarray:
    weights = density.attenuation.astype(float)
    index = [
        np.arange(n) @ weights.sum(axis=tuple({0, 1, 2} - {k})) for k, n in enumerate(weights.shape)
    ]
    return density.grid.to_ras(np.array(index) / weights.sum())


def test_what_is_written_is_hounsfield_units_in_lps(tmp_path: Path) -> None:
    write_density(volume(), tmp_path / "density.nrrd")
    image = sitk.ReadImage(str(tmp_path / "density.nrrd"))
    assert image.GetPixelID() == sitk.sitkInt16
    assert image[image.TransformPhysicalPointToIndex((-9.0, 4.0, 20.0))] == 1000
    np.testing.assert_allclose(sitk.GetArrayFromImage(image), units(), atol=0.5)
    assert [path.name for path in tmp_path.iterdir()] == ["density.nrrd"]
    again = read_density(tmp_path / "density.nrrd")
    assert again.grid.shape == GRID.shape
    np.testing.assert_allclose(again.grid.first, GRID.first, atol=1e-9)
    np.testing.assert_allclose(again.hounsfield, units(), atol=0.51)


def oblique(angle: float, spacing: tuple[float, float, float]) -> sitk.Image:
    """The ball on a turned grid of other voxels, sampled by SimpleITK."""
    turn = sitk.Euler3DTransform((0.0, 0.0, 0.0), 0.0, 0.0, np.radians(angle)).GetMatrix()
    size = [int(150.0 / step) for step in spacing]
    corner = np.array(turn).reshape(3, 3) @ [-75.0, -75.0, -75.0] + [-9.0, 4.0, 20.0]
    fine = GRID.image(units().astype(np.float32))
    return sitk.Resample(
        fine, size, sitk.Transform(), sitk.sitkLinear, corner.tolist(), spacing, turn, -1000.0
    )


@pytest.mark.parametrize(
    ("angle", "spacing"),
    [(0.0, (3.0, 3.0, 3.0)), (0.0, (1.5, 2.0, 5.0)), (30.0, (2.0, 2.0, 2.0))],
    ids=["other axes", "flat voxels", "oblique"],
)
def test_any_volume_lies_where_it_was(
    tmp_path: Path, angle: float, spacing: tuple[float, float, float]
) -> None:
    path = tmp_path / "ct.nii.gz"
    sitk.WriteImage(oblique(angle, spacing), str(path))
    density = read_density(path)
    assert density.grid.spacing == pytest.approx(min(spacing), rel=1e-5)
    np.testing.assert_allclose(centre_of_mass(density), CENTRE, atol=0.1)
    mass = density.attenuation.sum() * density.grid.spacing**3
    assert mass == pytest.approx(volume().attenuation.sum() * GRID.spacing**3, rel=0.02)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((1, 64, 64), np.int16), "picture and no volume"),
        (np.arange(1000, dtype=np.int16).reshape(10, 10, 10), "not Hounsfield units"),
        (np.full((10, 10, 10), -1000, np.int16), "not Hounsfield units"),
        (np.full((10, 10, 10), np.nan, np.float32), "no numbers"),
    ],
)
def test_what_is_no_density_volume(tmp_path: Path, array: np.ndarray, words: str) -> None:
    path = tmp_path / "wrong.nrrd"
    sitk.WriteImage(sitk.GetImageFromArray(array), str(path))
    with pytest.raises(InputFileError, match=words) as caught:
        read_density(path)
    assert str(caught.value).startswith("wrong.nrrd")


# --- moving pictures ----------------------------------------------------------------------------


def greys(count: int = 5) -> list[np.ndarray]:
    """Ramps of 64 × 48, each shifted; odd enough to tell rows from columns."""
    ramp = np.arange(64)[None, :] * 2 + np.arange(48)[:, None]
    return [((ramp + 13 * number) % 256).astype(np.uint8) for number in range(count)]


def test_gif_keeps_every_grey_and_repeats(tmp_path: Path) -> None:
    write_moving_picture(iter(greys()), tmp_path / "turn.gif", rate=20.0)
    with Image.open(tmp_path / "turn.gif") as film:
        assert (film.n_frames, film.info["loop"], film.info["duration"]) == (5, 0, 50)
        for number, expected in enumerate(greys()):
            film.seek(number)
            np.testing.assert_array_equal(np.asarray(film.convert("L")), expected)


def test_ogg_theora(tmp_path: Path) -> None:
    path = tmp_path / "turn.ogv"
    write_moving_picture(iter(greys()), path)
    content = path.read_bytes()
    # RFC 3533 6 and the identification header of Theora (specification, 6.2): size in blocks of 16.
    assert content.startswith(b"OggS")
    start = content.index(b"\x80theora")
    blocks = [int.from_bytes(content[start + at : start + at + 2], "big") for at in (10, 12)]
    assert blocks == [64 // 16, 48 // 16]


def test_mp4_is_what_ffmpeg_reads_again(tmp_path: Path) -> None:
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        pytest.skip("ffmpeg is not installed")
    path = tmp_path / "turn.mp4"
    write_moving_picture(iter(greys()), path)
    command = [ffmpeg, "-loglevel", "error", "-i", str(path), "-f", "rawvideo"]
    raw = subprocess.run(
        [*command, "-pix_fmt", "gray", "-"], capture_output=True, check=True
    ).stdout
    frames = np.frombuffer(raw, np.uint8).reshape(-1, 48, 64)
    assert len(frames) == 5
    difference = frames.astype(float) - np.stack(greys())
    assert np.median(np.abs(difference)) < 8.0


@pytest.mark.parametrize(("name", "words"), [("turn.mp4", "ffmpeg"), ("turn.mov", "end in .gif")])
def test_no_such_moving_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputFileError, match=words):
        write_moving_picture(iter(greys()), tmp_path / name)
    assert not list(tmp_path.iterdir())


# --- the command --------------------------------------------------------------------------------


@pytest.fixture
def density(tmp_path: Path) -> Path:
    write_density(volume(), tmp_path / "density.nrrd")
    return tmp_path / "density.nrrd"


def run(*words: object) -> None:
    app = typer.Typer()
    app.command()(rerender)
    result = CliRunner().invoke(app, [*map(str, words), "--threads", "1"])
    if result.exception is not None:
        raise result.exception


def test_every_picture_is_written(density: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    more = ("--stereo", 5, "--anaglyph", "--turntable", "turn.gif", "--frames", 3, "--size", 64)
    run(density, "-o", out, "--turn", 30, "--elevation", 10, "--kvp", 100, *more)
    assert {p.name for p in out.iterdir()} == {
        "view.png", "stereo.png", "anaglyph.png", "turn.gif"
    }  # fmt: skip
    with Image.open(out / "view.png") as view:
        assert (view.size, view.mode) == ((64, 64), "L")
        assert "no radiograph" in view.text["Description"]
        assert np.ptp(np.asarray(view)) > 200
    before = (out / "view.png").read_bytes()
    with pytest.raises(XRayTo3DError, match="--overwrite"):
        run(density, "-o", out, "--size", 64)
    assert (out / "view.png").read_bytes() == before


def test_a_bone_is_moved_and_coloured(density: Path, tmp_path: Path) -> None:
    labels = (inside_ball(GRID, CENTRE, 20.0) > 0.5).astype(np.uint8) * int(Bone.PATELLA)
    sitk.WriteImage(GRID.image(labels), str(tmp_path / "knee.seg.nrrd"))
    # In a bath of water there is soft tissue to fill the gap.
    bath = np.maximum(units(), 0.0)
    bath[:4] = -1000.0
    attenuation = from_hounsfield(bath, REFERENCE_KEV).astype(np.float32)
    write_density(DensityVolume(attenuation, GRID), density)
    common = ("--size", 64, "--detector", 110, "--segments", tmp_path / "knee.seg.nrrd")
    greens = {}
    for name, more in {"as it is": (), "moved": ("--move", "patella=12,0,-15,0,0,30")}.items():
        run(density, "-o", tmp_path / f"{name}.png", "--colour", "patella", *common, *more)
        picture = np.asarray(Image.open(tmp_path / f"{name}.png")).astype(float)
        greens[name] = np.argwhere(picture[..., 1] - picture[..., 0] > 20).mean(axis=0)
    # 64 pixels on 110 mm, magnified 1000 / 900; down, and to the patient's right at the left.
    shift = (greens["moved"] - greens["as it is"]) * 110 / 64 * 0.9
    np.testing.assert_allclose(shift, (15.0, -12.0), atol=1.5)
    run(density, "-o", tmp_path / "without.png", "--without", "patella", *common)
    empty = np.asarray(Image.open(tmp_path / "without.png"))
    assert empty.ndim == 2


def test_magnification_enlarges_the_shadow(density: Path, tmp_path: Path) -> None:
    areas = []
    for ratio in (1.2, 1.6):
        path = tmp_path / f"{ratio}.png"
        place = ("--about", "9,-4,20", "--sid", 2000, "--magnification", ratio, "--detector", 110)
        run(density, "-o", path, *place, "--size", 128, "--kev", 60, "--level", 0.2, "--width", 0.1)
        areas.append(np.count_nonzero(np.asarray(Image.open(path)) > 127))
    assert areas[1] / areas[0] == pytest.approx((1.6 / 1.2) ** 2, rel=0.05)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--without", "patella"), "--segments"),
        (("--kvp", 400), "tube voltage"),
        (("--sod", 900, "--magnification", 1.1), "give one of them"),
        (("--magnification", 0.9), "above 1"),
        (("--stereo", 90), "angle between the eyes"),
        (("--turntable", "turn.avi"), "moving picture"),
    ],
)
def test_a_wrong_wish_leaves_nothing(
    density: Path, tmp_path: Path, words: tuple[object, ...], message: str
) -> None:
    with pytest.raises(XRayTo3DError, match=message):
        run(density, "-o", tmp_path / "out", "--size", 64, *words)
    assert [path.name for path in tmp_path.iterdir()] == ["density.nrrd"]
