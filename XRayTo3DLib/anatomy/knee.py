"""A knee made of surfaces, and the folder of bone surfaces that knees are learnt from."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.surface import Surface, read_surface
from XRayTo3DLib.errors import InputFileError, XRayTo3DError
from XRayTo3DLib.imaging.radiograph import Side

_CONDYLES = (2.0, 40.0)
"""mm above the femur's lowest point between which its condyles are looked at."""

_MOST_TURNS = 30
_COARSE_ENOUGH = 0.05
"""Degrees by which aligned condyles may be off the coronal plane."""

_ANTERIOR_OFFSET = 8.0
"""mm in front of the condyles' middle at which the isocentre lies, so that the patella fits."""


@dataclass(frozen=True)
class Knee:
    """Bone surfaces of one knee.

    Attributes:
        name: unique.
        person: left and right of one person share it; splits are made by it.
        side: which knee.
        surfaces: RAS mm; all four bones, or the femur alone.
        licence: of the source.
    """

    name: str
    person: str
    side: Side
    surfaces: dict[Bone, Surface]
    licence: str = ""

    @property
    def is_complete(self) -> bool:
        """Whether all four bones are there."""
        return set(self.surfaces) == set(Bone)

    def transformed(self, matrix: np.ndarray, bones: Iterable[Bone] = tuple(Bone)) -> Knee:
        """Some bones moved by a 4×4 matrix."""
        moved = {bone: self.surfaces[bone].transformed(matrix) for bone in bones}
        return replace(self, surfaces={**self.surfaces, **moved})

    def mirrored(self) -> Knee:
        """The same knee on the other side."""
        other = Side.LEFT if self.side is Side.RIGHT else Side.RIGHT
        surfaces = {bone: surface.mirrored() for bone, surface in self.surfaces.items()}
        return replace(self, side=other, surfaces=surfaces)

    def alignment(self) -> np.ndarray:
        """4×4 motion to where the knee would be placed for films.

        The knee is turned about the long axis until the two posterior condyles lie equally far
        back, which is what a radiographer does for a true lateral, and moved so that the middle of
        the condyles, at the height of the joint line, is the origin. ``z`` is kept: in the source
        frame it is already 0 at the joint line.
        """
        femur = self.surfaces[Bone.FEMUR].vertices
        turn = np.eye(4)
        for _ in range(_MOST_TURNS):
            # Turning brings other points of the condyles hindmost: again, until it settles.
            angle = posterior_angle(_apply(turn, femur))
            if abs(angle) < _COARSE_ENOUGH:
                break
            turn = rotation("z", -angle) @ turn
        condyles = condyle_box(_apply(turn, femur))
        middle = condyles.mean(axis=0)
        turn[:2, 3] -= middle[:2] + (0.0, _ANTERIOR_OFFSET)
        return turn

    def aligned(self) -> Knee:
        """As it would be placed for films: condyles coronal, isocentre in the joint."""
        return self.transformed(self.alignment(), self.surfaces)


def rotation(axis: str, degrees: float, about: np.ndarray | None = None) -> np.ndarray:
    """4×4 rotation about RAS ``"x"``, ``"y"`` or ``"z"`` through a point (default: origin)."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler(axis, degrees, degrees=True).as_matrix()
    if about is not None:
        matrix[:3, 3] = about - matrix[:3, :3] @ about
    return matrix


def condyle_box(femur: np.ndarray) -> np.ndarray:
    """Smallest and largest RAS coordinates ``(2, 3)`` of the condyles of femur vertices."""
    height = femur[:, 2] - femur[:, 2].min()
    condyles = femur[(height > _CONDYLES[0]) & (height < _CONDYLES[1])]
    return np.stack([condyles.min(axis=0), condyles.max(axis=0)])


def posterior_angle(femur: np.ndarray) -> float:
    """Degrees about z by which the posterior condylar line is off the coronal plane."""
    height = femur[:, 2] - femur[:, 2].min()
    condyles = femur[(height > _CONDYLES[0]) & (height < _CONDYLES[1])]
    middle = 0.5 * (condyles[:, 0].min() + condyles[:, 0].max())
    halves = (condyles[condyles[:, 0] < middle], condyles[condyles[:, 0] >= middle])
    left, right = (half[half[:, 1].argmin()] for half in halves)
    return float(np.degrees(np.arctan2(right[1] - left[1], right[0] - left[0])))


def _apply(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def load_knees(folder: str | Path) -> list[Knee]:
    """All knees of a folder of bone surfaces, aligned, each on its own side.

    The folder holds ``index.json``, which maps ``name`` to ``{"side", "bones", "source",
    "licence"}``, and ``name/<bone>.ply`` in RAS mm, origin between femur and tibia.

    Raises:
        InputFileError: the index is missing or says what the folder does not hold.
    """
    folder = Path(folder)
    index = folder / "index.json"
    if not index.is_file():
        raise InputFileError(index, f"was not found in {folder.name}; name a folder of bones.")
    try:
        entries = json.loads(index.read_text(encoding="utf-8"))
        return [_load_knee(folder, name, entry) for name, entry in sorted(entries.items())]
    except InputFileError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputFileError(index, f"is not an index of bones ({error}).") from error


def _load_knee(folder: Path, name: str, entry: dict) -> Knee:
    surfaces = {
        Bone[bone.upper()]: read_surface(folder / name / f"{bone}.ply") for bone in entry["bones"]
    }
    knee = Knee(name, person_of(name), Side(entry["side"]), surfaces, entry["licence"])
    return knee.aligned()


def person_of(name: str) -> str:
    """The person a knee of this name belongs to: the name without folder and side."""
    stem = name.rsplit("/", maxsplit=1)[-1]
    for side in Side:
        stem = stem.removesuffix(f"_{side.value}")
    return stem


def split_by_person(knees: list[Knee], held_out: Iterable[str]) -> tuple[list[Knee], list[Knee]]:
    """Knees of everyone else, knees of the people held out.

    Raises:
        XRayTo3DError: a name that no knee carries (a typing error would train on the test).
    """
    held = set(held_out)
    unknown = held - {knee.person for knee in knees}
    if unknown:
        raise XRayTo3DError(
            f"Nobody is called {', '.join(sorted(unknown))} among the bones; "
            f"held-out people must be some of {', '.join(sorted({k.person for k in knees}))}."
        )
    kept = [knee for knee in knees if knee.person not in held]
    return kept, [knee for knee in knees if knee.person in held]
