"""Looking over a whole film for the knee, square by square, with the network's own silhouettes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.reconstruction.centring import joint_position
from XRayTo3DLib.reconstruction.finding_table import POPULATION, Population
from XRayTo3DLib.reconstruction.finding_window import Window
from XRayTo3DLib.reconstruction.long_axis import (
    Line,
    condylar_middle,
    condylar_width,
    seen_and_inner,
    shaft_axis,
)
from XRayTo3DLib.reconstruction.recognition_score import measured
from XRayTo3DLib.reconstruction.recognition_table import SHIPPED
from XRayTo3DLib.reconstruction.silhouettes import silhouettes_on
from XRayTo3DLib.reconstruction.standard_film import FilmSampler
from XRayTo3DLib.reconstruction.weights import Model

_BETWEEN = 75.0
"""mm between the middles of squares: a joint is then off the middle of one by 38 mm at most."""

_RIM = 50.0
"""mm from the rim of a film within which nobody puts a joint."""

_SIDES = (140.0, 190.0, 255.0, 345.0)
"""mm at the isocentre that the longer side of a film may measure where nobody says."""

_CANDIDATES = 3
_REFINEMENTS = 4
_FEMUR_SHARE = {False: 0.5, True: 0.65}
"""By whether it is a lateral film: a bent leg lies so that its femur leans half as much to the
front as its shin to the back; see the generator of the knees that the networks learn from."""

_MOST_ROLL = 40.0
_MOST_RESCALING = 1.35

_TURNS, _SMALL_TURN = 2, 2.0
"""How often a square about a given place is turned upright, and degrees not worth it."""

_MOVED, _TURNED, _SCALED = 2.0, 1.0, 0.01
"""mm, degrees and share below which a square is good enough."""


@dataclass(frozen=True)
class Sight:
    """What the network sees in one square.

    Attributes:
        window: the square, in pixels of the silhouettes.
        silhouettes: ``(4, rows, columns)`` 0–1.
        seen: pixels off the rims of film and square.
        score: log-odds of a knee that stands well in the middle.
        joint: pixel of the window (row, column) of the isocentre, or None without a joint.
        femur: anatomical axis of the femur's shaft, in the window.
        tibia: axis of the tibia's.
        width: mm, of the condyles as the window's scale has it.
    """

    window: Window
    silhouettes: Tensor
    seen: np.ndarray
    score: float
    joint: tuple[float, float] | None
    femur: Line | None
    tibia: Line | None
    width: float | None

    def lean(self, lateral: bool) -> float:
        """Degrees by which the leg leans to the right of the window."""
        table, share = POPULATION[lateral], _FEMUR_SHARE[lateral]
        found = [
            (line.angle - usual, weight)
            for line, usual, weight in (
                (self.femur, table.femur_lean, share),
                (self.tibia, table.tibia_lean, 1.0 - share),
            )
            if line is not None
        ]
        total = sum(weight for _, weight in found)
        return sum(angle * weight for angle, weight in found) / total if total else 0.0


class KneeSearch:
    """The search for a knee on one film.

    Args:
        pixels: ``(rows, columns)`` float, bone bright, as of a right knee.
        lateral: whether it is a lateral film.
        step: mm at the isocentre between the film's pixels, (row, column).
        model: with a network that estimates silhouettes.
    """

    def __init__(
        self, pixels: np.ndarray, lateral: bool, step: tuple[float, float], model: Model
    ) -> None:
        self._film = FilmSampler(pixels)
        self._lateral = lateral
        self._step = step
        self._model = model
        self._settings = model.network.settings

    @property
    def table(self) -> Population:
        """What knees measure on such a film."""
        return POPULATION[self._lateral]

    def best(self, scale_known: bool) -> Sight:
        """The square in which a knee is seen best: in its middle, upright, at the right scale."""
        scales = [1.0]
        if not scale_known:
            longest = max(n * s for n, s in zip(self._film.shape, self._step, strict=True))
            scales = [side / longest for side in _SIDES]
        windows = [window for scale in scales for window in self._squares(scale)]
        sights = sorted(self._sights(windows), key=lambda sight: -sight.score)
        refined: list[Sight] = []
        for sight in _apart(sights)[:_CANDIDATES]:
            refined.append(self._refined(sight, scale_known))
        return max(refined, key=lambda sight: sight.score)

    def upright_at(self, centre: tuple[float, float]) -> Sight:
        """The square about a pixel (row, column) of the film in which the leg is upright.

        Of all looks the one that shows a knee best: where a leg stands, the first.
        """
        sights = self._sights([self._window(centre, 0.0, self._step)])
        for _ in range(_TURNS):
            last = sights[-1]
            lean = last.window.roll + last.lean(self._lateral)
            lean = float(np.clip(lean, -_MOST_ROLL, _MOST_ROLL))
            if abs(lean - last.window.roll) < _SMALL_TURN:
                break
            sights += self._sights([self._window(centre, lean, self._step)])
        return max(sights, key=lambda sight: sight.score)

    def _squares(self, scale: float) -> Iterator[Window]:
        """Squares all over the film."""
        step = (self._step[0] * scale, self._step[1] * scale)
        places = []
        for count, mm in zip(self._film.shape, step, strict=True):
            room = max(0.0, count * mm - 2 * _RIM)
            number = max(1, math.ceil(room / _BETWEEN))
            middle = (count - 1) / 2
            offsets = (np.arange(number) - (number - 1) / 2) * room / number
            places.append(middle + offsets / mm)
        for row in places[0]:
            for column in places[1]:
                yield self._window((float(row), float(column)), 0.0, step)

    def _window(
        self, centre: tuple[float, float], roll: float, step: tuple[float, float]
    ) -> Window:
        return Window(centre, roll, step, self._settings.film_spacing, self._settings.film_size)

    def _refined(self, sight: Sight, scale_known: bool) -> Sight:
        """Look again from where the joint was seen, until it is seen in the middle, upright."""
        last = sight
        for _ in range(_REFINEMENTS):
            if sight.joint is None:
                break
            last, old = sight, sight.window
            lean = float(np.clip(old.roll + sight.lean(self._lateral), -_MOST_ROLL, _MOST_ROLL))
            factor = 1.0
            if not scale_known and sight.width is not None:
                factor = self.table.width / sight.width
                factor = float(np.clip(factor, 1 / _MOST_RESCALING, _MOST_RESCALING))
            away = np.hypot(*(np.array(sight.joint) - (old.size - 1) / 2)) * old.step
            settled = away < _MOVED and abs(lean - old.roll) < _TURNED
            if settled and abs(factor - 1) < _SCALED:
                break
            row, column = old.on_film(np.array(sight.joint))
            step = (old.film_step[0] * factor, old.film_step[1] * factor)
            (sight,) = self._sights([self._window((float(row), float(column)), lean, step)])
        return sight if sight.joint is not None else last

    def _sights(self, windows: list[Window]) -> list[Sight]:
        pictures = torch.stack(
            [self._film.at(window.affine(), (window.size, window.size)) for window in windows]
        )
        silhouettes = silhouettes_on(self._model, pictures, [int(self._lateral)] * len(pictures))
        step = 2 * self._settings.film_spacing
        small = F.avg_pool2d(pictures, 2)  # silhouettes have half the resolution
        features = measured(silhouettes, small, step)
        scores = SHIPPED.scores(np.stack([features, features]))[int(self._lateral)]
        odds = scores - SHIPPED.no_knee
        return [
            self._sight(window.binned(2), bones, float(score))
            for window, bones, score in zip(windows, silhouettes, odds, strict=True)
        ]

    def _sight(self, window: Window, silhouettes: Tensor, score: float) -> Sight:
        seen = seen_and_inner(self._film.shows(window.positions()))
        place = joint_position(silhouettes, window.step)
        if place is None:
            return Sight(window, silhouettes, seen, score, None, None, None, None)
        bones = (Bone.FEMUR, Bone.TIBIA, Bone.PATELLA)
        femur, tibia, patella = (silhouettes[bone - 1].numpy() for bone in bones)
        thigh = shaft_axis(femur, seen, place, window.step, Bone.FEMUR)
        shin = shaft_axis(tibia, seen, place, window.step, Bone.TIBIA)
        width = condylar_width(
            femur, patella, seen, thigh or Line(place, 0.0), window.step, self._lateral
        )
        thigh = thigh and Line(thigh.point, thigh.angle - self.table.femur_bias)
        shin = shin and Line(shin.point, shin.angle - self.table.tibia_bias)
        upright = thigh or Line(place, 0.0)
        foot = thigh and condylar_middle(femur, patella, thigh, window.step, self._lateral)
        away = self.table.right * upright.right - self.table.down * upright.up
        row, column = np.array(foot or place) + away / window.step
        joint = (float(row), float(column))
        return Sight(window, silhouettes, seen, score, joint, thigh, shin, width)


def _apart(sights: list[Sight]) -> list[Sight]:
    """Of sights, best first, those that have not the joint of a better one in the same scale."""
    kept: list[Sight] = []
    for sight in sights:
        if sight.joint is None:
            continue
        place = sight.window.on_film(np.array(sight.joint))
        step = np.array(sight.window.film_step)
        near = (
            np.hypot(*((place - other.window.on_film(np.array(other.joint))) * step)) < 30.0
            and np.isclose(other.window.film_step, sight.window.film_step).all()
            for other in kept
        )
        if not any(near):
            kept.append(sight)
    return kept or sights[:1]
