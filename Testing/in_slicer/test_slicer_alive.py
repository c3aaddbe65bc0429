"""Long work beside a living window, and what is said before it starts."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from XRayTo3DLib.progress import Cancelled, Progress
from XRayTo3DLib.reconstruction.reconstruct import reconstruct
from XRayTo3DLib.resources import resource_path, shipped_weights
from XRayTo3DLib.slicer.alive import run_alive
from XRayTo3DLib.slicer.readiness import readiness


def test_work_runs_beside_the_window() -> None:
    seen: list[tuple[str, float]] = []
    threads = []

    def job(progress: Progress) -> int:
        threads.append(threading.current_thread())
        for part in range(5):
            progress("Working", part / 5)
            time.sleep(0.03)
        return 42

    assert run_alive(job, lambda stage, fraction: seen.append((stage, fraction))) == 42
    assert threads[0] is not threading.current_thread()
    assert len(seen) > 1
    assert seen[-1] == ("Working", 0.8)


def test_an_error_reaches_the_caller() -> None:
    def job(progress: Progress) -> None:
        raise ValueError("said")

    with pytest.raises(ValueError, match="said"):
        run_alive(job, lambda stage, fraction: None)


def test_a_reconstruction_can_be_cancelled() -> None:
    films = (resource_path("SampleData", f"knee_{view}.dcm") for view in ("ap", "lateral"))
    stages: list[str] = []

    def job(progress: Progress) -> object:
        return reconstruct(*films, progress=progress)

    with pytest.raises(Cancelled):
        run_alive(job, lambda stage, _: stages.append(stage), lambda: "Network" in stages)
    assert "Surfaces" not in stages


def test_ready_with_all_there() -> None:
    found = readiness()
    assert found.ready
    assert found.weights == shipped_weights()
    assert shipped_weights().stem in found.sentence


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    there = importlib.util.find_spec

    def find(name: str) -> object:
        return None if name in ("torch", "skimage") else there(name)

    monkeypatch.setattr("XRayTo3DLib.slicer.readiness.find_spec", find)
    found = readiness(tmp_path / "mine.safetensors")
    assert not found.ready
    assert (found.torch, found.packages, found.weights) == (False, ("scikit-image",), None)
    for word in ("PyTorch", "scikit-image", "mine.safetensors"):
        assert word in found.sentence


def test_nothing_of_the_scene_needs_torch() -> None:
    """Slicer opens the module before PyTorch is installed."""
    folder = Path(__file__).parents[2] / "XRayTo3DLib" / "slicer"
    modules = [f"XRayTo3DLib.slicer.{file.stem}" for file in folder.glob("[a-z]*.py")]
    program = (
        "import sys; sys.modules['torch'] = None; sys.modules['safetensors'] = None\n"
        + "\n".join(f"import {module}" for module in modules)
        + "\nimport XRayTo3DLib.imaging.film_options"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
