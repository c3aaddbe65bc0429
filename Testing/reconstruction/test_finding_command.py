"""The command that finds a knee: files written, bad input, and the real film where there is one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from XRayTo3DLib.commands.find import find
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.resources import resource_path

app = typer.Typer()
app.command()(find)
FILM = str(resource_path("SampleData", "knee_lateral.dcm"))


def test_it_writes_report_and_picture_once(tmp_path: Path) -> None:
    folder = tmp_path / "found"
    result = CliRunner().invoke(app, [FILM, "--output", str(folder)], catch_exceptions=False)
    assert result.exit_code == 0
    report = json.loads((folder / "found.json").read_text("utf-8"))
    assert report["view"]["value"] == "lateral"
    assert report["confidence"] > 0.5
    assert report["scale"]["origin"] == "header"
    assert (folder / "found.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(XRayTo3DError, match="--overwrite"):
        CliRunner().invoke(app, [FILM, "--output", str(folder)], catch_exceptions=False)


def test_two_scales_are_one_too_many(tmp_path: Path) -> None:
    arguments = [FILM, "-o", str(tmp_path / "a"), "--spacing", "0.2", "--ball", "25.4"]
    with pytest.raises(XRayTo3DError, match="--spacing and --ball"):
        CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("text", ["1,2,3,4", "a,b,c,d,e"])
def test_a_ruler_is_five_numbers(tmp_path: Path, text: str) -> None:
    result = CliRunner().invoke(app, [FILM, "-o", str(tmp_path / "a"), "--ruler", text])
    assert result.exit_code == 2


def test_the_real_film_is_a_right_knee_seen_from_the_side(
    shared_radiographs: Path, tmp_path: Path
) -> None:
    film = str(shared_radiographs / "real_lateral_right_flexed.png")
    CliRunner().invoke(app, [film, "-o", str(tmp_path)], catch_exceptions=False)
    report = json.loads((tmp_path / "found.json").read_text("utf-8"))
    assert (report["view"]["value"], report["side"]["value"]) == ("lateral", "right")
    assert report["scale"]["origin"] == "assumed"
    # A cropped film of a knee is 120 to 260 mm high.
    assert 120.0 < 1440 * report["scale"]["mm_per_pixel_at_isocentre"][0] < 260.0
    assert 20.0 < report["flexion_degrees"]["value"] < 50.0
