"""Random parameters of a film from anywhere: machine, leg, maker's taste."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from XRayTo3DLib.imaging.collimation import Collimation
from XRayTo3DLib.imaging.lead_marker import Marker


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


def random_values(rng: np.random.Generator, strength: float) -> dict[str, Any]:
    """Values for the fields of ``FilmSettings`` by name; those not named keep their default.

    Args:
        rng: the only source of chance.
        strength: 0 gives a clean film of average settings, 1 the full range.
    """
    draw = _Draw(rng, strength)
    return {
        **_random_beam(draw),
        **_random_tissue(draw),
        **_random_detector(draw),
        **_random_processing(draw),
        "collimation": _random_collimation(draw) if draw.chance(0.3) else None,
        "marker": _random_marker(draw) if draw.chance(0.4) else None,
    }


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
