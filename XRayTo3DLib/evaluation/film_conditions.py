"""What goes wrong with the picture of a film, in stated sizes: exposure, noise, tone, cuts, lead.

The simulators' films are finished pictures, 0 to 1, bone bright, as a program finds them in a file:
beam, processing and window are past. Only exposure wants the signal before these; it is brought
back by the stated assumption of :func:`exposed`. All else is what happens to finished pictures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO

import numpy as np
import torch
from PIL import Image
from scipy import ndimage
from torch.nn import functional

from XRayTo3DLib.imaging.blur import gaussian_blur
from XRayTo3DLib.imaging.collimation import Collimation, exposure_mask
from XRayTo3DLib.imaging.film_settings import FilmSettings
from XRayTo3DLib.imaging.lead_marker import Marker, marker_mask
from XRayTo3DLib.imaging.radiograph import Radiograph
from XRayTo3DLib.imaging.tone import toned

Degradation = Callable[[Radiograph, np.random.Generator], Radiograph]
"""Makes a film worse; the generator is the only source of chance."""

LATITUDE_STOPS = 6.0
"""Doublings of the detector's signal between black and white of a film: from skin to dense bone.
Six are e⁻⁴, what 20 cm of water let through at 60 keV."""

_QUANTA = 6e4
"""X-ray quanta per mm² of the detector in the open beam, at the right exposure."""


def unchanged(film: Radiograph, rng: np.random.Generator) -> Radiograph:
    """The film as it is."""
    return film


def exposed(stops: float) -> Degradation:
    """A film exposed too much or too little, whose window does not follow, as on real film.

    The grey is read as the logarithm of the detector's signal, linear over
    :data:`LATITUDE_STOPS`, which is what the straight part of a characteristic curve makes of it:
    each stop moves all greys by 1/6 of the range, and what leaves the range is lost. Too little
    exposure also has fewer quanta: the noise that is added makes up the difference to a right
    exposure of 6·10⁴ quanta per mm² in the open beam.

    Args:
        stops: doublings of the exposure; negative for too little.
    """

    def degrade(film: Radiograph, rng: np.random.Generator) -> Radiograph:
        pixels = film.pixels.astype(float)
        if stops < 0:
            area = float(np.prod(film.spacing.value))
            counted = _QUANTA * area * 2.0 ** (-LATITUDE_STOPS * pixels)
            deviation = np.sqrt((2.0**-stops - 1.0) / counted) / np.log(2.0) / LATITUDE_STOPS
            pixels = pixels + deviation * rng.standard_normal(pixels.shape)
        return _with_pixels(film, np.clip(pixels - stops / LATITUDE_STOPS, 0.0, 1.0))

    return degrade


def noisy(share: float) -> Degradation:
    """White noise of a standard deviation, as a share of the film's range."""

    def degrade(film: Radiograph, rng: np.random.Generator) -> Radiograph:
        deviation = share * np.ptp(film.pixels)
        return _with_pixels(film, film.pixels + rng.normal(0.0, deviation, film.pixels.shape))

    return degrade


def blurred(width: float) -> Degradation:
    """Gaussian blur of a standard deviation in mm at the detector, as when the patient moves."""

    def degrade(film: Radiograph, rng: np.random.Generator) -> Radiograph:
        step = float(np.mean(film.spacing.value))
        return _with_pixels(film, gaussian_blur(_tensor(film), width / step).numpy())

    return degrade


def toned_by(settings: FilmSettings) -> Degradation:
    """A further tone curve over the film's own: gamma, sigmoid or free curve of the settings."""

    def degrade(film: Radiograph, rng: np.random.Generator) -> Radiograph:
        return _with_pixels(film, toned(_tensor(film), settings).numpy())

    return degrade


def inverted(film: Radiograph, rng: np.random.Generator) -> Radiograph:
    """Bone dark, though the header says that it is bright."""
    return _with_pixels(film, film.pixels.max() + film.pixels.min() - film.pixels)


def quantised(bits: int) -> Degradation:
    """Greys rounded to the levels that a number of bits has."""

    def degrade(film: Radiograph, rng: np.random.Generator) -> Radiograph:
        levels = 2**bits - 1
        return _with_pixels(film, np.round(np.clip(film.pixels, 0, 1) * levels) / levels)

    return degrade


def compressed(quality: int) -> Degradation:
    """The film as a JPEG file of 8 bits keeps it, with Pillow's scale of quality, 1–95."""

    def degrade(film: Radiograph, rng: np.random.Generator) -> Radiograph:
        greys = np.round(np.clip(film.pixels, 0, 1) * 255).astype(np.uint8)
        file = BytesIO()
        Image.fromarray(greys).save(file, "JPEG", quality=quality)
        with Image.open(file) as picture:
            return _with_pixels(film, np.asarray(picture) / 255.0)

    return degrade


def resampled(factor: float) -> Degradation:
    """The same film in other pixels, which its header states; ``factor`` 0.5 makes them larger.

    Fewer pixels are means over the area of each, more are interpolated linearly.
    """

    def degrade(film: Radiograph, rng: np.random.Generator) -> Radiograph:
        shape = [round(size * factor) for size in film.pixels.shape]
        mode = "area" if factor < 1 else "bilinear"
        pixels = functional.interpolate(_tensor(film)[None, None], shape, mode=mode)[0, 0].numpy()
        row, column = (
            step * old / new
            for step, old, new in zip(film.spacing.value, film.pixels.shape, shape, strict=True)
        )
        return replace(
            _with_pixels(film, pixels), spacing=replace(film.spacing, value=(row, column))
        )

    return degrade


def turned(degrees: float) -> Degradation:
    """The film lay askew: the picture is turned about its middle, counter-clockwise as seen.

    The corners that come in are as dark as the film's darkest pixel.
    """

    def degrade(film: Radiograph, rng: np.random.Generator) -> Radiograph:
        darkest = float(film.pixels.min())
        # SciPy turns rows to columns, which run downwards: its positive sense is this one.
        pixels = ndimage.rotate(film.pixels, degrees, reshape=False, order=1, cval=darkest)
        return _with_pixels(film, pixels)

    return degrade


def cut(top: float, bottom: float, left: float, right: float) -> Degradation:
    """Shares of the picture cut away at its sides; its middle is no longer the joint's."""

    def degrade(film: Radiograph, rng: np.random.Generator) -> Radiograph:
        rows, columns = film.pixels.shape
        kept = film.pixels[
            round(top * rows) : rows - round(bottom * rows),
            round(left * columns) : columns - round(right * columns),
        ]
        return _with_pixels(film, np.ascontiguousarray(kept))

    return degrade


def collimated(collimation: Collimation) -> Degradation:
    """Shutters painted over the picture in the collimation's grey (white where it is None)."""
    grey = 1.0 if collimation.grey is None else collimation.grey

    def degrade(film: Radiograph, rng: np.random.Generator) -> Radiograph:
        return _painted(film, 1.0 - exposure_mask(_tensor(film), collimation), grey)

    return degrade


def marked(count: int = 2, height: float = 0.06) -> Degradation:
    """White lead letters beside the knee and over it: anywhere on the picture, any way round.

    Args:
        count: markers.
        height: of a letter, as a share of the picture's.
    """

    def degrade(film: Radiograph, rng: np.random.Generator) -> Radiograph:
        for text in rng.choice(["R", "L", "DX", "SX", "R77"], count):
            row, column = (float(place) for place in rng.uniform(0.1, 0.9, 2))
            marker = Marker(
                str(text),
                (row, column),
                height,
                rotation=float(rng.uniform(-30, 30)),
                mirrored=bool(rng.integers(2)),
            )
            film = _painted(film, marker_mask(_tensor(film), marker), marker.grey)
        return film

    return degrade


def _painted(film: Radiograph, mask: torch.Tensor, grey: float) -> Radiograph:
    """Paint a grey, 0 to 1 of the film's range, where the mask is 1."""
    low, high = float(film.pixels.min()), float(film.pixels.max())
    target = low + grey * (high - low)
    return _with_pixels(film, film.pixels + (target - film.pixels) * mask.numpy())


def _tensor(film: Radiograph) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(film.pixels, dtype=np.float32))


def _with_pixels(film: Radiograph, pixels: np.ndarray) -> Radiograph:
    return replace(film, pixels=pixels.astype(np.float32))
