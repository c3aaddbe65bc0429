"""Implants as they are seen on films of knees, in any size and place.

Sizes are those of trauma and arthroplasty sets: plates 8–18 mm wide and 2–6 mm thick, screws of
2.7–7.3 mm, nails of 8–13 mm, wires of 1–2.5 mm; prostheses take theirs from the bones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.imaging.centres import Pixel
from XRayTo3DLib.training.metal_solids import Sheet

Rng = np.random.Generator


@dataclass(frozen=True)
class Site:
    """Where on a bone an implant goes.

    Attributes:
        sheet: the film.
        bone: ``(rows, columns)`` bool.
        place: mm (down, right) of a point on the bone, from the film's middle.
        lean: radians by which the bone's shaft leans from down to right.
        left: mm (right) of the bone's left edge at that height.
        right: the same of its right edge.
    """

    sheet: Sheet
    bone: np.ndarray
    place: Pixel
    lean: float
    left: float
    right: float

    @property
    def width(self) -> float:
        """mm of the bone there."""
        return self.right - self.left

    @classmethod
    def random(cls, sheet: Sheet, bones: np.ndarray, rng: Rng) -> Site | None:
        """A point on one of the bones, the larger ones more often; None where there is no bone.

        Args:
            sheet: the film.
            bones: ``(4, rows, columns)`` silhouettes in label order.
            rng: of the choice.
        """
        chances = {Bone.FEMUR: 0.4, Bone.TIBIA: 0.4, Bone.PATELLA: 0.1, Bone.FIBULA: 0.1}
        bone = bones[rng.choice(list(chances), p=list(chances.values())) - 1] > 0.5
        places = np.argwhere(bone)
        if len(places) < 200:
            return None
        row, column = places[rng.integers(len(places))]
        down, right = sheet.along, sheet.across
        filled = np.flatnonzero(bone.any(axis=1))
        middles = [right[0, bone[r]].mean() for r in filled]
        slope = np.polyfit(down[filled, 0], middles, 1)[0] if len(filled) > 5 else 0.0
        there = right[row, bone[row]]
        return cls(
            sheet,
            bone,
            (float(down[row, column]), float(right[row, column])),
            float(np.arctan(np.clip(slope, -1.0, 1.0))),
            float(there.min()),
            float(there.max()),
        )


def screw(sheet: Sheet, rng: Rng, length: float | None = None) -> np.ndarray:
    """mm through a screw whose head is at the start of ``sheet``'s along, seen from any side."""
    radius = rng.uniform(1.2, 3.6)
    length = length or rng.uniform(15.0, 85.0)
    seen = np.cos(rng.uniform(0.0, 1.3) if rng.random() < 0.4 else 0.0)
    short = max(length * seen, 2 * radius)
    profile = np.full_like(sheet.along, radius)
    if rng.random() < 0.8:
        thread = np.cos(2 * np.pi * sheet.along / (rng.uniform(0.8, 2.8) * seen))
        threaded = sheet.along > short * rng.uniform(-0.5, 0.2)
        profile = profile * (1.0 + rng.uniform(0.04, 0.16) * (thread - 1.0) * threaded)
    tip = (short / 2 - sheet.along) / (2.0 * radius * seen)
    profile = profile * np.clip(tip, 0.15, 1.0)
    hollow = rng.uniform(0.3, 0.5) if rng.random() < 0.3 else 0.0
    thick = sheet.rod(short, profile, hollow) / max(seen, 0.25)
    if rng.random() < 0.75:
        head = sheet.at((-short / 2, 0.0))
        wide, high = radius * rng.uniform(2.6, 3.4), radius * rng.uniform(1.0, 2.0)
        top = head.box(high * seen + wide * np.sqrt(1 - seen**2), wide, min(high, wide) * 0.25)
        thick = np.maximum(thick, top * wide * 0.9)
    return thick


def screws(site: Site, rng: Rng) -> np.ndarray:
    """One to four screws, more or less parallel, mostly across the bone."""
    thick = np.zeros_like(site.sheet.along)
    turn = site.lean + (
        np.pi / 2 + rng.normal(0.0, 0.25) if rng.random() < 0.7 else rng.uniform(0, np.pi)
    )
    turn += np.pi * (rng.random() < 0.5)
    apart = rng.uniform(5.0, 18.0)
    count = int(rng.choice([1, 2, 3, 4], p=[0.45, 0.3, 0.15, 0.1]))
    for number in range(count):
        down = site.place[0] + (number - (count - 1) / 2) * apart
        across = site.place[1] + rng.normal(0.0, 5.0)
        sheet = site.sheet.at((down, across), turn + rng.normal(0.0, 0.06))
        thick = np.maximum(thick, screw(sheet, rng))
    return thick


def plate(site: Site, rng: Rng) -> np.ndarray:
    """A plate along the shaft, from any side, straight, bent or with a head, mostly with screws."""
    length, width = rng.uniform(35.0, 140.0), rng.uniform(7.0, 18.0)
    high = rng.uniform(2.0, 6.0)
    tilt = rng.choice([0.0, np.pi / 2]) if rng.random() < 0.5 else rng.uniform(0.0, np.pi / 2)
    cosine, sine = np.cos(tilt), np.sin(tilt)
    seen = max(width * cosine, high * sine) + 0.3 * min(width * cosine, high * sine)
    thick = min(high / max(cosine, 0.1), width / max(sine, 0.1))
    edge = site.left if rng.random() < 0.5 else site.right
    across = site.place[1] if cosine > sine else edge + rng.normal(0.0, 2.0)
    sheet = site.sheet.at((site.place[0], across), site.lean + rng.normal(0.0, 0.08))
    bend = rng.normal(0.0, 8.0) / 70.0**2 if rng.random() < 0.5 else 0.0
    bent = Sheet(sheet.along, sheet.across - bend * sheet.along**2, sheet.step)
    shape = bent.box(length, seen, min(seen, 0.5 * width * cosine + 0.5) * 0.5)
    end = float(rng.choice([-1, 1])) * length / 2
    if rng.random() < 0.4:  # the head of a plate for the end of a bone
        head = bent.at((end, rng.normal(0.0, 3.0)), rng.normal(0.0, 0.2))
        wide = seen * rng.uniform(1.2, 2.5)
        shape = np.maximum(shape, head.box(rng.uniform(8, 25), wide, 3.0))
    metal = thick * shape
    if rng.random() < 0.35:
        return metal
    apart = rng.uniform(9.0, 20.0)
    for place in np.arange(-length / 2 + apart / 2, length / 2, apart):
        hole = bent.at((float(place), 0.0))
        radius = min(rng.uniform(1.6, 3.2), 0.35 * width)
        filled = rng.random() < 0.6
        if cosine > 0.5:
            size = 2 * radius * cosine
            metal = metal * (1.0 - hole.ellipse(2 * radius * rng.uniform(1.0, 1.6), size))
        if filled:
            inwards = np.sign(site.place[1] - across) or 1.0
            long = rng.uniform(14.0, 60.0)
            if sine < 0.3:  # seen along the screws
                dot = hole.ellipse(2 * radius, 2 * radius * (1.0 + sine))
                metal = np.maximum(metal, dot * long * 0.6)
            else:
                apparent = long * sine
                beside = bent.at((float(place), inwards * apparent / 2), np.pi / 2)
                metal = np.maximum(metal, beside.rod(apparent, radius * 0.85))
    return metal


def nail(site: Site, rng: Rng) -> np.ndarray:
    """A nail in the marrow, from near the joint to beyond the film, with locking screws."""
    towards = -1.0 if site.place[0] < 0 else 1.0
    length, radius = rng.uniform(90.0, 260.0), rng.uniform(3.8, 6.5)
    middle = (site.left + site.right) / 2
    turn = site.lean + rng.normal(0.0, 0.05)
    start = rng.uniform(8.0, 40.0)
    sheet = site.sheet.at((towards * start, middle), turn)
    bow = rng.normal(0.0, 4.0) / 100.0**2
    bent = Sheet(
        towards * sheet.along - length / 2, sheet.across - bow * sheet.along**2, sheet.step
    )
    hollow = rng.uniform(0.3, 0.7) if rng.random() < 0.7 else 0.0
    thick = bent.rod(length, radius, hollow)
    for _ in range(rng.integers(0, 4)):
        place = (-length / 2 + rng.uniform(5.0, 50.0), rng.normal(0.0, 2.0))
        lock = bent.at(place, np.pi / 2 + rng.normal(0.0, 0.15))
        if rng.random() < 0.3:
            dot = lock.ellipse(*(2 * rng.uniform(2.0, 3.0, 2)))
            thick = np.maximum(thick, dot * rng.uniform(20, 50))
        else:
            thick = np.maximum(thick, lock.rod(rng.uniform(25, 70), rng.uniform(1.8, 3.0)))
    return thick


def wires(site: Site, rng: Rng) -> np.ndarray:
    """Kirschner wires, or cerclage, or both as in tension bands of the patella."""
    thick = np.zeros_like(site.sheet.along)
    kind = rng.choice(["straight", "round", "band"], p=[0.5, 0.25, 0.25])
    radius = rng.uniform(0.5, 1.3)
    turn = site.lean + rng.uniform(-0.6, 0.6) + (np.pi / 2 if rng.random() < 0.4 else 0.0)
    if kind != "round":
        for _ in range(rng.integers(1, 4)):
            place = (site.place[0] + rng.normal(0, 6.0), site.place[1] + rng.normal(0, 8.0))
            lying = site.sheet.at(place, turn + rng.normal(0.0, 0.2))
            thick = np.maximum(thick, lying.rod(rng.uniform(35.0, 120.0), radius))
    if kind == "round":
        for _ in range(rng.integers(1, 4)):
            down = site.place[0] + rng.normal(0.0, 15.0)
            ring = _loop(site.width / 2 + 1.5, rng.uniform(0.5, 6.0))
            turned = site.sheet.at((down, (site.left + site.right) / 2), site.lean)
            thick = np.maximum(thick, turned.wire(ring, rng.uniform(0.5, 1.1)))
    if kind == "band":
        angles = np.linspace(0.0, 2 * np.pi, 25)
        size = rng.uniform(12.0, 25.0), rng.uniform(5.0, 12.0)
        figure = np.column_stack([size[0] * np.cos(angles), size[1] * np.sin(2 * angles)])
        lying = site.sheet.at(site.place, turn)
        thick = np.maximum(thick, lying.wire(figure, rng.uniform(0.4, 0.8)))
    return thick


def _loop(wide: float, high: float) -> np.ndarray:
    angles = np.linspace(0.0, 2 * np.pi, 21)
    return np.column_stack([high * np.sin(angles), wide * np.cos(angles)])


def small_parts(site: Site, rng: Rng) -> np.ndarray:
    """Staples, buttons and short thick screws, as of ligament surgery, and splinters."""
    thick = np.zeros_like(site.sheet.along)
    kind = rng.choice(["staple", "button", "interference", "splinter"])
    lying = site.sheet.at(site.place, rng.uniform(0.0, 2 * np.pi))
    if kind == "staple":
        wide, deep = rng.uniform(8.0, 25.0), rng.uniform(10.0, 25.0)
        seen = deep * rng.uniform(0.2, 1.0)
        points = np.array([[seen, -wide / 2], [0.0, -wide / 2], [0.0, wide / 2], [seen, wide / 2]])
        thick = lying.wire(points, rng.uniform(1.0, 2.2))
    elif kind == "button":
        thick = lying.box(rng.uniform(8, 15), rng.uniform(3, 5), 1.5) * rng.uniform(1.5, 4.0)
    elif kind == "interference":
        radius = rng.uniform(3.0, 5.0)
        thread = 1.0 + 0.12 * np.cos(2 * np.pi * lying.along / rng.uniform(2.0, 3.5))
        thick = lying.rod(rng.uniform(15, 35), radius * thread, rng.uniform(0.2, 0.5))
    else:
        for _ in range(rng.integers(1, 6)):
            place = (site.place[0] + rng.normal(0, 12), site.place[1] + rng.normal(0, 12))
            piece = site.sheet.at(place, rng.uniform(0.0, np.pi))
            size = rng.uniform(2.5, 12.0), rng.uniform(2.0, 7.0)
            thick = np.maximum(thick, piece.ellipse(*size) * min(size))
    return thick


def prosthesis(sheet: Sheet, bones: np.ndarray, lateral: bool, rng: Rng) -> np.ndarray | None:
    """A knee replaced: shell of the femur and tray of the tibia, whole or on one side.

    Returns:
        mm of metal; None where the film does not show both ends of the joint.
    """
    femur, tibia = bones[Bone.FEMUR - 1] > 0.5, bones[Bone.TIBIA - 1] > 0.5
    if min(femur.sum(), tibia.sum()) < 1000:
        return None
    bottom, top = _row(femur, -1, sheet), _row(tibia, 0, sheet)
    femur_left, femur_right = _extent(femur & (np.abs(sheet.along - bottom + 20) < 18), sheet)
    tibia_left, tibia_right = _extent(tibia & (np.abs(sheet.along - top - 10) < 8), sheet)
    lean = rng.normal(0.0, 0.06)
    partial = rng.random() < 0.25
    draw = _lateral_shell if lateral else _frontal_shell
    width = (femur_right - femur_left) * rng.uniform(0.88, 1.05)
    at = (bottom + rng.normal(0.0, 2.0), (femur_left + femur_right) / 2)
    femoral = draw(sheet.at(at, lean), width, partial, rng)
    width = (tibia_right - tibia_left) * rng.uniform(0.85, 1.02)
    middle = (tibia_left + tibia_right) / 2
    if partial and not lateral:
        middle += rng.choice([-1, 1]) * width / 4
        width *= 0.45
    tray = sheet.at((top + rng.uniform(2.0, 10.0), middle), lean + rng.normal(0.0, 0.04))
    return np.maximum(femoral, _tray(tray, width, partial, rng))


def _tray(sheet: Sheet, width: float, partial: bool, rng: Rng) -> np.ndarray:
    """A plate on the tibia with a stem or a keel, its upper edge in the middle of ``sheet``."""
    high, deep = rng.uniform(2.5, 6.0), rng.uniform(25.0, 50.0)
    thick = sheet.at((high / 2, 0.0)).box(high, width, 0.8) * deep
    long = rng.uniform(8.0, 20.0) if partial else rng.uniform(20.0, 80.0)
    stem = sheet.at((high + long / 2, rng.normal(0.0, 2.0)))
    radius = rng.uniform(2.0, 4.0) if partial else rng.uniform(4.5, 9.0)
    taper = np.clip(1.0 - rng.uniform(0.0, 0.4) * (stem.along / long + 0.5), 0.3, 1.0)
    thick = np.maximum(thick, stem.rod(long, radius * taper))
    if not partial and rng.random() < 0.6:  # wings of the keel
        wing = sheet.at((high + long * 0.2, 0.0))
        wide = width * rng.uniform(0.25, 0.55) * (1.0 - 0.8 * (wing.along / (0.4 * long) + 0.5))
        inside = wing.share(
            np.minimum(0.2 * long - np.abs(wing.along), wide / 2 - np.abs(wing.across))
        )
        thick = np.maximum(thick, inside * rng.uniform(3.0, 15.0))
    return thick


def _frontal_shell(sheet: Sheet, width: float, partial: bool, rng: Rng) -> np.ndarray:
    """The shell of the condyles from the front; the joint's height is the middle of ``sheet``."""
    sides = [float(rng.choice([-1, 1]))] if partial else [-1.0, 1.0]
    thick = np.zeros_like(sheet.along)
    high = rng.uniform(22.0, 34.0)
    for side in sides:
        condyle = sheet.at((-high / 2, side * width * 0.27))
        round_ = rng.uniform(0.35, 0.48) * min(high, width * 0.46)
        thick = np.maximum(thick, condyle.box(high, width * 0.46, round_) * rng.uniform(8, 40))
    if not partial:
        flange = sheet.at((-high * rng.uniform(0.9, 1.1), 0.0))
        shape = flange.box(high, width * rng.uniform(0.6, 0.9), 8.0)
        thick = np.maximum(thick, shape * rng.uniform(3.0, 12.0))
    return thick


def _lateral_shell(sheet: Sheet, width: float, partial: bool, rng: Rng) -> np.ndarray:
    """The shell from the side: a C about the condyles, open upwards."""
    radius = width * rng.uniform(0.42, 0.5)
    if partial:
        radius *= rng.uniform(0.6, 0.8)
    shell = rng.uniform(4.0, 10.0)
    middle = sheet.at((-radius, 0.0), rng.normal(0.0, 0.35))
    outer = middle.ellipse(2 * radius, 2 * radius * rng.uniform(0.95, 1.1))
    inner = middle.at((-shell * rng.uniform(0.0, 1.5), 0.0)).box(
        2 * (radius - shell), 2 * (radius - shell), radius * rng.uniform(0.2, 0.9)
    )
    open_ = middle.share(middle.along + radius * rng.uniform(0.2, 0.8))
    thick = outer * (1.0 - inner) * open_ * rng.uniform(20.0, 55.0)
    if rng.random() < 0.6 or partial:  # pegs
        for _ in range(rng.integers(1, 3)):
            peg = middle.at((0.0, rng.uniform(-0.5, 0.5) * radius))
            thick = np.maximum(thick, peg.rod(radius, rng.uniform(2.5, 4.5)))
    if not partial:
        side = float(rng.choice([-1, 1]))
        flange = middle.at((-radius * 0.8, side * (radius - shell / 2)), rng.normal(0.0, 0.1))
        thick = np.maximum(thick, flange.box(radius * 1.4, shell * 0.7, 1.5) * rng.uniform(10, 35))
    return thick


def _row(mask: np.ndarray, which: int, sheet: Sheet) -> float:
    return float(sheet.along[np.flatnonzero(mask.sum(axis=1) > 5)[which], 0])


def _extent(mask: np.ndarray, sheet: Sheet) -> tuple[float, float]:
    there = sheet.across[0, mask.any(axis=0)]
    return (float(there.min()), float(there.max())) if len(there) else (-30.0, 30.0)


KINDS: dict[str, tuple[Callable[[Site, Rng], np.ndarray], float]] = {
    "plate": (plate, 0.38),
    "screws": (screws, 0.25),
    "nail": (nail, 0.09),
    "wires": (wires, 0.07),
    "small parts": (small_parts, 0.08),
}
"""What is put on a bone, and how often; the rest are prostheses."""


def implant(
    sheet: Sheet, bones: np.ndarray, lateral: bool, rng: Rng
) -> tuple[str, np.ndarray] | None:
    """One implant of any kind.

    Args:
        sheet: the film.
        bones: ``(4, rows, columns)`` silhouettes in label order, 0–1.
        lateral: whether the film is lateral.
        rng: of all that is random.

    Returns:
        what it is, and mm of metal along each ray; None where it found no room.
    """
    names = [*KINDS, "prosthesis"]
    chances = [chance for _, chance in KINDS.values()]
    name = str(rng.choice(names, p=[*chances, 1.0 - sum(chances)]))
    if name == "prosthesis":
        drawn = prosthesis(sheet, bones, lateral, rng)
        return None if drawn is None else (name, drawn)
    site = Site.random(sheet, bones, rng)
    return None if site is None else (name, KINDS[name][0](site, rng))
