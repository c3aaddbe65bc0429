"""How far an estimated density is from the truth, and its views from true views."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
import torch.nn.functional as F
from skimage.metrics import structural_similarity
from torch import Tensor

from XRayTo3DLib.anatomy.knee import rotation
from XRayTo3DLib.imaging.geometry import ViewGeometry
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.projector import project
from XRayTo3DLib.tomography.density_network import WATER

TURNS = (0.0, 30.0, 60.0, 90.0)
"""Degrees about the leg's axis from the input film's view at which estimates are seen again."""

_AIR_BELOW = 0.5
"""Share of water's attenuation below which a voxel is air."""

_REDUCED = 2
_VIEW_SIZE, _VIEW_SPACING = 128, 1.6


@dataclass(frozen=True)
class Truth:
    """A leg of which everything is known.

    Attributes:
        attenuation: ``(z, y, x)`` float32, 1/mm.
        bone: ``(z, y, x)`` bool, which voxels are bone, marrow included.
        seen: ``(z, y, x)`` bool, which voxels lie on both films: only they are judged.
        grid: of all three.
    """

    attenuation: Tensor
    bone: Tensor
    seen: Tensor
    grid: VolumeGrid


@dataclass(frozen=True)
class DensityScores:
    """Errors of one estimate; not a number where there is no truth.

    Attributes:
        bone: mean absolute error in bone, HU.
        soft: the same in the rest of the leg.
        air: the same around it.
        psnr: of the volume, dB over the truth's range.
        ssim: structural similarity of the volume at twice the voxel's edge.
        view_0: PSNR of line integrals seen as the input film saw them, dB.
        view_30: from 30° off.
        view_60: from 60° off.
        view_90: from 90° off.
        film_psnr: of the input film and the re-projection through the best tone curve, dB.
        film_ngcc: their gradient correlation.
    """

    bone: float
    soft: float
    air: float
    psnr: float
    ssim: float
    view_0: float
    view_30: float
    view_60: float
    view_90: float
    film_psnr: float
    film_ngcc: float

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Of the scores."""
        return tuple(entry.name for entry in fields(cls))


def volume_errors(estimate: Tensor, truth: Truth) -> dict[str, float]:
    """The scores ``bone`` to ``ssim`` of an estimate ``(z, y, x)``, 1/mm, on the truth's grid."""
    leg = truth.attenuation > _AIR_BELOW * WATER
    regions = {"bone": truth.bone, "soft": leg & ~truth.bone, "air": ~leg & ~truth.bone}
    error = (estimate - truth.attenuation).abs()
    extent = float(truth.attenuation.max())
    mean_square = float(error[truth.seen].square().mean())
    scores = {
        name: 1000.0 / WATER * float(error[region & truth.seen].mean())
        for name, region in regions.items()
    }
    pair = [
        F.avg_pool3d((volume * truth.seen)[None], _REDUCED)[0].numpy()
        for volume in (estimate, truth.attenuation)
    ]
    return {
        **scores,
        "psnr": _psnr(mean_square, extent),
        "ssim": float(structural_similarity(*pair, data_range=extent)),
    }


def view_errors(estimate: Tensor, truth: Truth, view: ViewGeometry) -> dict[str, float]:
    """The scores ``view_0`` to ``view_90``."""
    scores = {}
    for turn in TURNS:
        seen_from = view.moved(rotation("z", turn)[:3, :3])
        detector = seen_from.resampled(_VIEW_SPACING, _VIEW_SIZE)
        with torch.no_grad():
            both = project(torch.stack([estimate, truth.attenuation]), truth.grid, detector)
        mean_square = float((both[0] - both[1]).square().mean())
        scores[f"view_{turn:.0f}"] = _psnr(mean_square, float(both[1].max()))
    return scores


def _psnr(mean_square: float, extent: float) -> float:
    return 10.0 * float(np.log10(extent**2 / max(mean_square, 1e-20)))
