"""What goes wrong between a knee and its films: where tube, detector and knee really are.

The films are taken so; their headers say that all is well.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from XRayTo3DLib.anatomy.joint import JointPose, bend, joint_gaps
from XRayTo3DLib.anatomy.knee import Knee, rotation
from XRayTo3DLib.imaging.geometry import BiplanarGeometry, ViewGeometry, turn_about


@dataclass(frozen=True)
class Positioning:
    """How tube, detector and knee stand otherwise than the headers say.

    Attributes:
        turn: degrees by which the lateral view is turned about the patient's long axis.
        roll: degrees by which the lateral film is turned in its plane (about its beam).
        distance: share by which both SIDs and SODs are larger than stated.
        magnification: share by which the lateral magnification is larger than stated.
        height: mm by which the lateral beam meets the leg higher.
        flexion: degrees by which the knee is bent more on the lateral film.
    """

    turn: float = 0.0
    roll: float = 0.0
    distance: float = 0.0
    magnification: float = 0.0
    height: float = 0.0
    flexion: float = 0.0

    def true_geometry(self, stated: BiplanarGeometry) -> BiplanarGeometry:
        """Where sources and detectors really stood."""
        frontal, lateral = (_farther(view, self.distance) for view in stated.views)
        lateral = _enlarged(lateral, self.magnification)
        beam = lateral.normal
        turned = rotation("z", self.turn)[:3, :3] @ turn_about(beam, self.roll)
        return BiplanarGeometry(frontal, lateral.moved(turned, (0.0, 0.0, self.height)))

    def on_lateral(self, knee: Knee) -> Knee:
        """The knee as it is when the lateral film is taken; the femur lies as before."""
        if not self.flexion:
            return knee
        return bend(knee, JointPose(flexion=self.flexion), joint_gaps(knee))


AS_STATED = Positioning()
"""All stands as the headers say."""


def _farther(view: ViewGeometry, share: float) -> ViewGeometry:
    """Source and detector moved away from the isocentre along the beam, in proportion."""
    away = view.normal * share
    return replace(
        view,
        source=view.source - view.sod * away,
        first_pixel=view.first_pixel + (view.sid - view.sod) * away,
    )


def _enlarged(view: ViewGeometry, share: float) -> ViewGeometry:
    """The source moved nearer until the magnification is larger by ``share``."""
    behind = view.sid - view.sod
    magnification = view.sid / view.sod * (1.0 + share)
    nearer = view.sod - behind / (magnification - 1.0)
    return replace(view, source=view.source + view.normal * nearer)
