from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from XRayTo3DLib import cli


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    """Exit status of the command line with these arguments."""
    monkeypatch.setattr(sys, "argv", ["xrayto3d", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return int(stopped.value.code or 0)


@pytest.fixture
def films(tmp_path: Path) -> tuple[Path, Path]:
    """Two different pictures that can be read as films."""
    generator = np.random.default_rng(2)
    paths = tmp_path / "ap.png", tmp_path / "lateral.png"
    for path in paths:
        pixels = generator.integers(0, 60000, (80, 70), dtype=np.uint16)
        sitk.WriteImage(sitk.GetImageFromArray(pixels), str(path))
    return paths


def test_help_imports_nothing_slow() -> None:
    code = (
        "import sys, XRayTo3DLib.cli;"
        "print([name for name in ('torch', 'vtk', 'matplotlib', 'SimpleITK', 'scipy', 'numpy',"
        " 'skimage', 'pydicom') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "--version") == 0
    assert capsys.readouterr().out.strip() == f"xrayto3d {metadata.version('XRayTo3D')}"


@pytest.mark.parametrize("option", ["--spacing", "--ap-sid", "--lateral-sod", "--angle"])
def test_help_states_units(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert run(monkeypatch, "reconstruct", "--help") == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if f" {option} " in line)
    assert "degrees" in line if option == "--angle" else ", mm" in line
    assert "not for clinical use" not in line.lower()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["missing.dcm", "lateral.png"], "missing.dcm: does not exist; check the path."),
        (["text.dcm", "lateral.png"], "text.dcm: is not a DICOM file"),
        (["empty.png", "lateral.png"], "empty.png: is empty"),
        (["ap.png", "ap.png"], "are the same film"),
        (["ap.png", "lateral.png", "--spacing", "-1"], "has a pixel spacing of -1 mm"),
        (["ap.png", "lateral.png", "--lateral-spacing", "0"], "lateral.png: has a pixel spacing"),
        (["ap.png", "lateral.png", "--ap-sid", "3"], "ap.png: has a source–image distance of 3"),
        (["ap.png", "lateral.png", "--sod", "999", "--sid", "900"], "distance of 999 mm"),
    ],
)
def test_bad_input_is_one_sentence_and_writes_nothing(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    films: tuple[Path, Path],
    arguments: list[str],
    sentence: str,
) -> None:
    folder = films[0].parent
    (folder / "text.dcm").write_text("no film")
    (folder / "empty.png").touch()
    monkeypatch.chdir(folder)
    before = set(folder.rglob("*"))
    assert run(monkeypatch, "reconstruct", *arguments, "--output", "out") == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert sentence in printed.err
    assert len(printed.err.strip().splitlines()) == 1
    assert set(folder.rglob("*")) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["--side", "middle"],
        ["--angle", "steep"],
        ["--ap-centre", "3"],
        ["--ap-centre", "a,b"],
        ["--threads", "0"],
        ["--no-such-option"],
    ],
)
def test_a_wrong_option_exits_with_2(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    films: tuple[Path, Path],
    arguments: list[str],
) -> None:
    output = films[0].parent / "out"
    assert run(monkeypatch, "reconstruct", *films, "--output", output, *arguments) == 2
    assert arguments[0] in capsys.readouterr().err
    assert not output.exists()


def test_existing_results_are_refused_before_any_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The films do not even exist: it is the folder that is complained about."""
    (tmp_path / "report.json").write_text("{}")
    assert run(monkeypatch, "reconstruct", "a.dcm", "b.dcm", "--output", tmp_path) == 2
    assert "report.json exists; use --overwrite" in capsys.readouterr().err
    assert (tmp_path / "report.json").read_text(encoding="utf-8") == "{}"
