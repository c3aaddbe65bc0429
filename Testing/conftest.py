"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from spheres import unit_sphere

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.surface import Surface

REPOSITORY = Path(__file__).resolve().parents[1]


def pytest_configure() -> None:
    """Draw off screen: no test may need a display."""
    os.environ.setdefault("MPLBACKEND", "Agg")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_bones() -> Path:
    """Folder of real bone surfaces, which are not in the repository (XRAYTO3D_BONES names it)."""
    return _folder_or_skip("XRAYTO3D_BONES", "bones")


@pytest.fixture(scope="session")
def shared_radiographs() -> Path:
    """Folder of real films, which are not in the repository (XRAYTO3D_RADIOGRAPHS names it)."""
    return _folder_or_skip("XRAYTO3D_RADIOGRAPHS", "radiographs")


def _folder_or_skip(variable: str, name: str) -> Path:
    default = REPOSITORY.parent / "shared" / name
    folder = Path(os.environ.get(variable) or default)
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent; {variable} may name another folder.")
    return folder


@pytest.fixture(scope="session")
def toy_knee() -> dict[Bone, Surface]:
    """A right knee of four capsules in RAS mm about the isocentre; they do not touch.

    The shafts of femur, tibia and fibula run along z, the patella lies in front of the femur and
    the fibula to the right, as in a right leg. Their vertices lie on the exact capsules.
    """
    return {
        Bone.FEMUR: capsule((0, 0, 30), (0, 0, 100), 25),
        Bone.TIBIA: capsule((0, 0, -100), (0, 0, -30), 22),
        Bone.PATELLA: capsule((0, 42, 28), (0, 42, 36), 12),
        Bone.FIBULA: capsule((36, -12, -100), (36, -12, -40), 8),
    }


def capsule(
    bottom: tuple[float, float, float], top: tuple[float, float, float], radius: float
) -> Surface:
    """The points within ``radius`` of the upright line from ``bottom`` to ``top``, triangulated."""
    # An even number of circles of latitude leaves none on the equator: the band there becomes the
    # cylinder when the halves are drawn apart.
    sphere = unit_sphere(96, 48)
    upper = sphere.vertices[:, 2:] > 0
    ends = np.where(upper, np.asarray(top, dtype=float), np.asarray(bottom, dtype=float))
    return Surface(ends + radius * sphere.vertices, sphere.faces)
