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
from XRayTo3DLib.reconstruction.standard_film import standard_film
from XRayTo3DLib.reconstruction.weights import Model

_HEIGHTS_DIFFER = 8.0
"""mm at the isocentre by which the joint may stand higher on one film than on the other: the two
estimates are good to a few millimetres, and the networks bear that much."""

_OFF_CENTRE = 25.0
"""mm at the isocentre; as far from the middle of a film as the networks have seen a joint."""

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
    changed. Up, down or sideways, where the joint is far from the middle of a film, that film was
    cut or filmed askew, and its centre is moved onto the joint. Where the joint then stands higher
    on one film than on the other, one centre, the lateral's if it may be, is moved up or down as
    well. What the user said stays.

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
    onto_joints = [seen.onto_joint() for seen in pair]
    level = _at_one_height(onto_joints[0], onto_joints[1])
    sentences = [*map(_found_off_centre, pair, onto_joints), *map(_moved_up, onto_joints, level)]
    return Centres(level[0].centre, level[1].centre, tuple(filter(None, sentences)))


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
    def is_fixed(self) -> bool:
        """Whether the user said where the centre is."""
        return self.centre.origin is Origin.USER

    def onto_joint(self) -> _Seen:
        """With a centre as far down, or right, as the joint, where that is far away."""
        far = np.abs(self.offset) > _OFF_CENTRE
        if self.joint is None or self.is_fixed or not far.any():
            return self
        row, column = np.where(far, self.joint, self.centre.value)
        where = Sourced(
            (float(row), float(column)), Origin.FOUND, "by the silhouettes of the bones"
        )
        return replace(self, centre=where)

    def lower(self, distance: float) -> _Seen:
        """With a centre that is so many mm lower on the film."""
        row, column = self.centre.value
        place = (row + distance / float(self.step[0]), column)
        note = "by the height of the joint on the other film"
        return replace(self, centre=Sourced(place, Origin.FOUND, note))


def _at_one_height(frontal: _Seen, lateral: _Seen) -> tuple[_Seen, _Seen]:
    """With the joint as high on one film as on the other."""
    difference = float(lateral.offset[0] - frontal.offset[0])
    if frontal.joint is None or lateral.joint is None or abs(difference) <= _HEIGHTS_DIFFER:
        return frontal, lateral
    if not lateral.is_fixed:
        return frontal, lateral.lower(difference)
    return (frontal if frontal.is_fixed else frontal.lower(-difference)), lateral


def _found_off_centre(before: _Seen, after: _Seen) -> str | None:
    if after is before or before.joint is None:
        return None
    row, column = before.joint
    away = np.linalg.norm(before.offset)
    return (
        f"On the {_name(before.film)} film the joint was found at pixel {row:.0f},{column:.0f} "
        f"(row, column), {away:.0f} mm from what was taken for its middle, and the geometry was "
        "set accordingly; check it, and give the pixel yourself if it is wrong."
    )


def _moved_up(before: _Seen, after: _Seen) -> str | None:
    if after is before:
        return None
    row, column = after.centre.value
    lower = float((row - before.centre.value[0]) * after.step[0])
    name, other = ("lateral", "frontal") if _is_lateral(after.film) else ("frontal", "lateral")
    return (
        f"The joint stands {abs(lower):.0f} mm {'lower' if lower > 0 else 'higher'} on the {name} "
        f"film than on the {other}, and pixel {row:.0f},{column:.0f} (row, column) of the {name} "
        "film was taken for its middle instead; check it, and give the pixel yourself if it is "
        "wrong."
    )


def _is_lateral(film: Radiograph) -> bool:
    return film.view.value is View.LATERAL


def _name(film: Radiograph) -> str:
    return "lateral" if _is_lateral(film) else "frontal"


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


@torch.inference_mode()
def _silhouettes(model: Model, film: Radiograph, view: ViewGeometry, number: int) -> Tensor:
    """``(4, rows, columns)`` 0–1; of a right knee, turned back for a left one."""
    network, settings = model.network, model.network.settings
    left = film.side.value is Side.LEFT
    pixels = film.pixels[:, ::-1] if left else film.pixels
    shown = view.mirrored().flipped_columns() if left else view
    picture = standard_film(pixels, shown, settings.film_spacing, settings.film_size)
    assert network.films is not None  # as the settings have silhouettes
    found = network.films.of_view(number)(picture[None, None])[1][0, 0].sigmoid()
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
