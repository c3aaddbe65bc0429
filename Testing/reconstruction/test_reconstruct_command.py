"""The command around the reconstruction, which is replaced by a knee that is known."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from XRayTo3DLib import cli
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.radiograph import Origin, Radiograph, Side, Sourced
from XRayTo3DLib.progress import Cancelled
from XRayTo3DLib.reconstruction.destination import OUTPUT_NAMES
from XRayTo3DLib.reconstruction.result import Reconstruction


class KnownKnee:
    """Stands in for ``reconstruct``: keeps what it is called with, gives a known knee."""

    def __init__(self, knee: Reconstruction) -> None:
        self.knee = knee
        self.films: tuple[Radiograph, Radiograph] | None = None
        self.options: dict[str, Any] = {}
        self.error: BaseException | None = None
        self.change: Callable[[Radiograph], Radiograph] = lambda film: film

    def __call__(self, ap: Radiograph, lateral: Radiograph, **options: Any) -> Reconstruction:
        self.films, self.options = (ap, lateral), options
        options["progress"]("Reconstructing", 0.5)
        if self.error is not None:
            raise self.error
        ap, lateral = self.change(ap), self.change(lateral)
        return replace(self.knee, frontal=ap, lateral=lateral, side=ap.side.value)


@pytest.fixture
def known(knee: Reconstruction, monkeypatch: pytest.MonkeyPatch) -> KnownKnee:
    stand_in = KnownKnee(knee)
    module = ModuleType("XRayTo3DLib.reconstruction.reconstruct")
    module.reconstruct = stand_in  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return stand_in


@pytest.fixture
def call(
    knee: Reconstruction, known: KnownKnee, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., int]:
    """Run the command on the knee's films as 16-bit PNG, into ``out``; gives its exit status."""
    for name, film in (("ap", knee.frontal), ("lateral", knee.lateral)):
        pixels = np.round(film.pixels / film.pixels.max() * 60000).astype(np.uint16)
        sitk.WriteImage(sitk.GetImageFromArray(pixels), str(tmp_path / f"{name}.png"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")

    def run(*arguments: str) -> int:
        command = ["xrayto3d", "reconstruct", "ap.png", "lateral.png", "-o", "out", *arguments]
        monkeypatch.setattr(sys, "argv", command)
        try:
            cli.main()
        except SystemExit as stopped:
            return int(stopped.code or 0)
        return 0

    return run


def test_the_summary_says_what_was_found_and_assumed(
    call: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("--side", "right", "--sid", "1000") == 0
    printed = capsys.readouterr().out
    lines = printed.splitlines()
    report = json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))
    for name in ("femur", "tibia", "patella", "fibula"):
        (line,) = (line for line in lines if f"{name}.stl" in line)
        facts = report["bones"][name]
        assert f"{facts['volume_cm3']:.1f}" in line
        assert f"{facts['outline_agreement']['frontal']:.2f}" in line
    for option in ("--ap-spacing", "--lateral-spacing", "--ap-sod"):
        assert option in printed
    assert "--ap-sid" not in printed
    assert "Not for clinical use" in printed
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*OUTPUT_NAMES} - {"style.png"}


def test_quiet_prints_nothing(call: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--quiet") == 0
    assert capsys.readouterr() == ("", "")


def test_options_reach_films_and_reconstruction(call: Callable[..., int], known: KnownKnee) -> None:
    known.error = Cancelled()  # what is written is tested elsewhere
    status = call(
        *("--side", "left", "--spacing", "1.9", "--lateral-spacing", "1.7"),
        *("--sid", "1100", "--ap-sid", "1200", "--sod", "950"),
        *("--angle", "85", "--ap-centre", "60,55.5", "--weights", "mine.safetensors"),
        "--quiet",
    )
    assert status == 130
    assert known.films is not None
    ap, lateral = known.films
    assert (ap.side.value, lateral.side.value) == (Side.LEFT, Side.LEFT)
    assert (ap.spacing.value, lateral.spacing.value) == ((1.9, 1.9), (1.7, 1.7))
    assert (ap.sid.value, lateral.sid.value) == (1200, 1100)
    assert (ap.sod.value, lateral.sod.value) == (950, 950)
    assert {ap.spacing.origin, lateral.sid.origin, ap.sod.origin} == {Origin.USER}
    del known.options["progress"]
    assert known.options == {
        "angle": 85,
        "ap_centre": (60, 55.5),
        "lateral_centre": None,
        "check_films": True,
        "accept_any": False,
        "find_joint": True,
        "search": None,
        "style": None,
        "refine": None,
        "weights": Path("mine.safetensors"),
    }


@pytest.mark.parametrize(("option", "refine"), [("--refine", True), ("--no-refine", False)])
def test_refinement_is_forced_or_left_out(
    call: Callable[..., int], known: KnownKnee, option: str, refine: bool
) -> None:
    known.error = Cancelled()
    assert call(option, "--quiet") == 130
    assert known.options["refine"] is refine


@pytest.mark.parametrize(
    ("option", "check", "accept"),
    [("--no-check-films", False, False), ("--accept-any-film", True, True)],
)
def test_checking_of_the_films_can_be_left_out(
    call: Callable[..., int], known: KnownKnee, option: str, check: bool, accept: bool
) -> None:
    known.error = Cancelled()
    assert call(option, "--quiet") == 130
    assert (known.options["check_films"], known.options["accept_any"]) == (check, accept)


def test_what_a_picture_shows_is_in_the_summary(
    call: Callable[..., int], known: KnownKnee, capsys: pytest.CaptureFixture[str]
) -> None:
    found = Sourced(Side.LEFT, Origin.FOUND, "as the picture looks")
    known.change = lambda film: replace(
        film, side=found, warnings=("ap.png is taken as a right knee, but it looks like a left.",)
    )
    assert call() == 0
    printed = capsys.readouterr().out
    assert "found: as the picture looks" in " ".join(printed.split())
    assert "Warning: ap.png is taken as a right knee" in printed


@pytest.mark.parametrize("film", ["ap", "lateral"])
def test_flips_and_polarity_are_of_one_film(
    call: Callable[..., int], known: KnownKnee, knee: Reconstruction, film: str
) -> None:
    known.error = Cancelled()
    assert call("--ap-bright", "--lateral-bright", "--quiet") == 130
    assert known.films is not None
    plain = known.films
    other = {"ap": "lateral", "lateral": "ap"}[film]
    assert call(f"--flip-{film}", f"--{film}-dark", f"--{other}-bright", "--quiet") == 130
    index = ("ap", "lateral").index(film)
    changed = known.films[index].pixels
    assert changed == pytest.approx(1 - plain[index].pixels[:, ::-1], abs=1e-5)
    assert np.array_equal(known.films[1 - index].pixels, plain[1 - index].pixels)


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (KeyboardInterrupt(), 130, ""),
        (Cancelled(), 130, "Stopped."),
        (XRayTo3DError("The weights are of another network."), 2, "of another network"),
    ],
)
def test_stopping_leaves_nothing(
    call: Callable[..., int],
    known: KnownKnee,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    status: int,
    said: str,
) -> None:
    known.error = error
    before = set(tmp_path.rglob("*"))
    assert call() == status
    assert set(tmp_path.rglob("*")) == before
    printed = capsys.readouterr()
    assert printed.out == ""
    assert said in printed.err
    assert "Traceback" not in printed.err


def test_a_defect_keeps_its_traceback(call: Callable[..., int], known: KnownKnee) -> None:
    known.error = ZeroDivisionError("a defect")
    with pytest.raises(ZeroDivisionError, match="a defect"):
        call()


def test_frame_is_handed_on(call: Callable[..., int], tmp_path: Path) -> None:
    assert call("--frame", "RAS", "--quiet") == 0
    assert (tmp_path / "out" / "femur.stl").read_bytes().startswith(b"SPACE=RAS;UNIT=mm")
