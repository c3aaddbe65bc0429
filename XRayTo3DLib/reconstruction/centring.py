"""Where the joint is on each film, found with the network's own silhouettes.

A film's middle is taken for the middle of the joint unless somebody knows better. Films of a
clinic are not centred so well: the knee lies off the middle, and at another height on either film,
which no pair of cones of rays can bring together. The silhouettes of femur and tibia, estimated on
each film by itself, show where the joint is.
"""

from __future__ import annotations

from dataclasses import replace

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
    """Move assumed centres onto the joint, where the films show that they must be moved.

    They are left alone where the joint stands equally high on both films and near their middle:
    a film's own geometry is better than an estimate from its picture. What the user said stays.

    Args:
        model: with a network that estimates silhouettes; without, nothing is found.
        frontal: frontal film.
        lateral: lateral film.
        geometry: of the films, with the stated centres.
        stated: as :func:`stated_centres` gives them.
    """
    if not model.network.settings.silhouettes:
        return stated
    films = (frontal, lateral)
    centres = (stated.frontal, stated.lateral)
    found = [
        _joint(model, film, view, centre.value, number)
        for number, (film, view, centre) in enumerate(
            zip(films, geometry.views, centres, strict=True)
        )
    ]
    offsets = [
        None if joint is None else _offset(joint, centre.value, film, view)
        for joint, centre, film, view in zip(found, centres, films, geometry.views, strict=True)
    ]
    if not _must_move(offsets):
        return stated
    moved, sentences = [], []
    for film, centre, joint, offset in zip(films, centres, found, offsets, strict=True):
        if joint is None or offset is None or centre.origin is Origin.USER:
            moved.append(centre)
            continue
        moved.append(Sourced(joint, Origin.FOUND, "by the silhouettes of femur and tibia"))
        sentences.append(_sentence(film, joint, offset))
    return Centres(moved[0], moved[1], tuple(sentences))


def _must_move(offsets: list[np.ndarray | None]) -> bool:
    seen = [offset for offset in offsets if offset is not None]
    off_centre = any(np.abs(offset).max() > _OFF_CENTRE for offset in seen)
    return off_centre or (len(seen) == 2 and abs(seen[0][0] - seen[1][0]) > _HEIGHTS_DIFFER)


def _sentence(film: Radiograph, joint: Pixel, offset: np.ndarray) -> str:
    name = "lateral" if film.view.value is View.LATERAL else "frontal"
    return (
        f"On the {name} film the joint was found at pixel {joint[0]:.0f},{joint[1]:.0f} (row, "
        f"column), {np.linalg.norm(offset):.0f} mm from what was taken for its middle, and the "
        "geometry was set accordingly; check it, and give the pixel yourself if it is wrong."
    )


def _offset(joint: Pixel, centre: Pixel, film: Radiograph, view: ViewGeometry) -> np.ndarray:
    """mm at the isocentre, (down, right), from a centre to the joint."""
    scale = np.array(film.spacing.value) * view.sod / view.sid
    return (np.array(joint) - np.array(centre)) * scale


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
        rest = np.linalg.norm(_offset(joint, centre, film, view))
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
    # Both views go through the network together, each by its own entry.
    pair = picture.expand(1, 2, -1, -1)
    found = network.films(pair)[1][0, number].sigmoid()
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
