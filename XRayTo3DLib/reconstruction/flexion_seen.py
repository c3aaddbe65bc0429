"""How far a knee is bent on a lateral film, by the axes of its shafts.

A film that is turned in its plane turns both shafts alike, so that this holds however it stood.
"""

from __future__ import annotations

import torch
from torch import Tensor

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.reconstruction.finding_table import POPULATION
from XRayTo3DLib.reconstruction.long_axis import seen_and_inner, shaft_axis
from XRayTo3DLib.reconstruction.networks import NetworkSettings

_LATERAL = True

_BENT = 5.0
"""Degrees of flexion on a lateral film beyond which a knee counts as bent. As frontal films are
mostly taken of straight knees, such a knee was probably moved between the films."""


def flexion_on_lateral(silhouettes: Tensor, settings: NetworkSettings) -> float | None:
    """Degrees between the shafts of femur and tibia on what a network saw of two films.

    Args:
        silhouettes: ``(2, 4, rows, columns)`` 0–1 of :func:`~.seeing.see`; no channels where the
            network estimates none.
        settings: of the network.

    Returns:
        the angle, or None where it cannot be told.
    """
    if not silhouettes.shape[1]:
        return None
    spacing = settings.film_spacing * settings.film_size / silhouettes.shape[-1]
    return flexion_seen(silhouettes[1], spacing)


def seems_bent(flexion: float | None) -> bool:
    """Whether a knee with that flexion on the lateral film, if it can be told, counts as bent."""
    return flexion is not None and flexion > _BENT


def flexion_seen(silhouettes: Tensor, spacing: float) -> float | None:
    """Degrees between the shafts of femur and tibia.

    Args:
        silhouettes: ``(4, rows, columns)`` 0–1 of a right knee on a lateral film, in label order,
            the joint near the middle.
        spacing: mm between pixels at the isocentre.

    Returns:
        the angle, or None where too little is seen of a shaft.
    """
    pictures = silhouettes.detach().cpu()
    size = pictures.shape[1:]
    inner = seen_and_inner(torch.ones(size, dtype=torch.bool))
    middle = ((size[0] - 1) / 2, (size[1] - 1) / 2)
    femur, tibia = (
        shaft_axis(pictures[bone - 1].numpy(), inner, middle, spacing, bone)
        for bone in (Bone.FEMUR, Bone.TIBIA)
    )
    if femur is None or tibia is None:
        return None
    table = POPULATION[_LATERAL]
    return (femur.angle - table.femur_bias) - (tibia.angle - table.tibia_bias)
