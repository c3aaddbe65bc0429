"""What a reconstruction gives back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.imaging.centres import Centres
from XRayTo3DLib.imaging.geometry import BiplanarGeometry
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.radiograph import Radiograph, Side


@dataclass(frozen=True)
class ModelIdentity:
    """Which weights were used.

    Attributes:
        name: file name without its ending.
        sha256: of the weights file, hexadecimal.
        licence: of the weights.
    """

    name: str
    sha256: str
    licence: str


@dataclass(frozen=True)
class Fit:
    """How a refinement ended.

    Attributes:
        before: mean distance from the bones' outlines to the borders of the silhouettes that the
            network sees on the films, mm at the isocentre, before it.
        after: the same after it, never more than 0.005 mm larger.
        stopped: why it ended, see :class:`XRayTo3DLib.reconstruction.refinement.Refinement`.
        flexion: degrees by which the knee was found to be bent more on the lateral film than on
            the frontal; the bones are in the pose of the frontal film.
        flexion_shown: degrees by which the knee is bent on the lateral film, as the network saw
            it before; None where that cannot be told.
        automatic: whether nobody asked for it: it was done because that flexion is large.
        corrected: whether anything was; otherwise the result is that without refinement.
    """

    before: float
    after: float
    stopped: str
    flexion: float = 0.0
    flexion_shown: float | None = None
    automatic: bool = False
    corrected: bool = False


@dataclass(frozen=True)
class StyledFilms:
    """Both films as the network would have seen them, and as it saw them.

    Attributes:
        name: of the weights of the translation.
        sha256: of that file.
        before: ``(2, rows, columns)`` float32 in 0–1, those of a right knee.
        after: the same, translated.
        affines: ``(2, 2, 3)``; film pixels (row, column) of a picture's pixels are
            ``affine @ (row, column, 1)``, on the films as they are, left knees' too.
    """

    name: str
    sha256: str
    before: np.ndarray
    after: np.ndarray
    affines: np.ndarray


@dataclass(frozen=True)
class Reconstruction:
    """Four bones from two radiographs, in the patient's own frame (left stays left).

    Attributes:
        probabilities: ``(5, z, y, x)`` float32, background and the bones in label order, summing
            to 1 over the first axis.
        grid: where the voxels are, RAS mm.
        surfaces: a closed surface of each bone that was found, RAS mm.
        side: which knee.
        frontal: the frontal film.
        lateral: the lateral film.
        geometry: where the sources and detectors of the two films stood.
        centres: where the middle of the joint is on each film, and who says so.
        model: the weights.
        fit: of the refinement, if there was one; ``geometry`` is then the corrected one.
        styled: the films before and after their style was translated, if it was.
        seconds: wall time of each stage, in the order they ran.
        warnings: sentences for the user.
    """

    probabilities: np.ndarray
    grid: VolumeGrid
    surfaces: dict[Bone, Surface]
    side: Side
    frontal: Radiograph
    lateral: Radiograph
    geometry: BiplanarGeometry
    centres: Centres
    model: ModelIdentity
    seconds: dict[str, float]
    warnings: tuple[str, ...] = ()
    fit: Fit | None = None
    styled: StyledFilms | None = None

    @property
    def labels(self) -> np.ndarray:
        """The most probable class of each voxel, ``(z, y, x)`` uint8."""
        return self.probabilities.argmax(axis=0).astype(np.uint8)
