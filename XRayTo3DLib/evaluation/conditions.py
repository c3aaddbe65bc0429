"""What the benchmark measures, one at a time: faults of geometry and picture, and ill knees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.evaluation import film_conditions as picture
from XRayTo3DLib.evaluation.film_conditions import Degradation
from XRayTo3DLib.evaluation.positioning import AS_STATED, Positioning
from XRayTo3DLib.imaging.collimation import Collimation
from XRayTo3DLib.imaging.film_settings import FilmSettings


class Group(str, Enum):
    """What is otherwise than usual."""

    GEOMETRY = "geometry"
    """Where tube, detector and knee are."""
    PICTURE = "picture"
    """The picture."""
    ANATOMY = "anatomy"
    """The knee itself."""


@dataclass(frozen=True)
class Condition:
    """Films with one fault of which their headers say nothing, or of a knee that is ill.

    Attributes:
        name: for tables, with the fault's size.
        positioning: of tube, detector and knee.
        arthritis: grade of Kellgren and Lawrence: the knee has osteophytes and a narrow joint, and
            those bones are what is to be reconstructed.
        degraded: the finished picture made worse; both films alike.
        astray: whether films and headers disagree on where the knee is. Then only its shape and
            inner arrangement can be right, and it is compared after one rigid motion.
        find_joint: whether the joint has to be looked for, as its place on the film is not the
            header's.
    """

    name: str
    positioning: Positioning = AS_STATED
    arthritis: int = 0
    degraded: Degradation = picture.unchanged
    astray: bool = False
    find_joint: bool = False

    @property
    def group(self) -> Group:
        """What the fault is one of."""
        if self.arthritis:
            return Group.ANATOMY
        return Group.PICTURE if self.positioning == AS_STATED else Group.GEOMETRY


def _stood(name: str, positioning: Positioning) -> Condition:
    # A lateral film at another height is told from a stated geometry only by looking.
    return Condition(name, positioning=positioning, astray=True, find_joint=positioning.height != 0)


IDEAL = Condition("ideal")
"""No fault; the losses under all others are told from it."""

GEOMETRY_CONDITIONS = (
    *(_stood(f"turned {angle:g}°", Positioning(turn=angle)) for angle in (2.5, 5, 10, -5, -10)),
    *(_stood(f"rolled {angle:g}°", Positioning(roll=angle)) for angle in (2.5, 5.0, 10.0)),
    _stood("distances +5 %", Positioning(distance=0.05)),
    *(
        _stood(f"lateral magnified {share:+d} %", Positioning(magnification=0.01 * share))
        for share in (-5, 5, 10)
    ),
    _stood("lateral 20 mm higher", Positioning(height=20.0)),
    _stood("lateral 20 mm lower", Positioning(height=-20.0)),
    _stood("flexed 10° more", Positioning(flexion=10.0)),
    _stood("flexed 20° more", Positioning(flexion=20.0)),
)

_SHUTTERS = (0.12, 0.12, 0.12, 0.12)

PICTURE_CONDITIONS = (
    Condition("cropped by 12 %", degraded=picture.collimated(Collimation(_SHUTTERS))),
    Condition("noise of 4 %", degraded=picture.noisy(0.04)),
    Condition("noise of 10 %", degraded=picture.noisy(0.10)),
    Condition("exposed 2 stops less", degraded=picture.exposed(-2.0)),
    Condition("exposed 2 stops more", degraded=picture.exposed(2.0)),
    Condition("blurred by 0.5 mm", degraded=picture.blurred(0.5)),
    Condition("blurred by 1.5 mm", degraded=picture.blurred(1.5)),
    Condition("gamma 0.5", degraded=picture.toned_by(FilmSettings(gamma=0.5))),
    Condition("gamma 2", degraded=picture.toned_by(FilmSettings(gamma=2.0))),
    Condition("steep tone curve", degraded=picture.toned_by(FilmSettings(sigmoid_slope=8.0))),
    Condition("inverted", degraded=picture.inverted),
    Condition(
        "cut 15 % below and at the right",
        degraded=picture.cut(0.0, 0.15, 0.0, 0.15),
        astray=True,
        find_joint=True,
    ),
    Condition(
        "both films turned +10°", degraded=picture.turned(10.0), astray=True, find_joint=True
    ),
    Condition(
        "both films turned -10°", degraded=picture.turned(-10.0), astray=True, find_joint=True
    ),
    Condition("JPEG quality 30", degraded=picture.compressed(30)),
    Condition("8 bits", degraded=picture.quantised(8)),
    Condition("half resolution", degraded=picture.resampled(0.5)),
    Condition("double resolution", degraded=picture.resampled(2.0)),
    Condition("lead markers", degraded=picture.marked()),
    Condition(
        "collimated askew in black",
        degraded=picture.collimated(Collimation((0.05, 0.10, 0.15, 0.08), 6.0, 0.0)),
    ),
    Condition(
        "collimated askew in white",
        degraded=picture.collimated(Collimation((0.05, 0.10, 0.15, 0.08), 6.0, 1.0)),
    ),
)

ANATOMY_CONDITIONS = tuple(
    Condition(f"arthritis grade {grade}", arthritis=grade) for grade in (2, 4)
)

CONDITIONS = (IDEAL, *GEOMETRY_CONDITIONS, *PICTURE_CONDITIONS, *ANATOMY_CONDITIONS)
"""What the benchmark measures."""


def conditions_named(
    names: Sequence[str] | None = None, group: Group | None = None
) -> tuple[Condition, ...]:
    """Conditions by their names, or those of a group; all of them when neither is given.

    The ideal one is always among them, and first.

    Args:
        names: of conditions; they beat the group.
        group: of the faults; None for all.

    Raises:
        XRayTo3DError: there is none of a name.
    """
    known = {condition.name: condition for condition in CONDITIONS}
    if names:
        if unknown := [name for name in names if name not in known]:
            raise XRayTo3DError(
                f"There is no condition {unknown[0]!r}; the conditions are: {', '.join(known)}."
            )
        faults = [known[name] for name in dict.fromkeys(names)]
    else:
        faults = [condition for condition in CONDITIONS if group in (None, condition.group)]
    return (IDEAL, *(condition for condition in faults if condition is not IDEAL))
