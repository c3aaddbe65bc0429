"""The tone curve: from the window to the greys of the film."""

from __future__ import annotations

import numpy as np
import torch
from scipy.interpolate import PchipInterpolator

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.film_settings import FilmSettings

_TONE_NODES = 257


def tone_curve(settings: FilmSettings) -> np.ndarray:
    """The tone curve of the settings at 257 equally spaced greys, from 0 to 1, never falling."""
    grey = np.linspace(0.0, 1.0, _TONE_NODES) ** settings.gamma
    if settings.sigmoid_slope:
        logistic = 1.0 / (1.0 + np.exp(-settings.sigmoid_slope * (grey - settings.sigmoid_centre)))
        grey = (logistic - logistic[0]) / (logistic[-1] - logistic[0])
    if settings.curve:
        heights = np.array(settings.curve)
        if heights[0] != 0 or abs(heights[-1] - 1) > 1e-6 or np.any(np.diff(heights) < 0):
            raise XRayTo3DError(
                f"The tone curve {settings.curve} must rise from 0 to 1 without falling."
            )
        grey = PchipInterpolator(np.linspace(0.0, 1.0, len(heights)), heights)(grey)
    return np.clip(grey, 0.0, 1.0)


def toned(film: torch.Tensor, settings: FilmSettings) -> torch.Tensor:
    """Clipping to 0–1 and the tone curve."""
    film = film.clamp(0.0, 1.0)
    if settings.gamma == 1.0 and not settings.sigmoid_slope and not settings.curve:
        return film
    table = torch.as_tensor(tone_curve(settings)).to(film)
    position = film * (_TONE_NODES - 1)
    index = position.long().clamp_max(_TONE_NODES - 2)
    return torch.lerp(table[index], table[index + 1], position - index)
