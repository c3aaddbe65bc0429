"""From path lengths to what the detector records: beam, tissue, scatter, blur and noise."""

from __future__ import annotations

import math

import torch

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.blur import NARROWEST_BLUR, gaussian_blur
from XRayTo3DLib.imaging.collimation import exposure_mask
from XRayTo3DLib.imaging.drr import AIR_MM, check_paths, drr
from XRayTo3DLib.imaging.film_settings import FilmSettings
from XRayTo3DLib.imaging.materials import Material, attenuation_matrix
from XRayTo3DLib.imaging.pixel_axes import unit_axes
from XRayTo3DLib.imaging.random_field import smooth_field
from XRayTo3DLib.imaging.spectrum import spectrum

_BINS = 12
"""Energies by which a spectrum is summed."""

_LOWEST_SIGNAL = 1e-5
_SHADOW = 0.8
"""Share of the open field below which a pixel lies in the knee's shadow."""

_TAPER_MM = 12.0
"""Over what width added muscle tapers."""


def detector_signal(
    paths: torch.Tensor,
    spacing_mm: float,
    settings: FilmSettings,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """What the detector records, before any processing.

    Args:
        paths: ``(4, H, W)`` float32, mm of each `Material` along every ray.
        spacing_mm: mm between pixels, in the plane in which the settings' widths count.
        settings: of the beam, the tissue and the detector.
        generator: source of the random fields and the noise.

    Returns:
        ``(H, W)`` float32, positive; 1 is the primary signal of the open field.

    Raises:
        XRayTo3DError: paths of another shape, a spacing or a beam out of range.
    """
    check_paths(paths)
    if not spacing_mm > 0:
        raise XRayTo3DError(f"The pixel spacing is {spacing_mm:g} mm; it must be positive.")
    paths = paths.float()
    primary = _primary(_scaled_paths(paths, spacing_mm, settings, generator), settings)
    signal = primary + _scatter(primary, spacing_mm, settings)
    if settings.collimation is not None:
        # What is shut off still gets a little scatter from inside.
        signal = signal * (0.01 + 0.99 * exposure_mask(primary, settings.collimation))
    if settings.field_gradient:
        signal = signal * _gradient(signal, settings)
    blur = math.hypot(settings.focal_blur_mm, settings.detector_blur_mm)
    signal = gaussian_blur(signal, blur / spacing_mm)
    return _with_noise(signal, spacing_mm, settings, generator)


def _scaled_paths(
    paths: torch.Tensor,
    spacing_mm: float,
    settings: FilmSettings,
    generator: torch.Generator | None,
) -> torch.Tensor:
    cortex, spongiosa, muscle, fat = paths
    muscle, fat = settings.muscle_scale * muscle, settings.fat_scale * fat
    if settings.added_muscle_mm:
        body = (paths.sum(dim=0) > AIR_MM).float()
        # 0 outside and at the skin, 1 well inside.
        inside = (2.0 * gaussian_blur(body, _TAPER_MM / spacing_mm) - 1.0).clamp_min(0.0) * body
        muscle = muscle + settings.added_muscle_mm * inside
    if settings.soft_tissue_unevenness:
        width = settings.soft_tissue_width_mm / spacing_mm
        field = settings.soft_tissue_unevenness * smooth_field(muscle, width, generator)
        muscle, fat = muscle * torch.exp(field), fat * torch.exp(field)
    return torch.stack(
        [
            settings.cortex_density * cortex,
            settings.spongiosa_density * spongiosa,
            muscle,
            fat + (1.0 - settings.spongiosa_density) * spongiosa,
        ]
    )


def _primary(paths: torch.Tensor, settings: FilmSettings) -> torch.Tensor:
    """Beer–Lambert over the spectrum: Σ w(E) exp(-Σ μ(E) length), open field 1."""
    if settings.energy_kev is not None:
        return torch.exp(-drr(paths, settings.energy_kev))
    energies, weights = spectrum(settings.kvp, settings.filtration_mm_al, bins=_BINS)
    attenuation = torch.as_tensor(attenuation_matrix(energies)).to(paths)
    integrals = attenuation @ paths.reshape(len(Material), -1)
    shares = torch.as_tensor(weights).to(paths)
    return (shares @ torch.exp_(integrals.neg_())).reshape(paths.shape[1:])


def _scatter(primary: torch.Tensor, spacing_mm: float, settings: FilmSettings) -> torch.Tensor:
    """Scatter source ∝ -p ln p, spread by a Gaussian (Ohnesorge et al., Eur. Radiol. 9, 1999)."""
    if not settings.scatter_to_primary:
        return torch.zeros_like(primary)
    source = -primary * torch.log(primary.clamp_min(_LOWEST_SIGNAL))
    spread = gaussian_blur(source, settings.scatter_width_mm / spacing_mm)
    shadow = (primary < _SHADOW).float()
    mean_ratio = (primary * shadow).sum() / (spread * shadow).sum().clamp_min(_LOWEST_SIGNAL)
    return settings.scatter_to_primary * mean_ratio * spread


def _gradient(image: torch.Tensor, settings: FilmSettings) -> torch.Tensor:
    """Plane of mean 1 that falls by ``field_gradient`` across the picture."""
    angle = math.radians(settings.field_gradient_angle)
    row, column = unit_axes(image)
    extent = abs(math.cos(angle)) + abs(math.sin(angle))
    return 1.0 - settings.field_gradient * (
        (math.cos(angle) * column + math.sin(angle) * row) / (2 * extent)
    )


def _with_noise(
    signal: torch.Tensor,
    spacing_mm: float,
    settings: FilmSettings,
    generator: torch.Generator | None,
) -> torch.Tensor:
    """Quantum noise: variance over mean² is one over the photons that a pixel counts.

    Log-normal of that mean and variance: like Poisson's law for many photons, differentiable, and
    never below zero for few.
    """
    signal = signal.clamp_min(_LOWEST_SIGNAL)
    if math.isinf(settings.exposure):
        return signal
    noise = _normal(signal, generator)
    width = settings.noise_correlation_mm / spacing_mm
    if width >= NARROWEST_BLUR:
        noise = gaussian_blur(noise, width)
        noise = noise / noise.std().clamp_min(1e-6)
    variance = torch.log1p(1.0 / (settings.exposure * spacing_mm**2 * signal))
    return signal * torch.exp(noise * torch.sqrt(variance) - 0.5 * variance)


def _normal(image: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
    return torch.randn(image.shape, generator=generator, device=image.device, dtype=image.dtype)
