"""What goes wrong between a knee and its films: one fault at a time, of a stated size.

The film is taken with the fault; its header says that all is well.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from XRayTo3DLib.anatomy.joint import JointPose, bend, joint_gaps
from XRayTo3DLib.anatomy.knee import Knee, rotation
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.geometry import BiplanarGeometry, ViewGeometry
from XRayTo3DLib.imaging.radiograph import Radiograph


@dataclass(frozen=True)
class Condition:
    """A fault.

    Attributes:
        name: for tables, with its size.
        turn: degrees by which the lateral view is turned about the patient's long axis.
        roll: degrees by which the lateral film is turned in its plane (about its beam).
        distance: share by which both SIDs and SODs are larger than stated.
        magnification: share by which the lateral magnification is larger than stated.
        height: mm by which the lateral beam meets the leg higher.
        flexion: degrees by which the knee is bent more on the lateral film.
        crop: share of each side of both films that shutters hide.
        noise: standard deviation of added noise, of the range of the film.
    """

    name: str
    turn: float = 0.0
    roll: float = 0.0
    distance: float = 0.0
    magnification: float = 0.0
    height: float = 0.0
    flexion: float = 0.0
    crop: float = 0.0
    noise: float = 0.0

    def true_geometry(self, stated: BiplanarGeometry) -> BiplanarGeometry:
        """Where sources and detectors really stood."""
        frontal, lateral = (_farther(view, self.distance) for view in stated.views)
        lateral = _enlarged(lateral, self.magnification)
        beam = lateral.normal
        turned = rotation("z", self.turn)[:3, :3] @ _about(beam, self.roll)
        return BiplanarGeometry(frontal, lateral.moved(turned, (0.0, 0.0, self.height)))

    def on_lateral(self, knee: Knee) -> Knee:
        """The knee as it is when the lateral film is taken; the femur lies as before."""
        if not self.flexion:
            return knee
        return bend(knee, JointPose(flexion=self.flexion), joint_gaps(knee))

    def degraded(self, film: Radiograph, rng: np.random.Generator) -> Radiograph:
        """The film with shutters and noise."""
        pixels = film.pixels
        if self.noise:
            pixels = pixels + rng.normal(0.0, self.noise * np.ptp(pixels), pixels.shape)
        if self.crop:
            rows, columns = (round(self.crop * size) for size in pixels.shape)
            kept = np.zeros(pixels.shape, dtype=bool)
            kept[rows : pixels.shape[0] - rows, columns : pixels.shape[1] - columns] = True
            pixels = np.where(kept, pixels, pixels.min())
        return replace(film, pixels=pixels.astype(np.float32))


IDEAL = Condition("ideal")

CONDITIONS = (
    IDEAL,
    *(Condition(f"turned {angle:g}°", turn=angle) for angle in (2.5, 5.0, 10.0)),
    *(Condition(f"rolled {angle:g}°", roll=angle) for angle in (2.5, 5.0, 10.0)),
    Condition("distances +5 %", distance=0.05),
    Condition("lateral magnified +5 %", magnification=0.05),
    Condition("lateral 20 mm higher", height=20.0),
    Condition("lateral 20 mm lower", height=-20.0),
    Condition("flexed 10° more", flexion=10.0),
    Condition("flexed 20° more", flexion=20.0),
    Condition("cropped by 12 %", crop=0.12),
    Condition("noise of 4 %", noise=0.04),
)
"""What the benchmark measures."""


def conditions_named(names: list[str] | None) -> tuple[Condition, ...]:
    """Conditions by their names; all of them when none is named.

    Raises:
        XRayTo3DError: there is none of a name.
    """
    if not names:
        return CONDITIONS
    known = {condition.name: condition for condition in CONDITIONS}
    if unknown := [name for name in names if name not in known]:
        raise XRayTo3DError(
            f"There is no condition {unknown[0]!r}; the conditions are: {', '.join(known)}."
        )
    return tuple(known[name] for name in names)


def _about(axis: np.ndarray, degrees: float) -> np.ndarray:
    """Rotation matrix about a unit axis (Rodrigues' formula)."""
    angle = np.radians(degrees)
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


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
