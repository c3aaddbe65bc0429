"""How far a knee is bent on a lateral film, by the axes of its shafts.

A film that is turned in its plane turns both shafts alike, so that this holds however it stood.
"""

from __future__ import annotations

import torch
from torch import Tensor

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.reconstruction.finding_table import POPULATION
from XRayTo3DLib.reconstruction.long_axis import seen_and_inner, shaft_axis

_LATERAL = True


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
