"""A film tied to a volume: its tone curve, its shading, and how well the volume explains it.

Beyond the volume's ends the leg is taken to go on as it ends.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from skimage.metrics import structural_similarity
from torch import Tensor

from XRayTo3DLib.imaging.blur import gaussian_blur
from XRayTo3DLib.imaging.geometry import ViewGeometry
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.projector import project
from XRayTo3DLib.reconstruction.losses import ngcc
from XRayTo3DLib.tomography.consistency import MeasuredView
from XRayTo3DLib.tomography.film_sampling import film_on, without_white_edge
from XRayTo3DLib.tomography.leg_ends import continued
from XRayTo3DLib.tomography.tone_fit import ToneCurve, fit_tone

DETECTOR_SIZE = 256
DETECTOR_SPACING = 0.8
"""Pixels a side, and mm between them at the isocentre, of the detector on which films and volumes
are compared."""

SHADING_MM = 25.0
"""Width at the isocentre of what no tone curve explains: scatter, dynamic range compression, the
heel effect. What is wider comes from the network, what is narrower from the film."""


@dataclass(frozen=True)
class Agreement:
    """How like the film the re-projection is, over the pixels of the film.

    Attributes:
        psnr: peak signal-to-noise ratio over the film's range of greys, dB.
        ssim: structural similarity (Wang et al. 2004), at most 1.
        ngcc: normalised gradient cross-correlation, −1 to 1.
    """

    psnr: float
    ssim: float
    ngcc: float


@dataclass(frozen=True)
class FilmFit:
    """What is known of a film once a volume is there to compare it with.

    Attributes:
        detector: on which all the pictures lie.
        greys: ``(rows, columns)`` float32, the film.
        known: ``(rows, columns)`` bool, what of that lies on the film and is no white edge.
        tone: its greys and line integrals.
        shading: ``(rows, columns)`` float32, line integral that the volume has more than the tone
            curve gives, smooth.
    """

    detector: ViewGeometry
    greys: Tensor
    known: Tensor
    tone: ToneCurve
    shading: Tensor

    @property
    def measured(self) -> MeasuredView:
        """The film as line integrals."""
        integrals = torch.from_numpy(self.tone.integral_of(self.greys.numpy())) + self.shading
        return MeasuredView(self.detector, integrals.clamp_min(0.0), self.known)

    def film_of(self, volume: Tensor, grid: VolumeGrid) -> Tensor:
        """The volume as this film would show it, ``(rows, columns)``."""
        integrals = project(*continued(volume, grid), self.detector) - self.shading
        return torch.from_numpy(self.tone.grey_of(integrals.numpy()))

    def agreement(self, volume: Tensor, grid: VolumeGrid) -> Agreement:
        """How well the volume explains the film."""
        return compare_films(self.film_of(volume, grid), self.greys, self.known)


def fit_film(
    pixels: np.ndarray,
    view: ViewGeometry,
    volume: Tensor,
    grid: VolumeGrid,
    shading_mm: float = SHADING_MM,
) -> FilmFit:
    """Find tone curve and shading of a film.

    Args:
        pixels: ``(rows, columns)``, more attenuation brighter.
        view: where they were taken.
        volume: ``(z, y, x)`` an estimate of the leg, 1/mm.
        grid: of the volume.
        shading_mm: width of the shading; infinite for none.
    """
    detector = view.resampled(DETECTOR_SPACING, DETECTOR_SIZE)
    greys, known = film_on(pixels, view, detector)
    known = without_white_edge(greys, known)
    with torch.no_grad():
        projected = project(*continued(volume, grid), detector)
    tone = fit_tone(greys[known].numpy(), projected[known].numpy())
    rest = projected - torch.from_numpy(tone.integral_of(greys.numpy()))
    shading = torch.zeros_like(rest)
    if np.isfinite(shading_mm):
        shading = _smooth(rest, known, shading_mm / DETECTOR_SPACING)
    return FilmFit(detector, greys, known, tone, shading)


def _smooth(image: Tensor, known: Tensor, width: float) -> Tensor:
    """Gaussian mean of the known pixels."""
    share = known.to(image)
    return gaussian_blur(image * share, width) / gaussian_blur(share, width).clamp_min(1e-3)


def compare_films(found: Tensor, film: Tensor, known: Tensor | None = None) -> Agreement:
    """PSNR, SSIM and NGCC of two pictures over the known pixels.

    Args:
        found: ``(rows, columns)``.
        film: ``(rows, columns)``, the one whose range of greys counts.
        known: ``(rows, columns)`` bool; all by default.
    """
    known = torch.ones_like(film, dtype=torch.bool) if known is None else known
    values = film[known]
    extent = max(float(values.max() - values.min()), 1e-6)
    error = float((found - film)[known].square().mean())
    rows, columns = (torch.nonzero(known.any(dim=axis)).squeeze(1) for axis in (1, 0))
    box = np.s_[int(rows[0]) : int(rows[-1]) + 1, int(columns[0]) : int(columns[-1]) + 1]
    found, film = found[box], film[box]
    return Agreement(
        psnr=float(10.0 * np.log10(extent**2 / max(error, 1e-12))),
        ssim=float(structural_similarity(found.numpy(), film.numpy(), data_range=extent)),
        ngcc=float(ngcc(found, film)),
    )
