"""How much the silhouettes of four bones look like a knee: a few numbers, each with a meaning.

A network that was taught right knees, upright, bone bright, draws a tidy knee on such a film. On
one that is mirrored, upside down or a negative it draws scattered or misplaced pieces. Everything
is measured in millimetres about the joint line, so that it holds wherever the joint is on the film.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.imaging.blur import gaussian_blur

NEIGHBOURHOOD = 60.0
"""mm above and below the joint line within which bones are measured: what every knee film shows,
even one whose joint is 25 mm off its middle."""

_HALF_JOINT = 30.0
"""mm above and below the joint line within which the bones' middle is taken."""

_LITTLE = 10.0
"""mm² added to every area, so that a bone that is absent has a logarithm and a place."""

SHAPE_FEATURES = (
    *(f"area of {bone.key}" for bone in Bone),
    *(f"solidity of {bone.key}" for bone in Bone),
    "femur sideways",
    "tibia sideways",
    "patella sideways",
    "patella up",
    "fibula sideways",
    "fibula up",
    "patella on femur",
    "fibula on tibia",
    "parting",
)
"""What :func:`shape_features` measures, in its order."""

DOUBT_FEATURES = tuple(f"doubt of {bone.key}" for bone in Bone)
"""What :func:`doubt` measures, in its order."""

EDGE_FEATURES = ("edge of femur", "edge of tibia")
"""What :func:`edges` measures, in its order."""

_COARSE = 5.0
"""mm; what a blur of this width leaves of a picture is not the edge of a bone."""

_FAINT = 0.002
"""Share of a film's contrast per mm, added to every edge so that none has a logarithm."""


def shape_features(silhouettes: Tensor, step: float) -> np.ndarray:
    """What the silhouettes look like.

    * area: logarithm of mm²;
    * solidity: the area divided by that of the ellipse with the same second moments, 1 for one
      solid piece that is nearly an ellipse and near 0 for scattered ones;
    * sideways, up: mm of the bone's middle from the middle of the joint, to the right of the
      picture and upwards: the patella is in front on a lateral film, the fibula on the outer side
      of a frontal one and behind on a lateral one, and both tell where up is;
    * patella on femur, fibula on tibia: the share of the one that lies over the other;
    * parting: the share of femur and tibia on the wrong side of the line that parts them best.

    Args:
        silhouettes: ``(N, 4, rows, columns)``, 0–1, of the bones in label order.
        step: mm between pixels, at the isocentre.

    Returns:
        ``(N, len(SHAPE_FEATURES))`` float64, finite.
    """
    bones = silhouettes.double()
    row, parting = _joint_line(bones[:, Bone.FEMUR - 1], bones[:, Bone.TIBIA - 1])
    rows, columns = (torch.arange(n, dtype=torch.float64) for n in bones.shape[-2:])
    up = (row[:, None] - rows) * step
    joint = bones[:, : Bone.TIBIA].amax(dim=1) * (up.abs() < _HALF_JOINT)[:, :, None]
    column = (joint.sum(dim=1) * columns).sum(dim=1) / joint.sum(dim=(1, 2)).clamp_min(1e-9)
    right = (columns - column[:, None]) * step
    bones = bones * (up.abs() < NEIGHBOURHOOD)[:, None, :, None]
    area = bones.sum(dim=(2, 3)) * step**2
    sideways, upwards, spread = _moments(bones, right, up, step)
    solidity = area / (4.0 * math.pi * spread.clamp_min(step**2 / 12.0))
    patella, fibula = bones[:, Bone.PATELLA - 1], bones[:, Bone.FIBULA - 1]
    over_femur = (patella * bones[:, Bone.FEMUR - 1]).sum(dim=(1, 2)) * step**2
    over_tibia = (fibula * bones[:, Bone.TIBIA - 1]).sum(dim=(1, 2)) * step**2
    places = [
        sideways[:, Bone.FEMUR - 1],
        sideways[:, Bone.TIBIA - 1],
        sideways[:, Bone.PATELLA - 1],
        upwards[:, Bone.PATELLA - 1],
        sideways[:, Bone.FIBULA - 1],
        upwards[:, Bone.FIBULA - 1],
        over_femur / (area[:, Bone.PATELLA - 1] + _LITTLE),
        over_tibia / (area[:, Bone.FIBULA - 1] + _LITTLE),
        parting,
    ]
    areas = torch.log(area + _LITTLE)
    return torch.cat([areas, solidity, torch.stack(places, dim=1)], dim=1).numpy()


def doubt(silhouettes: Tensor) -> np.ndarray:
    """How undecided silhouettes are: 0 where every probability is 0 or 1, at most 1.

    Args:
        silhouettes: ``(N, 4, rows, columns)``, 0–1.

    Returns:
        ``(N, 4)`` float64: 1 − Σp² / Σp of each bone, 1 where there is none of it.
    """
    bones = silhouettes.double()
    total = bones.sum(dim=(2, 3))
    return (1.0 - bones.square().sum(dim=(2, 3)) / total.clamp_min(1e-9)).numpy()


def edges(silhouettes: Tensor, pictures: Tensor, step: float) -> np.ndarray:
    """How sharp the picture is where the silhouettes of femur and tibia end.

    Bone is brighter than what is beside it, within a millimetre or two. A network may well see a
    knee in a cloud or a slope of grey; but those have no edges.

    Args:
        silhouettes: ``(N, 4, rows, columns)``, 0–1, of the bones in label order.
        pictures: ``(N, rows, columns)``, 0–1, bone bright, in which they were seen.
        step: mm between pixels, at the isocentre.

    Returns:
        ``(N, len(EDGE_FEATURES))`` float64: the logarithm of the mean slope towards the inside of
        the bone, per mm, of the picture less its blurred self.
    """
    coarse = torch.stack([gaussian_blur(picture, _COARSE / step) for picture in pictures])
    fine = (pictures - coarse)[:, None]
    bones = silhouettes[:, : Bone.TIBIA]
    # A silhouette grows towards the inside of its bone.
    inwards = torch.gradient(bones, dim=(2, 3))
    slopes = torch.gradient(fine, dim=(2, 3))
    along = sum(a * b for a, b in zip(inwards, slopes, strict=True)).sum(dim=(2, 3))
    outline = torch.hypot(*inwards).sum(dim=(2, 3)).clamp_min(1e-6)
    return torch.log((along / outline / step).clamp_min(0.0) + _FAINT).double().numpy()


def _joint_line(femur: Tensor, tibia: Tensor) -> tuple[Tensor, Tensor]:
    """The row that best parts femur from tibia, ``(N,)``, and the share that it parts wrongly."""
    femur_rows, tibia_rows = femur.sum(dim=2), tibia.sum(dim=2)
    none = femur_rows.new_zeros(len(femur_rows), 1)
    above = torch.cat([none, tibia_rows.cumsum(1)], dim=1)
    below = torch.cat([femur_rows.flip(1).cumsum(1).flip(1), none], dim=1)
    wrong = above + below  # by a cut between rows k - 1 and k
    least = wrong.amin(dim=1)
    best = (wrong <= least[:, None] + 1e-9).double()
    cuts = torch.arange(wrong.shape[1], dtype=torch.float64)
    row = (best * cuts).sum(dim=1) / best.sum(dim=1) - 0.5
    whole = femur_rows.sum(dim=1) + tibia_rows.sum(dim=1)
    return row, least / whole.clamp_min(1e-9)


def _moments(
    bones: Tensor, right: Tensor, up: Tensor, step: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Middle (right, up) of each bone, mm, and the root of its covariance's determinant, mm²."""
    area = bones.sum(dim=(2, 3)) * step**2
    weight = bones * (step**2 / (area + _LITTLE))[:, :, None, None]
    across, along = weight.sum(dim=2), weight.sum(dim=3)
    right, up = right[:, None], up[:, None]
    x, y = (across * right).sum(dim=2), (along * up).sum(dim=2)
    dx, dy = right - x[:, :, None], up - y[:, :, None]
    xx, yy = (across * dx.square()).sum(dim=2), (along * dy.square()).sum(dim=2)
    xy = torch.einsum("nbrc,nbr,nbc->nb", weight, dy, dx)
    return x, y, (xx * yy - xy.square()).clamp_min(0.0).sqrt()
