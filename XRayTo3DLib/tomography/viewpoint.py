"""A camera that circles the knee: source and detector as an X-ray room has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.geometry import ViewGeometry
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.picture_size import LARGEST_SIDE, SMALLEST_SIDE
from XRayTo3DLib.imaging.scale import DEFAULT_SID, KNEE_TO_DETECTOR

STEEPEST = 89.0
"""Degrees of elevation; beyond, the film would have no upper edge."""

_SHOWN_HEIGHT = 0.92
"""Share of the volume's height that a film shows, so that few rays leave through its cut ends."""


@dataclass(frozen=True)
class OrbitCamera:
    """Where the X-ray tube stands.

    With no turn the film is an AP: the tube stands in front. 90° give the mediolateral view of a
    right knee, -90° that of a left knee; columns and rows run as on such films.

    Attributes:
        turn: degrees about the leg's long axis, counter-clockwise seen from above.
        elevation: degrees by which the tube is raised above the joint's height and tilted down.
        sid: source–image distance, mm.
        sod: source–object distance, mm, of the point looked at.
        detector: side of the square detector, mm.
        size: pixels a side.
        about: RAS mm of the point looked at.
    """

    turn: float = 0.0
    elevation: float = 0.0
    sid: float = DEFAULT_SID
    sod: float = DEFAULT_SID - KNEE_TO_DETECTOR
    detector: float = 200.0
    size: int = 512
    about: Sequence[float] = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        """Refuse what no X-ray room has; distances are checked with the geometry."""
        if not np.isfinite(self.turn) or not abs(self.elevation) <= STEEPEST:
            raise XRayTo3DError(
                f"The tube cannot stand at {self.turn:g}°, raised by {self.elevation:g}°; give an "
                f"elevation from -{STEEPEST:g}° to {STEEPEST:g}°."
            )
        if not SMALLEST_SIDE <= self.size <= LARGEST_SIDE:
            raise XRayTo3DError(
                f"A picture of {self.size} pixels a side cannot be made; give {SMALLEST_SIDE} to "
                f"{LARGEST_SIDE}."
            )
        if not 0 < self.detector < np.inf:
            raise XRayTo3DError(f"The detector must have a side, not {self.detector:g} mm.")

    @property
    def magnification(self) -> float:
        """SID / SOD."""
        return self.sid / self.sod

    @property
    def spacing(self) -> float:
        """mm between pixels at the detector."""
        return self.detector / self.size

    @property
    def view(self) -> ViewGeometry:
        """Source and detector, RAS.

        Raises:
            XRayTo3DError: distances that no machine has.
        """
        frontal = ViewGeometry.looking(
            (0.0, -1.0, 0.0),
            (-1.0, 0.0, 0.0),
            sid=self.sid,
            sod=self.sod,
            spacing=(self.spacing, self.spacing),
            shape=(self.size, self.size),
        )
        # First raised in the sagittal plane, then turned about the upright axis.
        orbit = Rotation.from_euler("xz", [self.elevation, self.turn], degrees=True)
        return frontal.moved(orbit.as_matrix(), self.about)


def fitting_detector(grid: VolumeGrid) -> float:
    """Side, mm, of a detector that shows the height of a volume at the default distances."""
    magnification = DEFAULT_SID / (DEFAULT_SID - KNEE_TO_DETECTOR)
    return _SHOWN_HEIGHT * grid.shape[0] * grid.spacing * magnification
