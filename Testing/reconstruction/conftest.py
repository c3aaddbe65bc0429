"""A reconstruction of a knee made of capsules, of which everything is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.imaging.centres import stated_centres
from XRayTo3DLib.imaging.geometry import ViewGeometry, geometry_of
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.radiograph import Origin, Radiograph, Side, Sourced, View
from XRayTo3DLib.reconstruction.result import ModelIdentity, Reconstruction

# The capsules of the fixture toy_knee: bottom, top, radius, RAS mm.
CAPSULES = {
    Bone.FEMUR: ((0, 0, 30), (0, 0, 100), 25),
    Bone.TIBIA: ((0, 0, -100), (0, 0, -30), 22),
    Bone.PATELLA: ((0, 42, 28), (0, 42, 36), 12),
    Bone.FIBULA: ((36, -12, -100), (36, -12, -40), 8),
}
GRID = VolumeGrid.cube(60, 180.0)
SHAPE = (128, 112)
SPACING = 2.0


def depth_inside(points: np.ndarray, bone: Bone) -> np.ndarray:
    """Distance of RAS points ``(..., 3)`` to the capsule's surface, mm, positive inside."""
    bottom, top, radius = (np.asarray(part, dtype=float) for part in CAPSULES[bone])
    axis = top - bottom
    along = np.clip(((points - bottom) @ axis) / (axis @ axis), 0, 1)
    return radius - np.linalg.norm(points - bottom - along[..., None] * axis, axis=-1)


def softmax_of_depths(grid: VolumeGrid) -> np.ndarray:
    """``(5, z, y, x)``: probabilities that cross one half on the capsules' surfaces."""
    x, y, z = grid.axes()
    points = np.stack(np.meshgrid(z, y, x, indexing="ij")[::-1], axis=-1)
    depths = [depth_inside(points, bone) for bone in Bone]
    odds = np.exp(np.clip([np.zeros(grid.shape), *depths], -30, 30))
    return (odds / odds.sum(axis=0)).astype(np.float32)


def chords(view: ViewGeometry) -> np.ndarray:
    """mm of bone along the ray to each pixel, ``(rows, columns)``, by sampling every 2 mm."""
    ray = view.pixel_positions() - view.source
    ray /= np.linalg.norm(ray, axis=-1, keepdims=True)
    total = np.zeros(view.shape)
    for distance in np.arange(view.sod - 80, view.sod + 80, 2):
        points = view.source + distance * ray
        total += 2 * np.any([depth_inside(points, bone) > 0 for bone in Bone], axis=0)
    return total


def film(view: View, side: Side, pixels: np.ndarray) -> Radiograph:
    """A film whose distances the header states, whose spacing is assumed, whose side was said."""
    return Radiograph(
        pixels=pixels.astype(np.float32),
        spacing=Sourced((SPACING, SPACING), Origin.ASSUMED, "usual pitch"),
        sid=Sourced(1000.0, Origin.HEADER, "DistanceSourceToDetector (0018,1110)"),
        sod=Sourced(900.0, Origin.HEADER, "DistanceSourceToPatient (0018,1111)"),
        view=Sourced(view, Origin.HEADER, "ViewPosition (0018,5101)"),
        side=Sourced(side, Origin.USER, "--side"),
        orientation=Sourced(("L", "F"), Origin.HEADER, "PatientOrientation (0020,0020)"),
        inverted=Sourced(False, Origin.HEADER, "PhotometricInterpretation (0028,0004)"),
        path=Path("films of someone") / f"{view.value}.dcm",
        warnings=(f"{view.value}.dcm: no pixel spacing.",),
    )


@pytest.fixture(scope="session")
def knee(toy_knee: dict[Bone, Surface]) -> Reconstruction:
    """A right knee; the shafts leave the field of view, the patella does not."""
    blank = np.zeros(SHAPE)
    blanks = film(View.AP, Side.RIGHT, blank), film(View.LATERAL, Side.RIGHT, blank)
    geometry = geometry_of(*blanks)
    frontal, lateral = (
        film(plain.view.value, Side.RIGHT, chords(view))
        for plain, view in zip(blanks, geometry.views, strict=True)
    )
    return Reconstruction(
        probabilities=softmax_of_depths(GRID),
        grid=GRID,
        surfaces=toy_knee,
        side=Side.RIGHT,
        frontal=frontal,
        lateral=lateral,
        geometry=geometry,
        centres=stated_centres(frontal, lateral),
        model=ModelIdentity("knee-test", "0f" * 32, "CC BY-NC-SA 4.0"),
        seconds={"network": 1.25, "surfaces": 0.5},
        warnings=("The lateral film is cut at the back.",),
    )
