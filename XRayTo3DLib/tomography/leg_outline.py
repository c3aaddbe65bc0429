"""Where a film shows nothing but air, a volume must hold nothing but air.

Which greys are air is not known: exposure, window, noise and collimation decide, and a narrow
window makes fat as black as air. But the volume says how probable it is that each ray meets the leg
at all. With that, the greys of air and those of the leg are told apart as a mixture of two
histograms by expectation and maximisation (Dempster, Laird and Rubin, J. R. Stat. Soc. B
39(1):1–38, 1977). Where both are equally black the film says nothing and the volume stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import isotonic_regression
from torch import Tensor

from XRayTo3DLib.imaging.blur import gaussian_blur
from XRayTo3DLib.imaging.geometry import ViewGeometry
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.projector import project, projection_matrices
from XRayTo3DLib.reconstruction.lifting import lift
from XRayTo3DLib.tomography.density_network import WATER
from XRayTo3DLib.tomography.film_sampling import film_on

_SIZE, _SPACING = 128, 1.6
"""Pixels a side, and mm between them at the isocentre, of the outlines."""

_ALIKE_MM = 12.0
"""Length along a ray over which it is one question whether there is leg or air."""

_BINS = 64
_ROUNDS = 20
_FEWEST = 1e-2
"""Share that every grey has of both histograms at the least. No grey proves anything: the leg is
black beside the collimator's blades, and air is white in a frame."""

_SUREST = 1e-4
"""Probability beyond which the volume is not believed."""

_MOST_GAIN = 2.0
"""Factor by which a film may raise how probable tissue is."""

_NEIGHBOURS = 1.0
"""Pixels over which neighbours count as witnesses of one another."""


@dataclass(frozen=True)
class Outline:
    """What a film says of where the leg is.

    Attributes:
        detector: on which the pictures lie.
        known: ``(rows, columns)`` bool, what of them lies on the film.
        before: ``(rows, columns)`` how probable leg is on each ray before the film is looked at.
        after: the same after; equal to ``before`` beside the film.
    """

    detector: ViewGeometry
    known: Tensor
    before: Tensor
    after: Tensor


def leg_outline(pixels: np.ndarray, view: ViewGeometry, mean: Tensor, grid: VolumeGrid) -> Outline:
    """Find the leg on a film.

    Args:
        pixels: ``(rows, columns)``, more attenuation brighter.
        view: where they were taken.
        mean: ``(z, y, x)`` expected attenuation, 1/mm: that of a voxel that may be air is low.
        grid: of the volume.
    """
    detector = view.resampled(_SPACING, _SIZE)
    greys, known = film_on(pixels, view, detector)
    with torch.no_grad():
        # The square, as many voxels that are hardly tissue are not one that surely is.
        length = project((mean / WATER).clamp(0.0, 1.0).square(), grid, detector)
    before = 1.0 - torch.exp(-length / _ALIKE_MM)
    after = before.clone()
    evidence = torch.zeros_like(before)
    evidence[known] = _evidence(greys[known], before[known])
    # The mean of a pixel and its neighbours, of those that lie on the film.
    share = gaussian_blur(known.to(before), _NEIGHBOURS).clamp_min(1e-3)
    evidence = gaussian_blur(evidence, _NEIGHBOURS) / share
    after[known] = torch.sigmoid(torch.logit(before, _SUREST) + evidence)[known]
    return Outline(detector, known, before, after)


def _evidence(greys: Tensor, probable: Tensor) -> Tensor:
    """Logarithm of how much more often each pixel's grey is that of the leg than that of air."""
    low, high = float(greys.min()), float(greys.max())
    place = ((greys - low) / max(high - low, 1e-6) * (_BINS - 1)).round().long()
    ratio = torch.zeros(_BINS)
    for _ in range(_ROUNDS):
        leg = torch.sigmoid(torch.logit(probable, _SUREST) + ratio[place])
        histograms = torch.zeros(2, _BINS)
        histograms[0].index_add_(0, place, leg)
        histograms[1].index_add_(0, place, 1.0 - leg)
        shares = histograms / histograms.sum(dim=1, keepdim=True).clamp_min(1.0)
        shares = shares + _FEWEST
        ratio = _rising((shares[0] / shares[1]).log(), histograms.sum(dim=0))
    return ratio[place]


def _rising(values: Tensor, weights: Tensor) -> Tensor:
    """The rising sequence nearest to values: more attenuation is brighter."""
    fit = isotonic_regression(values.numpy(), weights=weights.numpy() + 1.0)
    return torch.from_numpy(fit.x.astype(np.float32))


def carved(
    mean: Tensor,
    deviation: Tensor,
    grid: VolumeGrid,
    films: Sequence[tuple[np.ndarray, ViewGeometry]],
) -> tuple[Tensor, Tensor]:
    """Take away what the films show to be air, and fill what they show to be leg.

    A voxel is tissue if its ray meets the leg and it then is, so that its probability of being
    tissue changes as that of its ray does; mean and mean square change with it, air being 0. What
    is gained makes nothing denser than water.

    Args:
        mean: ``(z, y, x)`` 1/mm.
        deviation: ``(z, y, x)`` 1/mm, how unsure it is.
        grid: of both.
        films: pixels, more attenuation brighter, and where they were taken.

    Returns:
        both anew.
    """
    factor = torch.ones_like(mean)
    for pixels, view in films:
        outline = leg_outline(pixels, view, mean, grid)
        change = (outline.after / outline.before.clamp_min(1e-3)).clamp_max(_MOST_GAIN) - 1.0
        matrix = torch.from_numpy(projection_matrices((outline.detector,)))[None]
        # Beside the detector lifting gives 0, no change.
        factor *= 1.0 + lift(change[None, None, None], matrix, grid)[0, 0]
    factor = torch.minimum(factor, (WATER / mean.clamp_min(1e-3 * WATER)).clamp_min(1.0))
    square = (deviation.square() + mean.square()) * factor
    mean = mean * factor
    return mean, (square - mean.square()).clamp_min(0.0).sqrt()


def decided(mean: Tensor) -> Tensor:
    """Less of what is half leg and half air: a voxel is either.

    Below water, the share of water's attenuation that is expected is how probable leg is. It is
    drawn towards the likelier of the two by the cubic 3 x² − 2 x³, which leaves 0, ½ and 1.

    Args:
        mean: expected attenuation, 1/mm, of any shape.
    """
    share = (mean / WATER).clamp(0.0, 1.0)
    return mean + WATER * (share.square() * (3.0 - 2.0 * share) - share)
