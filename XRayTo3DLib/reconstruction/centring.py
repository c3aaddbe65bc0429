"""Where the joint is on each film, found with the network's own silhouettes.

A film's middle is taken for the middle of the joint unless somebody knows better. Films of a
clinic are not centred so well: the knee lies off the middle, and at another height on either film,
which no pair of cones of rays can bring together. The silhouettes of femur and tibia, estimated on
each film by itself, show where the joint is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.imaging.centres import Centres, Pixel
from XRayTo3DLib.imaging.geometry import BiplanarGeometry, ViewGeometry
from XRayTo3DLib.imaging.radiograph import Origin, Radiograph, Side, Sourced, View
from XRayTo3DLib.reconstruction.silhouettes import silhouettes_on
from XRayTo3DLib.reconstruction.standard_film import standard_film
from XRayTo3DLib.reconstruction.weights import Model

_HEIGHTS_DIFFER = 8.0
"""mm at the isocentre by which the joint may stand higher on one film than on the other: the two
estimates are good to a few millimetres, and the networks bear that much."""

_FAR_BELOW = 12.0
"""mm at the isocentre below or above the middle of both films at which the joint is left. On films
of mc22, which it had not learnt from, a network lost 3 points where the joint was 15 to 22 mm
below, and 0.7 once both were moved; 8 mm cost less than to move them."""

_FAR_BESIDE = 35.0
"""mm at the isocentre beside the middle at which it is left: moved onto a joint that was up to
32 mm beside the middle of a film, which was cut there, mc22 lost as much or more."""

_NOT_WORTH_MOVING = 3.0
"""mm at the isocentre: the estimates are no better."""

_LEAST_BONE = 300.0
"""mm² of femur, and of tibia, without which there is no joint on the film."""

_HALF_JOINT = 30.0
"""mm above and below the joint line within which the bones' middle is taken."""

_MOST_LOOKS = 3
_NEAR_ENOUGH = 10.0
"""mm: a joint found further from the middle is looked at again from there."""


def find_centres(
    model: Model,
    frontal: Radiograph,
    lateral: Radiograph,
    geometry: BiplanarGeometry,
    stated: Centres,
) -> Centres:
    """Move assumed centres as far as the films show that they must be moved.

    A film's own geometry is better than an estimate from its picture, so as little as possible is
    changed. Where the joint stands higher on one film than on the other, one of them, the lateral
    if it may be, is moved up or down; where it then is far above or below the middle, both are; and
    where it is far beside the middle of a film, both are moved sideways. What the user said stays.

    Args:
        model: with a network that estimates silhouettes; without, nothing is found.
        frontal: frontal film.
        lateral: lateral film.
        geometry: of the films, with the stated centres.
        stated: as :func:`stated_centres` gives them.
    """
    if not model.network.settings.silhouettes:
        return stated
    pair = []
    for number, (film, view, centre) in enumerate(
        zip((frontal, lateral), geometry.views, (stated.frontal, stated.lateral), strict=True)
    ):
        joint = _joint(model, film, view, centre.value, number)
        pair.append(_Seen(film, _step(film, view), joint, centre))
    down, right = _down(*pair), _right(*pair)
    moved = [seen.moved(*move) for seen, *move in zip(pair, down, right, strict=True)]
    sentences = [_sentence(*each) for each in zip(pair, moved, strict=True)]
    return Centres(moved[0].centre, moved[1].centre, tuple(filter(None, sentences)))


@dataclass(frozen=True)
class _Seen:
    """A film, and where its joint and its centre are.

    Attributes:
        film: upright.
        step: mm at the isocentre from pixel to pixel, (down, right).
        joint: pixel on which it was seen; None where there is none.
        centre: pixel that is taken for it.
    """

    film: Radiograph
    step: np.ndarray
    joint: Pixel | None
    centre: Sourced[Pixel]

    @property
    def offset(self) -> np.ndarray:
        """mm at the isocentre, (down, right), from the centre to the joint."""
        joint = self.centre.value if self.joint is None else self.joint
        return (np.array(joint) - np.array(self.centre.value)) * self.step

    @property
    def is_free(self) -> bool:
        """Whether there is a joint, and the user has not said where its middle is."""
        return self.joint is not None and self.centre.origin is not Origin.USER

    def moved(self, down: float, right: float) -> _Seen:
        """With a centre that is so many mm lower and further right on the film."""
        move = np.array([down, right])
        if np.abs(move).max() < _NOT_WORTH_MOVING:
            return self
        row, column = np.array(self.centre.value) + move / self.step
        note = "by the silhouettes of femur and tibia"
        return replace(self, centre=Sourced((float(row), float(column)), Origin.FOUND, note))


def _down(frontal: _Seen, lateral: _Seen) -> tuple[float, float]:
    """mm by which each centre must be lower, for one height on both and a joint not far below."""
    moves = [0.0, 0.0]
    difference = float(lateral.offset[0] - frontal.offset[0])
    if abs(difference) > _HEIGHTS_DIFFER and frontal.joint and lateral.joint:
        if lateral.is_free:
            moves[1] = difference
        elif frontal.is_free:
            moves[0] = -difference
    below = float(frontal.offset[0] - moves[0] + lateral.offset[0] - moves[1]) / 2
    if abs(below) > _FAR_BELOW and frontal.is_free and lateral.is_free:
        moves = [move + below for move in moves]
    return moves[0], moves[1]


def _right(frontal: _Seen, lateral: _Seen) -> tuple[float, float]:
    """mm by which each centre must be further right, where the joint is far beside one."""
    beside = [float(seen.offset[1]) if seen.is_free else 0.0 for seen in (frontal, lateral)]
    if max(map(abs, beside)) <= _FAR_BESIDE:
        return 0.0, 0.0
    return beside[0], beside[1]


def _sentence(before: _Seen, after: _Seen) -> str | None:
    if after.centre is before.centre or before.joint is None:
        return None
    row, column = before.joint
    shift = (np.array(after.centre.value) - np.array(before.centre.value)) * before.step
    return (
        f"On the {_name(before.film)} film the joint was found at pixel {row:.0f},{column:.0f} "
        f"(row, column), {np.linalg.norm(before.offset):.0f} mm from what was taken for its "
        f"middle, and the geometry was moved by {np.linalg.norm(shift):.0f} mm; check it, and give "
        "the pixel yourself if it is wrong."
    )


def _name(film: Radiograph) -> str:
    return "lateral" if film.view.value is View.LATERAL else "frontal"


def _step(film: Radiograph, view: ViewGeometry) -> np.ndarray:
    """mm at the isocentre from pixel to pixel, (down, right)."""
    return np.array(film.spacing.value) * view.sod / view.sid


def _joint(
    model: Model, film: Radiograph, view: ViewGeometry, centre: Pixel, number: int
) -> Pixel | None:
    """Pixel of the joint on a film, looked for around a pixel; None when there is none."""
    settings = model.network.settings
    for _ in range(_MOST_LOOKS):
        around = _shown_about(view, centre)
        silhouettes = _silhouettes(model, film, around, number)
        step = 2 * settings.film_spacing
        place = joint_position(silhouettes, step)
        if place is None:
            return None
        detector = around.resampled(step, silhouettes.shape[-1])
        where = detector.first_pixel + np.array(place) @ (detector.row_step, detector.column_step)
        row, column = around.project(where)
        joint = (float(row), float(column))
        rest = np.linalg.norm((np.array(joint) - np.array(centre)) * _step(film, view))
        centre = joint
        if rest < _NEAR_ENOUGH:
            break
    return centre


def _shown_about(view: ViewGeometry, centre: Pixel) -> ViewGeometry:
    """The view, its film moved in its plane so that the isocentre falls on a pixel."""
    row, column = np.array(centre) - view.project(np.zeros(3))
    return replace(
        view, first_pixel=view.first_pixel - row * view.row_step - column * view.column_step
    )


def _silhouettes(model: Model, film: Radiograph, view: ViewGeometry, number: int) -> Tensor:
    """``(4, rows, columns)`` 0–1; of a right knee, turned back for a left one."""
    settings = model.network.settings
    left = film.side.value is Side.LEFT
    pixels = film.pixels[:, ::-1] if left else film.pixels
    shown = view.mirrored().flipped_columns() if left else view
    picture = standard_film(pixels, shown, settings.film_spacing, settings.film_size)
    found = silhouettes_on(model, picture[None], [number])[0]
    return found.flip(-1) if left else found


def joint_position(silhouettes: Tensor, step: float) -> Pixel | None:
    """The middle of the joint among silhouettes.

    The joint line is the row that best parts femur from tibia: the fewest pixels of femur below it
    and of tibia above it. The column is the middle of both near that row.

    Args:
        silhouettes: ``(4, rows, columns)``, 0–1, of the bones in label order.
        step: mm between pixels.

    Returns:
        (row, column) in pixels, or None where there is too little of femur or tibia.
    """
    femur, tibia = (silhouettes[bone - 1].double().cpu() for bone in (Bone.FEMUR, Bone.TIBIA))
    if min(femur.sum(), tibia.sum()) * step**2 < _LEAST_BONE:
        return None
    femur_rows, tibia_rows = femur.sum(dim=1), tibia.sum(dim=1)
    # Cut between rows k - 1 and k, for k from 0 to the number of rows.
    above = torch.cat([tibia_rows.new_zeros(1), tibia_rows.cumsum(0)])
    below = torch.cat([femur_rows.flip(0).cumsum(0).flip(0), femur_rows.new_zeros(1)])
    wrong = above + below
    best = torch.nonzero(wrong <= wrong.min() + 1e-9).double()
    row = float(best.mean()) - 0.5
    near = (torch.arange(len(femur_rows)) - row).abs() * step < _HALF_JOINT
    weight = torch.maximum(femur, tibia)[near].sum(dim=0)
    column = float((weight * torch.arange(len(weight))).sum() / weight.sum())
    return row, column
