"""Bones in their colours on a grey film."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.imaging.geometry import ViewGeometry
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.projector import project

_OPACITY = 0.6
_WHOLE = 8.0
"""mm of bone along a ray that are coloured fully; less in proportion."""

_DARKEST = 0.3
"""Share of a bone's colour that is left where the film is black."""


@torch.inference_mode()
def coloured(
    film: np.ndarray,
    labels: np.ndarray,
    grid: VolumeGrid,
    view: ViewGeometry,
    bones: Iterable[Bone],
) -> np.ndarray:
    """A film with the projections of some bones laid over it in their colours.

    Args:
        film: ``(rows, columns)``, 0–1.
        labels: ``(z, y, x)``, 0 or a :class:`Bone`.
        grid: of the labels.
        view: that of the film.
        bones: which; of two that lie behind one another both colours are seen.

    Returns:
        ``(rows, columns, 3)`` float32, 0–1.
    """
    bones = tuple(bones)
    masks = torch.from_numpy(np.stack([labels == bone for bone in bones]).astype(np.float32))
    share = (project(masks, grid, view) / _WHOLE).clamp_max(1.0).numpy()
    colours = np.array([bone.style.rgb for bone in bones], dtype=np.float32)
    total = share.sum(axis=0)
    mixed = np.tensordot(share, colours, axes=(0, 0)) / np.maximum(total, 1e-6)[..., None]
    # The film's greys stay visible in the colour, whether bone is bright or dark.
    tinted = mixed * (_DARKEST + (1.0 - _DARKEST) * film[..., None])
    opacity = _OPACITY * np.minimum(total, 1.0)[..., None]
    return ((1.0 - opacity) * film[..., None] + opacity * tinted).astype(np.float32)
