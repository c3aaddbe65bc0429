"""Osteophytes: the bony spurs that an osteoarthritic knee grows at the rims of its joint surfaces.

Where they sit follows the radiographic atlas of Altman and Gold (Osteoarthritis and Cartilage 15,
2007): at the sides of the femoral condyles and of the tibial plateau, and at both poles of the
patella.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.joint import JointPose, bend, joint_gaps, vertex_normals
from XRayTo3DLib.anatomy.knee import Knee
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.errors import XRayTo3DError

_Rim = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Vertices and their normals, ``(V, 3)`` each, to where spurs grow, ``(V,)`` bool."""

HIGHEST_GRADE = 4
"""Of Kellgren and Lawrence (Ann Rheum Dis 16, 1957), 0 being none."""

_SPURS = 3
"""Spurs of a bone, for each grade, on average."""

_HEIGHT = (0.5, 1.5)
"""mm by which a spur stands out, for each grade."""

_RADIUS = (3.0, 6.0)
"""mm from the top of a spur to where it has fallen to 60 %."""

NARROWING = 0.4
"""mm by which a joint is narrower for each grade of arthritis."""


def arthritic(knee: Knee, grade: int, rng: np.random.Generator) -> Knee:
    """The right knee with osteophytes, its joint narrower by :data:`NARROWING` a grade.

    Args:
        knee: complete and aligned.
        grade: 0 (none, the knee as it is) to :data:`HIGHEST_GRADE`.
        rng: source of randomness.

    Raises:
        XRayTo3DError: a grade outside that range.
    """
    grown = with_osteophytes(knee, grade, rng)
    if not grade:
        return grown
    return bend(grown, JointPose(gap_change=-NARROWING * grade), joint_gaps(knee))


def with_osteophytes(knee: Knee, grade: int, rng: np.random.Generator) -> Knee:
    """The right knee with spurs at random places of its rims.

    Args:
        knee: aligned; its fibula grows none.
        grade: 0 (none, the knee as it is) to :data:`HIGHEST_GRADE`.
        rng: source of randomness.

    Raises:
        XRayTo3DError: a grade outside that range.
    """
    if not 0 <= grade <= HIGHEST_GRADE:
        raise XRayTo3DError(f"The grade of arthritis is 0 to {HIGHEST_GRADE}, not {grade}.")
    surfaces = dict(knee.surfaces)
    for bone, rim in _RIMS.items():
        if grade and bone in surfaces:
            surfaces[bone] = _with_spurs(surfaces[bone], rim, grade, rng)
    return replace(knee, surfaces=surfaces)


def _with_spurs(bone: Surface, rim: _Rim, grade: int, rng: np.random.Generator) -> Surface:
    normals = vertex_normals(bone)
    places = np.flatnonzero(rim(bone.vertices, normals))
    if len(places) == 0:
        return bone
    grown = np.zeros_like(bone.vertices)
    for place in rng.choice(places, rng.poisson(_SPURS * grade)):
        height, radius = grade * rng.uniform(*_HEIGHT), rng.uniform(*_RADIUS)
        distance = np.linalg.norm(bone.vertices - bone.vertices[place], axis=1)
        # What faces the other way belongs to the other side of the bone and stays.
        facing = np.clip(normals @ normals[place], 0.0, None)
        spur = height * facing * np.exp(-0.5 * (distance / radius) ** 2)
        # Where spurs meet, the higher one counts: they do not pile up.
        higher = spur > np.linalg.norm(grown, axis=1)
        grown[higher] = spur[higher, None] * normals[place]
    return Surface(bone.vertices + grown, bone.faces)


def _femoral_rim(vertices: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """The outer sides of both condyles, just above the joint surface."""
    height = vertices[:, 2] - vertices[:, 2].min()
    outwards = normals[:, 0] * np.sign(vertices[:, 0] - np.median(vertices[height < 30.0, 0]))
    return (height > 5.0) & (height < 25.0) & (outwards > 0.6)


def _tibial_rim(vertices: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """All around, below the plateau (whose spines stand some millimetres higher)."""
    depth = vertices[:, 2].max() - vertices[:, 2]
    return (depth > 6.0) & (depth < 15.0) & (np.abs(normals[:, 2]) < 0.6)


def _patellar_poles(vertices: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """The upper and the lower end."""
    low, high = vertices[:, 2].min(), vertices[:, 2].max()
    share = (vertices[:, 2] - low) / (high - low)
    return np.abs(share - 0.5) > 0.4


_RIMS: dict[Bone, _Rim] = {
    Bone.FEMUR: _femoral_rim,
    Bone.TIBIA: _tibial_rim,
    Bone.PATELLA: _patellar_poles,
}
