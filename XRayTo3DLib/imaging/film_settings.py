"""All that turns path lengths into a film, as parameters."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.collimation import Collimation
from XRayTo3DLib.imaging.film_randomisation import random_values
from XRayTo3DLib.imaging.lead_marker import Marker

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
        return cls(**random_values(rng, strength))
