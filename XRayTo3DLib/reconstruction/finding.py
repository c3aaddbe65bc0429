"""Where the knee is on a whole film, how it stands and how large it is."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.centres import Pixel
from XRayTo3DLib.imaging.geometry import ViewGeometry
from XRayTo3DLib.imaging.radiograph import Origin, Radiograph, Side, Sourced, View
from XRayTo3DLib.reconstruction.finding_geometry import upright_geometry
from XRayTo3DLib.reconstruction.finding_search import KneeSearch, Sight
from XRayTo3DLib.reconstruction.finding_table import Population
from XRayTo3DLib.reconstruction.finding_window import Window
from XRayTo3DLib.reconstruction.joint_scale import FilmScale, stated_scale
from XRayTo3DLib.reconstruction.long_axis import Line, joint_line
from XRayTo3DLib.reconstruction.weights import Model

SURE = 0.5
"""Confidence below which what was found may be no knee."""


@dataclass(frozen=True)
class Measured:
    """A number and its standard deviation."""

    value: float
    uncertainty: float


@dataclass(frozen=True)
class FoundKnee:
    """A knee on a film.

    Pixels are (row, column) of the upright film, angles degrees by which the upper end of a line
    leans to the right of it.

    Attributes:
        film: the film, with the spacing at the detector that the scale gives.
        centre: the middle of the joint, on which the isocentre is to fall: at the height of the
            joint line of a straight leg, 10 mm before the middle of the condyles. It goes with the
            femur when the knee is bent, as in the knees that the networks learn from.
        roll: by how much the leg as a whole leans.
        femur: the shaft's axis near the knee; None where too little of it is seen.
        tibia: likewise.
        joint_line: left and right end of the tibial plateau, ``(2, 2)``.
        flexion: degrees between the shafts' axes on a lateral film; a frontal film does not tell
            it.
        box: what the network sees, ``(4, 2)`` corners clockwise from the upper left.
        scale: mm at the isocentre between pixels.
        width: mm, of the femur's condyles, on a lateral film their depth; None where cut off.
        confidence: 0–1 that it is a knee.
        window: of the silhouettes.
        silhouettes: ``(4, rows, columns)`` 0–1 in the window, of the bones in label order.
    """

    film: Radiograph
    centre: Pixel
    roll: float
    femur: Line | None
    tibia: Line | None
    joint_line: np.ndarray
    flexion: Measured | None
    box: np.ndarray
    scale: FilmScale
    width: float | None
    confidence: float
    window: Window
    silhouettes: Tensor

    def geometry(self, angle: float = 0.0) -> ViewGeometry:
        """The geometry of the film: the joint at the isocentre, the leg along the world's z.

        Args:
            angle: degrees by which source and detector are turned about the patient's long axis.
        """
        return upright_geometry(self.film, self.centre, self.roll, angle)


def find_knee(film: Radiograph, model: Model, scale: FilmScale | None = None) -> FoundKnee:
    """Find the knee, wherever it is on a film of any size.

    Squares all over the film are shown to the network; where its silhouettes look most like a knee
    it looks again until the joint is in the middle and the leg upright. Where nobody knows the
    scale, squares of several sizes are looked at, and the scale is that at which the condyles are
    as wide as those of the population.

    Args:
        film: upright within about 15 degrees; view and side are believed.
        model: with a network that estimates silhouettes.
        scale: what is known better than the film says, as of a calibration ball.

    Raises:
        XRayTo3DError: the network estimates no silhouettes.
    """
    if not model.network.settings.silhouettes:
        raise XRayTo3DError(
            f"The weights {model.identity.name} estimate no silhouettes, by which a knee is found; "
            "use those shipped."
        )
    lateral = film.view.value is View.LATERAL
    left = film.side.value is Side.LEFT
    stated = scale or stated_scale(film)
    known = stated.origin is not Origin.ASSUMED
    pixels = film.pixels[:, ::-1] if left else film.pixels
    search = KneeSearch(pixels, lateral, stated.step, model)
    sight = search.best(known)
    if not known:
        stated = _by_joint(sight, search.table, lateral)
    found = _found(film, sight, stated, search.table, lateral)
    return _mirrored(found) if left else found


def _by_joint(sight: Sight, table: Population, lateral: bool) -> FilmScale:
    """The scale at which the condyles are as wide as people's are on average."""
    what = "depth of the condyles" if lateral else "width of the condyles"
    relative = table.width_sd / table.width
    if sight.width is None:
        step, note = sight.window.film_step, "the network's best guess; the condyles are cut off"
        return FilmScale(step, 2 * relative * max(step), Origin.ASSUMED, note)
    factor = table.width / sight.width
    step = (sight.window.film_step[0] * factor, sight.window.film_step[1] * factor)
    note = f"{what} taken as {table.width:.0f} ± {table.width_sd:.0f} mm, as people's are"
    return FilmScale(step, relative * max(step), Origin.ASSUMED, note)


def _found(
    film: Radiograph, sight: Sight, scale: FilmScale, table: Population, lateral: bool
) -> FoundKnee:
    """What is seen in a square, on the film."""
    window = sight.window
    middle = ((window.size - 1) / 2,) * 2
    joint = sight.joint or middle
    row, column = window.on_film(np.array(joint))
    tibia = sight.tibia or Line(joint, 0.0)
    plateau = joint_line(sight.silhouettes[Bone.TIBIA - 1].numpy(), tibia, window.step)
    roll = window.roll + sight.lean(lateral)
    size = scale.step[0] / window.film_step[0]
    spacing = scale.spacing(film.magnification)
    seen = replace(
        window, centre=(float(row), float(column)), roll=roll, film_step=scale.step
    )  # what a network will be shown
    return FoundKnee(
        film=replace(film, spacing=Sourced(spacing, scale.origin, scale.note)),
        centre=(float(row), float(column)),
        roll=roll,
        femur=_on_film(sight.femur, window),
        tibia=_on_film(sight.tibia, window),
        joint_line=window.on_film(np.stack(plateau)),
        flexion=_flexion(sight, table) if lateral else None,
        box=seen.corners(),
        scale=scale,
        width=None if sight.width is None else sight.width * size,
        confidence=float(1.0 / (1.0 + np.exp(-sight.score))) if sight.joint else 0.0,
        window=window,
        silhouettes=sight.silhouettes,
    )


def _on_film(line: Line | None, window: Window) -> Line | None:
    if line is None:
        return None
    row, column = window.on_film(np.array(line.point))
    return Line((float(row), float(column)), line.angle + window.roll)


def _flexion(sight: Sight, table: Population) -> Measured | None:
    if sight.femur is None or sight.tibia is None:
        return None
    bent = sight.femur.angle - sight.tibia.angle
    return Measured(bent, float(np.hypot(table.femur_bias_sd, table.tibia_bias_sd)))


def _mirrored(found: FoundKnee) -> FoundKnee:
    """What was found on the mirrored film, on the film itself."""
    last = found.film.pixels.shape[1] - 1

    def point(pixel: Pixel) -> Pixel:
        return pixel[0], last - pixel[1]

    def line(axis: Line | None) -> Line | None:
        return None if axis is None else Line(point(axis.point), -axis.angle)

    def points(pixels: np.ndarray, order: list[int]) -> np.ndarray:
        return np.stack([pixels[:, 0], last - pixels[:, 1]], axis=1)[order]

    return replace(
        found,
        centre=point(found.centre),
        roll=-found.roll,
        femur=line(found.femur),
        tibia=line(found.tibia),
        joint_line=points(found.joint_line, [1, 0]),
        box=points(found.box, [1, 0, 3, 2]),
        window=replace(found.window, centre=point(found.window.centre), roll=-found.window.roll),
        silhouettes=found.silhouettes.flip(-1),
    )
