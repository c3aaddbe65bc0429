"""From what the rays crossed to a film as a radiographer sees it.

Every step is a parameter of :class:`FilmSettings`, so that training can vary all of them: beam,
soft tissue, scatter, blur, noise, tone, the maker's post-processing, shutters and markers.
"""

from __future__ import annotations

import torch

from XRayTo3DLib.imaging.collimation import exposed_field
from XRayTo3DLib.imaging.detector_signal import detector_signal
from XRayTo3DLib.imaging.film_processing import histogram_field, processed, windowed
from XRayTo3DLib.imaging.film_settings import FilmSettings
from XRayTo3DLib.imaging.lead_marker import marker_mask
from XRayTo3DLib.imaging.random_field import smooth_field
from XRayTo3DLib.imaging.tone import toned


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
    film = processed(signal, spacing_mm, settings)
    exposed = exposed_field(film, settings.collimation)
    film = windowed(film, histogram_field(paths, exposed, settings), settings)
    if settings.background_unevenness:
        field = smooth_field(film, 0.25 * max(film.shape), generator)
        film = film + settings.background_unevenness * field
    film = toned(film, settings)
    return _annotated(film, exposed, settings)


def _annotated(
    film: torch.Tensor, exposed: torch.Tensor | None, settings: FilmSettings
) -> torch.Tensor:
    """Marker, painted border, quantisation, inversion."""
    if settings.marker is not None:
        film = _lerp_to(film, settings.marker.grey, marker_mask(film, settings.marker))
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
