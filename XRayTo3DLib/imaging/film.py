"""From what the rays crossed to a film as a radiographer sees it.

Every step is a parameter of :class:`FilmSettings`, so that training can vary all of them: beam,
soft tissue, scatter, blur, noise, tone, the maker's post-processing, shutters and markers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.interpolate import PchipInterpolator
from torch.nn import functional

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.materials import Material, attenuation_matrix
from XRayTo3DLib.imaging.spectrum import spectrum

_BINS = 12
_TONE_NODES = 257
_QUANTILE_SIDE = 128
_LOWEST_SIGNAL = 1e-5
_AIR_MM = 1.0
_FLAT = 2e-3
_SHADOW = 0.8
_TAPER_MM = 12.0
_NARROWEST_BLUR = 0.2

_NOT_NEGATIVE = (
    "cortex_density",
    "spongiosa_density",
    "muscle_scale",
    "fat_scale",
    "added_muscle_mm",
    "soft_tissue_unevenness",
    "soft_tissue_width_mm",
    "noise_correlation_mm",
    "scatter_to_primary",
    "scatter_width_mm",
    "focal_blur_mm",
    "detector_blur_mm",
    "background_unevenness",
    "latitude_width_mm",
    "edge_radius_mm",
    "sigmoid_slope",
    "bits",
)

# Capitals of a lead marker, 7 rows of 5.
_LETTERS = {
    "R": ("11110", "10001", "10001", "11110", "10100", "10010", "10001"),
    "L": ("10000", "10000", "10000", "10000", "10000", "10000", "11111"),
    "D": ("11110", "10001", "10001", "10001", "10001", "10001", "11110"),
    "S": ("01111", "10000", "10000", "01110", "00001", "00001", "11110"),
    "X": ("10001", "10001", "01010", "00100", "01010", "10001", "10001"),
    "7": ("11111", "00001", "00010", "00100", "01000", "01000", "01000"),
}


@dataclass(frozen=True)
class Collimation:
    """The rectangle that the beam was narrowed to.

    Attributes:
        margins: width of the unexposed border at top, bottom, left and right, as a fraction of
            the picture's height or width.
        rotation: degrees by which the rectangle is turned on the film.
        grey: what the maker paints over the border: 0 black, 1 white; None leaves it as recorded
            (scatter and leakage alone, nearly white).
    """

    margins: tuple[float, float, float, float]
    rotation: float = 0.0
    grey: float | None = 0.0

    def __post_init__(self) -> None:
        if not all(0 <= margin < 0.5 for margin in self.margins):
            raise XRayTo3DError(
                f"The collimation's margins are {self.margins}; each must be from 0 to below 0.5."
            )


@dataclass(frozen=True)
class Marker:
    """Lead letters on the film.

    Attributes:
        text: one to three of the capitals R, L, D, S, X and the digit 7.
        position: of the middle, fraction of (height, width) from the upper left corner.
        height: of a letter, fraction of the picture's height.
        rotation: degrees.
        mirrored: whether it was laid face down.
        grey: what it is on the film: 1 white, 0 black.
    """

    text: str
    position: tuple[float, float]
    height: float = 0.05
    rotation: float = 0.0
    mirrored: bool = False
    grey: float = 1.0


@dataclass(frozen=True)
class FilmSettings:
    """All that turns path lengths into a film.

    Widths in mm are standard deviations of Gaussians, measured in the plane of the path images'
    pixels (``spacing_mm``).

    Attributes:
        kvp: peak tube voltage, kV, 40–120.
        filtration_mm_al: total filtration, mm of aluminium.
        energy_kev: photon energy of a monochromatic beam, keV; None takes the tube's spectrum.
        cortex_density: factor on the nominal density of cortical bone.
        spongiosa_density: factor on the spongiosa in the room that it fills; fatty marrow makes up
            the difference.
        muscle_scale: factor on every length in muscle.
        fat_scale: factor on every length in fat.
        added_muscle_mm: thickness of further muscle in front of the whole leg, tapering at its
            edges, mm.
        soft_tissue_unevenness: standard deviation of the natural logarithm of a smooth random
            field that multiplies the lengths in muscle and fat.
        soft_tissue_width_mm: width of that field, mm.
        exposure: photons per mm² in the open field that the detector counts; infinite is free of
            noise.
        noise_correlation_mm: width over which the noise is blurred (its variance is kept), mm.
        scatter_to_primary: scattered over primary signal, means over the knee's shadow (less than
            80 % of the open field).
        scatter_width_mm: width of the scatter's spread, mm.
        focal_blur_mm: width of the focal spot's blur, mm.
        detector_blur_mm: width of the detector's blur, mm.
        field_gradient: fall of the open field's intensity from one edge of the picture to the
            other (heel effect, oblique stand), as a fraction, 0–1.
        field_gradient_angle: direction of that fall, degrees, 0 along columns' growth.
        background_unevenness: amplitude of a smooth random field added to the film before the
            tone curve, as a fraction of the grey scale.
        linearity: exponent of the Box-Cox transform of the detector's signal: 0 is the logarithm,
            1 the signal itself.
        latitude: share of the large-scale contrast that is taken away (dynamic range
            compression), 0–1.
        latitude_width_mm: scale above which contrast counts as large, mm.
        edge_enhancement: factor on the detail that is added (unsharp mask).
        edge_radius_mm: scale of that detail, mm.
        window: quantiles of the exposed field shown as black and white, before ``window_margin``.
        window_without_air: whether those quantiles leave out rays that met nothing, as a maker's
            histogram analysis does.
        window_margin: empty room below black and above white as a fraction of the window;
            negative clips.
        gamma: exponent of the tone curve; above 1 darkens.
        sigmoid_slope: steepness of the H&D curve's straight part; 0 leaves a straight line.
        sigmoid_centre: middle of the H&D curve on the grey scale: small is a short toe and a long
            shoulder.
        curve: heights of a free monotone tone curve at equally spaced greys, from 0 to 1; empty
            for none.
        collimation: unexposed border, or None.
        marker: lead letters, or None.
        bits: of a grey value; 0 is not quantised.
        inverted: bone dark, as on a MONOCHROME1 file shown as it is.
    """

    kvp: float = 65.0
    filtration_mm_al: float = 2.7
    energy_kev: float | None = None
    cortex_density: float = 1.0
    spongiosa_density: float = 1.0
    muscle_scale: float = 1.0
    fat_scale: float = 1.0
    added_muscle_mm: float = 0.0
    soft_tissue_unevenness: float = 0.0
    soft_tissue_width_mm: float = 30.0
    exposure: float = math.inf
    noise_correlation_mm: float = 0.0
    scatter_to_primary: float = 0.0
    scatter_width_mm: float = 30.0
    focal_blur_mm: float = 0.0
    detector_blur_mm: float = 0.0
    field_gradient: float = 0.0
    field_gradient_angle: float = 0.0
    background_unevenness: float = 0.0
    linearity: float = 0.0
    latitude: float = 0.0
    latitude_width_mm: float = 30.0
    edge_enhancement: float = 0.0
    edge_radius_mm: float = 1.0
    window: tuple[float, float] = (0.0, 1.0)
    window_without_air: bool = False
    window_margin: tuple[float, float] = (0.0, 0.0)
    gamma: float = 1.0
    sigmoid_slope: float = 0.0
    sigmoid_centre: float = 0.5
    curve: tuple[float, ...] = ()
    collimation: Collimation | None = None
    marker: Marker | None = None
    bits: int = 0
    inverted: bool = False

    def __post_init__(self) -> None:
        for name in _NOT_NEGATIVE:
            if not getattr(self, name) >= 0:
                raise XRayTo3DError(
                    f"The film's {name} is {getattr(self, name):g}; it must not be negative."
                )
        for name in ("exposure", "gamma"):
            if not getattr(self, name) > 0:
                raise XRayTo3DError(
                    f"The film's {name} is {getattr(self, name):g}; it must be positive."
                )

    @classmethod
    def plain(cls, energy_kev: float = 60.0) -> FilmSettings:
        """A perfect film: one photon energy, logarithm, nothing else; `drr` scaled to 0–1."""
        return cls(energy_kev=energy_kev)

    @classmethod
    def random(cls, rng: np.random.Generator, strength: float = 1.0) -> FilmSettings:
        """Settings of a film from anywhere.

        Args:
            rng: the only source of chance.
            strength: 0 gives a clean film of average settings, 1 the full range.

        Raises:
            XRayTo3DError: a strength outside 0–1.
        """
        if not 0 <= strength <= 1:
            raise XRayTo3DError(
                f"The strength of the film's randomisation is {strength:g}; give one from 0 to 1."
            )
        draw = _Draw(rng, strength)
        return cls(
            **_random_beam(draw),
            **_random_tissue(draw),
            **_random_detector(draw),
            **_random_processing(draw),
            collimation=_random_collimation(draw) if draw.chance(0.3) else None,
            marker=_random_marker(draw) if draw.chance(0.4) else None,
        )


class _Draw:
    """Random numbers whose spread shrinks to a middle value with the strength."""

    def __init__(self, rng: np.random.Generator, strength: float) -> None:
        self.rng = rng
        self.strength = strength

    def between(self, low: float, high: float, middle: float) -> float:
        """Uniform in [low, high], pulled towards ``middle``."""
        return middle + self.strength * (float(self.rng.uniform(low, high)) - middle)

    def log_between(self, low: float, high: float, middle: float) -> float:
        """Log-uniform in [low, high], pulled towards ``middle``."""
        return math.exp(self.between(math.log(low), math.log(high), math.log(middle)))

    def skewed(self, largest: float) -> float:
        """From 0 to ``largest``, small values more often (the square of a uniform number)."""
        return self.strength * largest * float(self.rng.uniform()) ** 2

    def chance(self, probability: float) -> bool:
        """True with ``probability`` at full strength, never at strength 0."""
        return bool(self.rng.random() < probability * self.strength)


def _random_beam(draw: _Draw) -> dict[str, Any]:
    return {
        "kvp": draw.between(48.0, 95.0, 65.0),
        "filtration_mm_al": draw.between(2.0, 5.0, 2.7),
        "field_gradient": draw.skewed(0.5) if draw.chance(0.6) else 0.0,
        "field_gradient_angle": float(draw.rng.uniform(0.0, 360.0)),
        "background_unevenness": draw.skewed(0.1) if draw.chance(0.25) else 0.0,
    }


def _random_tissue(draw: _Draw) -> dict[str, Any]:
    # Dry bone, a specimen in air, and most simulators have no flesh worth speaking of.
    thin = draw.log_between(0.02, 0.4, 1.0) if draw.chance(0.2) else 1.0
    return {
        "cortex_density": draw.between(0.6, 1.25, 1.0),
        "spongiosa_density": draw.between(0.5, 1.5, 1.0),
        "muscle_scale": thin * draw.between(0.5, 1.1, 1.0),
        "fat_scale": thin * draw.between(0.4, 1.3, 1.0),
        "added_muscle_mm": draw.skewed(90.0) if thin == 1.0 and draw.chance(0.4) else 0.0,
        "soft_tissue_unevenness": draw.skewed(0.2) if draw.chance(0.6) else 0.0,
        "soft_tissue_width_mm": draw.log_between(12.0, 60.0, 25.0),
    }


def _random_detector(draw: _Draw) -> dict[str, Any]:
    noisy = draw.chance(0.85)
    return {
        "exposure": draw.log_between(4e3, 1e6, 1e5) if noisy else math.inf,
        "noise_correlation_mm": draw.between(0.0, 0.8, 0.1) if draw.chance(0.6) else 0.0,
        "scatter_to_primary": draw.between(0.0, 1.5, 0.0) if draw.chance(0.75) else 0.0,
        "scatter_width_mm": draw.log_between(8.0, 80.0, 25.0),
        "focal_blur_mm": draw.between(0.0, 0.6, 0.1),
        "detector_blur_mm": draw.between(0.0, 0.6, 0.1),
    }


def _random_processing(draw: _Draw) -> dict[str, Any]:
    """The maker's taste: one of four families, each with its own spread."""
    families = (_logarithm, _transmission, _digital, _screen_film)
    family = families[int(draw.rng.choice(len(families), p=[0.2, 0.15, 0.5, 0.15]))]
    settings = family(draw)
    if draw.chance(0.15):
        steps = draw.rng.dirichlet(np.full(6, 3.0)) + 0.08
        settings["curve"] = tuple(np.concatenate([[0.0], np.cumsum(steps) / steps.sum()]).tolist())
    settings["bits"] = int(draw.rng.choice([0, 8, 10, 12]))
    return settings


def _logarithm(draw: _Draw) -> dict[str, Any]:
    """A DRR, or a raw image whose logarithm was taken."""
    return {
        "window": (draw.between(0.0, 0.05, 0.0), draw.between(0.98, 1.0, 1.0)),
        "window_without_air": draw.chance(0.4),
        "gamma": draw.log_between(0.6, 1.8, 1.0),
    }


def _transmission(draw: _Draw) -> dict[str, Any]:
    """A simulator's or a raw detector's picture: the signal itself, turned over."""
    return {
        "linearity": draw.between(0.3, 1.0, 0.0),
        "window": (draw.between(0.0, 0.1, 0.0), draw.between(0.98, 1.0, 1.0)),
        "window_without_air": draw.chance(0.6),
        "gamma": draw.log_between(0.8, 3.0, 1.0),
    }


def _digital(draw: _Draw) -> dict[str, Any]:
    """A clinical digital radiograph: latitude reduced, edges enhanced, H&D-like curve."""
    return {
        "window": (draw.between(0.0, 0.08, 0.0), draw.between(0.97, 1.0, 1.0)),
        "window_margin": (draw.between(-0.05, 0.4, 0.0), draw.between(-0.05, 0.25, 0.0)),
        "window_without_air": draw.chance(0.85),
        "gamma": draw.log_between(0.6, 1.7, 1.0),
        "sigmoid_slope": draw.between(0.5, 6.0, 0.0),
        "sigmoid_centre": draw.between(0.35, 0.7, 0.5),
        "latitude": draw.between(0.0, 0.75, 0.0) if draw.chance(0.6) else 0.0,
        "latitude_width_mm": draw.log_between(10.0, 60.0, 30.0),
        "edge_enhancement": draw.skewed(2.5) if draw.chance(0.75) else 0.0,
        "edge_radius_mm": draw.log_between(0.4, 6.0, 1.5),
    }


def _screen_film(draw: _Draw) -> dict[str, Any]:
    """Scanned film: steep in the middle, dark or pale by the exposure, no processing."""
    return {
        "window": (draw.between(0.0, 0.05, 0.0), draw.between(0.98, 1.0, 1.0)),
        "window_margin": (draw.between(0.0, 0.6, 0.0), draw.between(0.0, 0.5, 0.0)),
        "window_without_air": draw.chance(1.0),
        "sigmoid_slope": draw.between(3.0, 9.0, 0.0),
        "sigmoid_centre": draw.between(0.4, 0.65, 0.5),
    }


def _random_collimation(draw: _Draw) -> Collimation:
    # Mostly thin borders: the knee itself is what the film was taken for.
    margins = draw.rng.uniform(0.0, 0.12, size=4) * (draw.rng.random(4) < 0.7)
    grey = (0.0, 1.0, None)[int(draw.rng.choice(3, p=[0.55, 0.15, 0.3]))]
    rotation = float(draw.rng.normal(0.0, 3.0)) if draw.chance(0.5) else 0.0
    return Collimation(tuple(margins.tolist()), rotation, grey)


def _random_marker(draw: _Draw) -> Marker:
    rng = draw.rng
    along, across = rng.uniform(0.08, 0.92), rng.choice([-1, 1]) * rng.uniform(0.33, 0.45) + 0.5
    return Marker(
        text=str(rng.choice(["R", "L", "DX", "SX", "R7", "L7"])),
        position=(float(along), float(across)),
        height=float(rng.uniform(0.025, 0.06)),
        rotation=float(rng.normal(0.0, 40.0)) if draw.chance(0.5) else 0.0,
        mirrored=draw.chance(0.15),
        grey=0.0 if draw.chance(0.15) else 1.0,
    )


def drr(paths: torch.Tensor, energy_kev: float = 60.0) -> torch.Tensor:
    """Clean line integral of attenuation at one photon energy.

    Args:
        paths: ``(4, H, W)`` mm of each `Material` along every ray.
        energy_kev: photon energy, keV, 15–150.

    Returns:
        ``(H, W)`` dimensionless, ``-ln`` of the transmission.
    """
    _check_paths(paths)
    attenuation = torch.as_tensor(attenuation_matrix(energy_kev)).to(paths)
    return torch.tensordot(attenuation, paths, dims=1)


def simulate_film(
    paths: torch.Tensor,
    spacing_mm: float,
    settings: FilmSettings,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """The film of a knee.

    Args:
        paths: ``(4, H, W)`` float32, mm of each `Material` along every ray.
        spacing_mm: mm between pixels, in the plane in which the settings' widths count.
        settings: everything else.
        generator: source of the random fields and the noise, on the device of ``paths``; the same
            state gives the same film. None uses torch's own.

    Returns:
        ``(H, W)`` float32 in [0, 1]; more bone is brighter unless ``settings.inverted``.

    Raises:
        XRayTo3DError: paths of another shape, or settings out of range.
    """
    signal = detector_signal(paths, spacing_mm, settings, generator)
    film = _processed(signal, spacing_mm, settings)
    exposed = _exposed_field(film, settings.collimation)
    film = _windowed(film, _histogram_field(paths, exposed, settings), settings)
    if settings.background_unevenness:
        field = _smooth_field(film, 0.25 * max(film.shape), generator)
        film = film + settings.background_unevenness * field
    film = _toned(film, settings)
    return _annotated(film, exposed, settings)


def normalise_film(film: torch.Tensor) -> torch.Tensor:
    """What the networks see of a film: the 1st to 99th percentile of its exposed field on 0–1.

    Flat areas (painted borders, padding, saturation) say nothing about the exposure and are left
    out of the percentiles; they are clipped like all else. The same function serves training and
    inference. A film without any contrast becomes 0.

    Args:
        film: ``(H, W)`` or ``(B, 1, H, W)`` float, finite, more bone brighter, any range.

    Returns:
        The same shape, float32, in [0, 1].
    """
    stack = film.float().reshape(-1, *film.shape[-2:])
    stride = max(1, min(stack.shape[-2:]) // _QUANTILE_SIDE)
    sample = stack[:, ::stride, ::stride]
    low, high = _masked_quantiles(sample, _varied(sample), (0.01, 0.99))
    scale = torch.where(high > low, 1.0 / (high - low).clamp_min(1e-20), 0.0)
    stack = ((stack - low[:, None, None]) * scale[:, None, None]).clamp(0.0, 1.0)
    return stack.reshape(film.shape)


def _check_paths(paths: torch.Tensor) -> None:
    if paths.ndim != 3 or paths.shape[0] != len(Material):
        raise XRayTo3DError(
            f"Path images have the shape {tuple(paths.shape)}; expected ({len(Material)}, H, W)."
        )


# --- from path lengths to the detector -----------------------------------------------------------


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
    _check_paths(paths)
    if not spacing_mm > 0:
        raise XRayTo3DError(f"The pixel spacing is {spacing_mm:g} mm; it must be positive.")
    paths = paths.float()
    primary = _primary(_scaled_paths(paths, spacing_mm, settings, generator), settings)
    signal = primary + _scatter(primary, spacing_mm, settings)
    if settings.collimation is not None:
        # What is shut off still gets a little scatter from inside.
        signal = signal * (0.01 + 0.99 * _rectangle(primary, settings.collimation))
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
        body = (paths.sum(dim=0) > _AIR_MM).float()
        # 0 outside and at the skin, 1 well inside.
        inside = (2.0 * gaussian_blur(body, _TAPER_MM / spacing_mm) - 1.0).clamp_min(0.0) * body
        muscle = muscle + settings.added_muscle_mm * inside
    if settings.soft_tissue_unevenness:
        width = settings.soft_tissue_width_mm / spacing_mm
        field = settings.soft_tissue_unevenness * _smooth_field(muscle, width, generator)
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
    row, column = _unit_axes(image)
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
    if width >= _NARROWEST_BLUR:
        noise = gaussian_blur(noise, width)
        noise = noise / noise.std().clamp_min(1e-6)
    variance = torch.log1p(1.0 / (settings.exposure * spacing_mm**2 * signal))
    return signal * torch.exp(noise * torch.sqrt(variance) - 0.5 * variance)


# --- from the detector to the grey scale ---------------------------------------------------------


def _processed(signal: torch.Tensor, spacing_mm: float, settings: FilmSettings) -> torch.Tensor:
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


def _histogram_field(
    paths: torch.Tensor, exposed: torch.Tensor | None, settings: FilmSettings
) -> torch.Tensor:
    """Which pixels decide the window, ``(H, W)`` bool."""
    field = torch.ones_like(paths[0], dtype=torch.bool)
    if settings.window_without_air:
        field &= paths.sum(dim=0) > _AIR_MM
    if exposed is not None:
        field &= exposed > 0.5
    return field


def _windowed(film: torch.Tensor, field: torch.Tensor, settings: FilmSettings) -> torch.Tensor:
    """The window's quantiles of the field on 0 and 1."""
    stride = max(1, min(film.shape) // _QUANTILE_SIDE) if settings.window != (0.0, 1.0) else 1
    sample, inside = film[None, ::stride, ::stride], field[None, ::stride, ::stride]
    low, high = (value[0] for value in _masked_quantiles(sample, inside, settings.window))
    below, above = settings.window_margin
    extent = (high - low).clamp_min(1e-6)
    return (film - low + below * extent) / (extent * (1.0 + below + above))


def _toned(film: torch.Tensor, settings: FilmSettings) -> torch.Tensor:
    """Clipping to 0–1 and the tone curve."""
    film = film.clamp(0.0, 1.0)
    if settings.gamma == 1.0 and not settings.sigmoid_slope and not settings.curve:
        return film
    table = torch.as_tensor(tone_curve(settings)).to(film)
    position = film * (_TONE_NODES - 1)
    index = position.long().clamp_max(_TONE_NODES - 2)
    return torch.lerp(table[index], table[index + 1], position - index)


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


def _annotated(
    film: torch.Tensor, exposed: torch.Tensor | None, settings: FilmSettings
) -> torch.Tensor:
    """Marker, painted border, quantisation, inversion."""
    if settings.marker is not None:
        film = _lerp_to(film, settings.marker.grey, _marker_mask(film, settings.marker))
    border = settings.collimation
    if exposed is not None and border is not None and border.grey is not None:
        # Painted a little inwards, over the penumbra.
        film = _lerp_to(film, border.grey, ((1.0 - exposed) * 10.0).clamp_max(1.0))
    if settings.bits:
        levels = 2**settings.bits - 1
        film = torch.round(film * levels) / levels
    return 1.0 - film if settings.inverted else film


def _lerp_to(film: torch.Tensor, grey: float, mask: torch.Tensor) -> torch.Tensor:
    return film + (grey - film) * mask


# --- masks ---------------------------------------------------------------------------------------


def _exposed_field(film: torch.Tensor, collimation: Collimation | None) -> torch.Tensor | None:
    return None if collimation is None else _rectangle(film, collimation)


def _unit_axes(image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows ``(H, 1)`` and columns ``(1, W)``, from -1 at the first pixel to 1 at the last."""
    rows, columns = image.shape
    axis = {"device": image.device, "dtype": image.dtype}
    return (
        torch.linspace(-1.0, 1.0, rows, **axis)[:, None],
        torch.linspace(-1.0, 1.0, columns, **axis)[None, :],
    )


def _rectangle(image: torch.Tensor, collimation: Collimation) -> torch.Tensor:
    """1 inside the beam, 0 outside, over a penumbra of about 1 % of the picture."""
    top, bottom, left, right = collimation.margins
    row, column = _unit_axes(image)
    aspect = image.shape[1] / image.shape[0]
    cosine, sine = (f(math.radians(collimation.rotation)) for f in (math.cos, math.sin))
    across, down = cosine * aspect * column + sine * row, cosine * row - sine * aspect * column
    inside = torch.minimum(
        torch.minimum(down - (2 * top - 1), (1 - 2 * bottom) - down),
        torch.minimum(across - (2 * left - 1) * aspect, (1 - 2 * right) * aspect - across),
    )
    # The penumbra lies outside, so that a margin of 0 shades nothing.
    return (inside / 0.02 + 1.0).clamp(0.0, 1.0)


def _marker_mask(image: torch.Tensor, marker: Marker) -> torch.Tensor:
    """1 on the letters, 0 elsewhere."""
    unknown = set(marker.text) - set(_LETTERS)
    if unknown or not marker.text:
        raise XRayTo3DError(
            f"The marker {marker.text!r} cannot be drawn; use some of {''.join(_LETTERS)}."
        )
    rows = ["0".join(_LETTERS[c][k] for c in marker.text) for k in range(7)]
    bitmap = image.new_tensor([[float(bit) for bit in f"0{row}0"] for row in rows])
    bitmap = functional.pad(bitmap, (0, 0, 1, 1))
    height, width = image.shape
    row, column = _unit_axes(image)
    # In units of half the picture's height, so that letters keep their shape.
    down = row - (2 * marker.position[0] - 1)
    across = (column - (2 * marker.position[1] - 1)) * (width / height)
    cosine, sine = (f(math.radians(marker.rotation)) for f in (math.cos, math.sin))
    cell = marker.height / 7
    x = (cosine * across + sine * down) / (cell * bitmap.shape[1])
    y = (cosine * down - sine * across) / (cell * bitmap.shape[0])
    places = torch.stack([-x if marker.mirrored else x, y], dim=-1)
    letters = functional.grid_sample(bitmap[None, None], places[None], align_corners=False)[0, 0]
    # Interpolation thins the strokes; this gives them back their width.
    return (2.0 * letters).clamp_max(1.0)


# --- arithmetic ----------------------------------------------------------------------------------


def gaussian_blur(image: torch.Tensor, sigma: float) -> torch.Tensor:
    """Gaussian blur with repeated edges, at a cost that does not grow with its width.

    Wide kernels are applied to a reduced picture.

    Args:
        image: ``(H, W)`` float.
        sigma: standard deviation, pixels; below 0.2 it returns the picture as it is.
    """
    if sigma < _NARROWEST_BLUR:
        return image
    factor = max(1, min(int(sigma / 4.0), min(image.shape) // 8))
    if factor == 1:
        return _convolved(image, sigma)
    height, width = image.shape
    padding = (0, -width % factor, 0, -height % factor)
    padded = functional.pad(image[None, None], padding, mode="replicate")
    small = functional.avg_pool2d(padded, factor)[0, 0]
    # Averaging and interpolating blur too: the box by (f²-1)/12, the tent by about f²/6 pixels².
    rest = math.sqrt(max(sigma**2 - (factor**2 - 1) / 12 - factor**2 / 6, 0.25)) / factor
    small = _convolved(small, rest)
    size = [padded.shape[-2], padded.shape[-1]]
    large = functional.interpolate(small[None, None], size, mode="bilinear", align_corners=False)
    return large[0, 0, :height, :width]


def _convolved(image: torch.Tensor, sigma: float) -> torch.Tensor:
    radius = math.ceil(3.5 * sigma)
    offsets = torch.arange(-radius, radius + 1, device=image.device, dtype=image.dtype)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = kernel / kernel.sum()
    padded = functional.pad(image[None, None], (radius,) * 4, mode="replicate")
    rows = functional.conv2d(padded, kernel.reshape(1, 1, -1, 1))
    return functional.conv2d(rows, kernel.reshape(1, 1, 1, -1))[0, 0]


def _normal(image: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
    return torch.randn(image.shape, generator=generator, device=image.device, dtype=image.dtype)


def _smooth_field(
    image: torch.Tensor, width_px: float, generator: torch.Generator | None
) -> torch.Tensor:
    """Gaussian random field of unit variance, correlated over ``width_px`` pixels, ``(H, W)``."""
    height, width = image.shape
    # White noise on a lattice of that width, smoothly interpolated: cheap at any size.
    lattice = [max(2, math.ceil(n / max(width_px, 1.0))) + 3 for n in (height, width)]
    coarse = torch.randn(lattice, generator=generator, device=image.device, dtype=image.dtype)
    field = functional.interpolate(
        coarse[None, None],
        [math.ceil(n * c / (c - 3)) for n, c in zip((height, width), lattice, strict=True)],
        mode="bicubic",
        align_corners=False,
    )[0, 0]
    top, left = (
        (have - want) // 2 for have, want in zip(field.shape, (height, width), strict=True)
    )
    # Interpolation between lattice points averages independent numbers.
    return field[top : top + height, left : left + width] * 1.4


def _varied(sample: torch.Tensor) -> torch.Tensor:
    """Which pixels of ``(B, h, w)`` do not belong to a flat area or its blurred rim, bool."""
    stack = sample[:, None]
    extent = stack.amax(dim=(2, 3), keepdim=True) - stack.amin(dim=(2, 3), keepdim=True)
    highest = functional.max_pool2d(stack, 3, stride=1, padding=1)
    lowest = -functional.max_pool2d(-stack, 3, stride=1, padding=1)
    core = (highest - lowest <= _FLAT * extent).float()
    return functional.max_pool2d(core, 5, stride=1, padding=2)[:, 0] == 0


def _masked_quantiles(
    sample: torch.Tensor, mask: torch.Tensor, quantiles: tuple[float, float]
) -> list[torch.Tensor]:
    """Quantiles ``(B,)`` of ``sample`` ``(B, h, w)`` where ``mask``; all pixels if too few are."""
    mask = mask | (mask.float().mean(dim=(1, 2), keepdim=True) < 0.02)
    values = torch.where(mask, sample, torch.inf).flatten(1).sort(dim=1).values
    last = mask.sum(dim=(1, 2)) - 1
    return [values.gather(1, torch.round(q * last).long()[:, None])[:, 0] for q in quantiles]
