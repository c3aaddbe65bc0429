"""A scene of Slicer's own MRML library, and a knee that was really reconstructed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

slicer = pytest.importorskip("slicer", reason="pip install slicer-core")

from XRayTo3DLib.reconstruction.reconstruct import reconstruct  # noqa: E402
from XRayTo3DLib.reconstruction.result import Reconstruction  # noqa: E402
from XRayTo3DLib.resources import resource_path  # noqa: E402
from XRayTo3DLib.slicer.knee_nodes import KneeNodes, show_knee  # noqa: E402


@pytest.fixture
def scene() -> Iterator[slicer.vtkMRMLScene]:
    scene = slicer.vtkMRMLScene()
    before = getattr(slicer, "mrmlScene", None)
    slicer.mrmlScene = scene
    yield scene
    slicer.mrmlScene = before
    scene.Clear(True)


@pytest.fixture(scope="session")
def reconstruction() -> Reconstruction:
    return reconstruct(
        resource_path("SampleData", "knee_ap.dcm"),
        resource_path("SampleData", "knee_lateral.dcm"),
        refine=False,
    )


@pytest.fixture
def knee(scene: slicer.vtkMRMLScene, reconstruction: Reconstruction) -> KneeNodes:
    return show_knee(scene, reconstruction)
