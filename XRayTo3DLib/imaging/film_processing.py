"""The maker's processing: transform, latitude, edges and window."""

from __future__ import annotations

import torch

from XRayTo3DLib.imaging.blur import gaussian_blur
from XRayTo3DLib.imaging.drr import AIR_MM
from XRayTo3DLib.imaging.film_settings import FilmSettings
from XRayTo3DLib.imaging.quantiles import masked_quantiles, sampling_step


def processed(signal: torch.Tensor, spacing_mm: float, settings: FilmSettings) -> torch.Tensor:
    """Transform, dynamic range compression and edge enhancement; grows with attenuation."""
    power = settings.linearity
    film = -torch.log(signal) if abs(power) < 1e-3 else (1.0 - signal**power) / power
    if settings.latitude:
        coarse = gaussian_blur(film, settings.latitude_width_mm / spacing_mm)
        film = film - settings.latitude * coarse
    if settings.edge_enhancement:
        coarse = gaussian_blur(film, settings.edge_radius_mm / spacing_mm)
        film = film + settings.edge_enhancement * (film - coarse)
    return film


def histogram_field(
    paths: torch.Tensor, exposed: torch.Tensor | None, settings: FilmSettings
) -> torch.Tensor:
    """Which pixels decide the window, ``(H, W)`` bool."""
    field = torch.ones_like(paths[0], dtype=torch.bool)
    if settings.window_without_air:
        field &= paths.sum(dim=0) > AIR_MM
    if exposed is not None:
        field &= exposed > 0.5
    return field


def windowed(film: torch.Tensor, field: torch.Tensor, settings: FilmSettings) -> torch.Tensor:
    """The window's quantiles of the field on 0 and 1."""
    stride = sampling_step(film) if settings.window != (0.0, 1.0) else 1
    sample, inside = film[None, ::stride, ::stride], field[None, ::stride, ::stride]
    low, high = (value[0] for value in masked_quantiles(sample, inside, settings.window))
    below, above = settings.window_margin
    extent = (high - low).clamp_min(1e-6)
    return (film - low + below * extent) / (extent * (1.0 + below + above))
