"""What the networks learn from: surface-weighted cross-entropy and gradient correlation."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.projector import line_integrals
from XRayTo3DLib.reconstruction.lifting import pixel_rays, rescaled


def surface_weights(depth: Tensor, strength: float, width: float) -> Tensor:
    """Weight of each voxel: 1 far from every surface, 1 + strength on one.

    Args:
        depth: mm below the nearest surface (negative outside), any shape.
        strength: how much more a voxel on a surface counts.
        width: mm over which that fades (standard deviation of a Gaussian).

    Returns:
        same shape. Kasten et al. 2020, sec. 3.3, weigh the surface; the Gaussian is ours.
    """
    return 1.0 + strength * torch.exp(-0.5 * (depth / width) ** 2)


def surface_weighted_cross_entropy(
    scores: Tensor,
    nearest: Tensor,
    depth: Tensor,
    spacing: float,
    strength: float = 4.0,
    width: float = 2.0,
) -> Tensor:
    """Cross-entropy against the share of each voxel that bone fills.

    A voxel that a surface cuts belongs partly to the bone and partly to the background, as the
    depth of its centre tells; so the probabilities learn where in a voxel the surface runs.

    Args:
        scores: ``(B, 5, z, y, x)`` logits.
        nearest: ``(B, z, y, x)`` int64, label of the bone with the nearest surface.
        depth: ``(B, z, y, x)`` mm below that surface.
        spacing: mm between voxels.
        strength: see :func:`surface_weights`.
        width: see :func:`surface_weights`.

    Returns:
        scalar, mean over voxels in units of their weights.
    """
    logarithms = F.log_softmax(scores, dim=1)
    share = filled_share(depth, spacing)
    bone = logarithms.gather(1, nearest[:, None])[:, 0]
    entropy = -(share * bone + (1.0 - share) * logarithms[:, 0])
    weight = surface_weights(depth, strength, width)
    return (weight * entropy).sum() / weight.sum()


def filled_share(depth: Tensor, spacing: float) -> Tensor:
    """How much of each voxel bone fills, 0…1, from the depth of its centre.

    Args:
        depth: mm below the nearest surface (negative outside), any shape.
        spacing: mm between voxels.
    """
    return (0.5 + depth / spacing).clamp(0.0, 1.0)


def dice_loss(scores: Tensor, nearest: Tensor, depth: Tensor, spacing: float) -> Tensor:
    """1 − Dice of probabilities, mean over the bones (Milletari et al. 2016, with plain sums).

    Each bone counts alike, so that the small ones, patella and fibula, are learnt as early as
    the large ones; the cross-entropy alone finds them last.

    Args:
        scores: ``(B, 5, z, y, x)`` logits.
        nearest: ``(B, z, y, x)`` int64, label of the bone with the nearest surface.
        depth: ``(B, z, y, x)`` mm below that surface.
        spacing: mm between voxels.

    Returns:
        scalar, mean over cases and bones; a bone that is not in the volume counts only as far
        as it is found there.
    """
    probabilities = F.softmax(scores, dim=1)
    share = filled_share(depth, spacing)
    losses = []
    for label in range(1, scores.shape[1]):
        found, true = probabilities[:, label], share * (nearest == label)
        common = (found * true).sum(dim=(1, 2, 3))
        both = found.sum(dim=(1, 2, 3)) + true.sum(dim=(1, 2, 3))
        losses.append(1.0 - (2.0 * common + 1.0) / (both + 1.0))
    return torch.stack(losses).mean()


def silhouette_loss(scores: Tensor, truth: Tensor) -> Tensor:
    """Binary cross-entropy plus 1 − Dice of silhouettes, mean over films and bones.

    Args:
        scores: ``(B, 2, 4, rows, columns)`` logits.
        truth: same shape, 0 to 1.
    """
    found = scores.sigmoid()
    common = (found * truth).sum(dim=(-2, -1))
    both = found.sum(dim=(-2, -1)) + truth.sum(dim=(-2, -1))
    overlap = (2.0 * common + 1.0) / (both + 1.0)
    return F.binary_cross_entropy_with_logits(scores, truth) + 1.0 - overlap.mean()


def ngcc(first: Tensor, second: Tensor, epsilon: float = 1e-6) -> Tensor:
    """Normalised gradient cross-correlation of two images.

    The mean of the normalised cross-correlations of the horizontal and of the vertical
    derivative (Penney et al., IEEE TMI 17(4), 1998; Kasten et al. 2020, eq. 3). It is 1 for an
    image and any positive multiple of it plus a constant, −1 for its negative.

    Args:
        first: ``(..., rows, columns)``.
        second: same shape.
        epsilon: keeps an image without gradients at 0.

    Returns:
        ``(...)`` in −1…1.
    """
    parts = []
    for axis in (-2, -1):
        a, b = first.diff(dim=axis).flatten(-2), second.diff(dim=axis).flatten(-2)
        a, b = a - a.mean(-1, keepdim=True), b - b.mean(-1, keepdim=True)
        parts.append((a * b).sum(-1) / (a.norm(dim=-1) * b.norm(dim=-1) + epsilon))
    return (parts[0] + parts[1]) / 2.0


def reprojection_loss(
    scores: Tensor, films: Tensor, matrices: Tensor, grid: VolumeGrid, reduce: int = 2
) -> Tensor:
    """1 − NGCC between the films and the projections of what was reconstructed.

    Unsupervised: it needs no truth (Kasten et al. 2020, sec. 3.3). Volume and films are reduced
    first; the outlines that matter are coarse enough and the projection costs a tenth.

    Args:
        scores: ``(B, 5, z, y, x)`` logits on ``grid``.
        films: ``(B, 2, rows, columns)``, bone bright.
        matrices: ``(B, 2, 3, 4)`` projections onto the films.
        grid: of the scores.
        reduce: factor by which volume and films are averaged.

    Returns:
        scalar, mean over cases and views.
    """
    bone = 1.0 - F.softmax(scores, dim=1)[:, :1]
    bone = F.avg_pool3d(bone, reduce)
    shape = (bone.shape[2], bone.shape[3], bone.shape[4])
    small = VolumeGrid(shape, grid.spacing * reduce, grid.centre)
    targets = F.avg_pool2d(films, 2 * reduce)
    rows, columns = targets.shape[-2:]
    losses = []
    for case in range(len(scores)):
        for view in range(2):
            rays = pixel_rays(rescaled(matrices[case, view], 2 * reduce), rows, columns)
            drr = line_integrals(bone[case], small, *rays).reshape(rows, columns)
            losses.append(1.0 - ngcc(drr, targets[case, view]))
    return torch.stack(losses).mean()
