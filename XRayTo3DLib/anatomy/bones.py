"""The four bones of the knee: label values, names, colours, SNOMED CT codes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Bone(IntEnum):
    """Label value of each bone in every label map of this project (0 is background)."""

    FEMUR = 1
    TIBIA = 2
    PATELLA = 3
    FIBULA = 4

    @property
    def key(self) -> str:
        """Lower-case name, as in file names and tables."""
        return self.name.lower()

    @property
    def title(self) -> str:
        """Name shown to a reader."""
        return self.name.capitalize()

    @property
    def style(self) -> BoneStyle:
        """Colour and terminology."""
        return _STYLES[self]


@dataclass(frozen=True)
class BoneStyle:
    """How a bone is shown and coded.

    ``rgb`` is 0–1 sRGB, as in the figures of Kasten et al. 2020 (femur red, tibia blue, patella
    green, fibula yellow); ``snomed_code`` is the concept identifier of "Bone structure of …" that
    Slicer's own terminology lists for the bone.
    """

    rgb: tuple[float, float, float]
    snomed_code: str
    snomed_meaning: str


_STYLES = {
    Bone.FEMUR: BoneStyle((0.85, 0.26, 0.22), "71341001", "Femur"),
    Bone.TIBIA: BoneStyle((0.23, 0.45, 0.85), "12611008", "Tibia"),
    Bone.PATELLA: BoneStyle((0.27, 0.69, 0.33), "64234005", "Patella"),
    Bone.FIBULA: BoneStyle((0.94, 0.79, 0.18), "87342007", "Fibula"),
}

BACKGROUND = 0
CLASS_COUNT = 1 + len(Bone)
