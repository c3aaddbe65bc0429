"""A radiograph's film in the style of a DRR."""

from __future__ import annotations

import torch
from torch import Tensor

from XRayTo3DLib.style.style_weights import StyleModel


@torch.inference_mode()
def translate(film: Tensor, model: StyleModel) -> Tensor:
    """Translate one film; what a network sees of it afterwards.

    Kasten et al. 2020, sec. 3.4, put a CycleGAN (Zhu et al., ICCV 2017) between radiograph and
    network, which knows nothing but DRRs.

    Args:
        film: ``(256, 256)`` float in 0–1, on the networks' detector and normalised, a right knee.
        model: from :func:`XRayTo3DLib.style.style_weights.load_style`.

    Returns:
        ``(256, 256)`` float32 in 0–1, on the same detector.
    """
    return model.generator(film.float()[None, None])[0, 0].clamp(0.0, 1.0)
