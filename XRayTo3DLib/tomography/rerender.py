"""Radiographs of a density volume, as from any tube, detector and maker.

After P. Henzler, V. Rasche, T. Ropinski and T. Ritschel, Single-image Tomography: 3D Volumes from
2D Cranial X-Rays, Computer Graphics Forum 37(2):377–388, 2018, section on applications.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.detector_signal import detector_signal
from XRayTo3DLib.imaging.drr import AIR_MM
from XRayTo3DLib.imaging.film_processing import processed
from XRayTo3DLib.imaging.film_settings import FilmSettings
from XRayTo3DLib.imaging.geometry import ViewGeometry
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.materials import Material
from XRayTo3DLib.imaging.projector import line_integrals
from XRayTo3DLib.imaging.tone import toned
from XRayTo3DLib.tomography.composition import COMPONENTS, composition
from XRayTo3DLib.tomography.density import DensityVolume

LIVE_VOXEL = 2.0
"""mm: voxels no finer than this give 256² pictures at the rate of a hand on a slider."""

_HAZE = 0.02
"""Share of fat (-980 HU) below which the outer voxels of a coarser volume are left out as air."""

_WINDOW_PERCENT = (1.0, 99.8)
_NARROWEST_WINDOW = 1e-3


@dataclass(frozen=True)
class Window:
    """What is shown from black to white, in -ln of the detector's signal (open field 0).

    Attributes:
        level: its middle.
        width: from black to white.
    """

    level: float
    width: float

    def __post_init__(self) -> None:
        """Refuse a window through which nothing is seen."""
        if not (np.isfinite(self.level) and 0 < self.width < np.inf):
            raise XRayTo3DError(
                f"A window of width {self.width:g} at level {self.level:g} shows nothing; give a "
                "positive --width."
            )

    def __call__(self, values: Tensor) -> Tensor:
        """The window on 0–1, not clipped."""
        return (values - self.level) / self.width + 0.5


class Renderer:
    """Makes pictures of one volume; what is the same for all is done once.

    Args:
        volume: attenuation, RAS.
        voxel: mm; a finer volume is averaged to voxels of at least this edge. :data:`LIVE_VOXEL`
            makes it fit for live use, 0 keeps every detail.
    """

    def __init__(self, volume: DensityVolume, voxel: float = 0.0) -> None:
        shares = torch.from_numpy(composition(volume))
        coarser, grid = _coarser(shares, volume.grid, voxel)
        self._shares, self.grid = _cropped(coarser, grid, _HAZE if voxel else 0.0)

    @torch.inference_mode()
    def paths(self, view: ViewGeometry) -> Tensor:
        """mm of each :class:`Material` along every ray, ``(4, rows, columns)`` float32."""
        pixels = view.pixel_positions().reshape(-1, 3)
        met = torch.from_numpy(_meets(self.grid, view.source, pixels))
        ends = torch.from_numpy(pixels.astype(np.float32))[met]
        start = torch.from_numpy(view.source.astype(np.float32)).expand_as(ends)
        lengths = self._shares.new_zeros((len(Material), len(pixels)))
        for component, values in zip(
            COMPONENTS, line_integrals(self._shares, self.grid, start, ends), strict=True
        ):
            lengths[component, met] = values
        return lengths.reshape(len(Material), *view.shape)

    def film(
        self,
        view: ViewGeometry,
        settings: FilmSettings,
        window: Window | None = None,
        *,
        seed: int = 0,
    ) -> np.ndarray:
        """The radiograph from a viewpoint.

        Args:
            view: source and detector.
            settings: beam, detector and tone. Their window counts in quantiles of each picture, so
                that pictures of a series would flicker; ``window`` stands in its place.
            window: what is shown; that of :meth:`window` for this view by default.
            seed: of the noise.

        Returns:
            ``(rows, columns)`` float32, 0–1; bone bright unless ``settings.inverted``.
        """
        return film_of(self.paths(view), _pitch(view), settings, window, seed=seed)

    def window(self, view: ViewGeometry, settings: FilmSettings) -> Window:
        """The window that shows all of the leg in a view, and no noise of the air."""
        return window_of(self.paths(view), _pitch(view), settings)


@torch.inference_mode()
def film_of(
    paths: Tensor,
    spacing_mm: float,
    settings: FilmSettings,
    window: Window | None = None,
    *,
    seed: int = 0,
) -> np.ndarray:
    """The radiograph of path lengths; arguments as :meth:`Renderer.film`.

    Args:
        paths: ``(4, rows, columns)`` mm of each :class:`Material`.
        spacing_mm: mm between pixels, in the plane in which the settings' widths count.
        settings: beam, detector and tone.
        window: what is shown; that of :func:`window_of` by default.
        seed: of the noise.
    """
    generator = torch.Generator().manual_seed(seed)
    values = processed(
        detector_signal(paths, spacing_mm, settings, generator), spacing_mm, settings
    )
    window = window or window_of(paths, spacing_mm, settings)
    film = toned(window(values), settings)
    return (1.0 - film if settings.inverted else film).numpy()


@torch.inference_mode()
def window_of(paths: Tensor, spacing_mm: float, settings: FilmSettings) -> Window:
    """The window between quantiles of what rays through the leg leave, free of noise."""
    quiet = replace(settings, exposure=float("inf"))
    values = processed(detector_signal(paths, spacing_mm, quiet), spacing_mm, quiet)
    through = values[paths.sum(dim=0) > AIR_MM]
    if through.numel() == 0:
        raise XRayTo3DError("No ray meets the leg; check the viewpoint and the detector.")
    low, high = np.percentile(through.numpy(), _WINDOW_PERCENT)
    return Window(float(low + high) / 2.0, max(float(high - low), _NARROWEST_WINDOW))


def _pitch(view: ViewGeometry) -> float:
    """mm between pixels at the detector, where photons are counted and the picture is blurred."""
    rows, columns = view.spacing
    return float(np.sqrt(rows * columns))


def _coarser(volume: Tensor, grid: VolumeGrid, voxel: float) -> tuple[Tensor, VolumeGrid]:
    """Means over blocks of voxels, zeros beyond the edge."""
    factor = int(np.ceil(voxel / grid.spacing - 1e-6))
    if factor <= 1:
        return volume, grid
    missing = [-size % factor for size in grid.shape]
    padded = functional.pad(volume[None], [0, missing[2], 0, missing[1], 0, missing[0]])
    pooled = functional.avg_pool3d(padded, factor)[0]
    # The first block begins where the grid does; padding has moved the middle towards the end.
    shift = 0.5 * grid.spacing * np.array(missing[::-1])
    x, y, z = (float(value) for value in np.asarray(grid.centre) + shift)
    shape = (int(pooled.shape[1]), int(pooled.shape[2]), int(pooled.shape[3]))
    return pooled, VolumeGrid(shape, factor * grid.spacing, (x, y, z))


def _cropped(volume: Tensor, grid: VolumeGrid, least: float) -> tuple[Tensor, VolumeGrid]:
    """The box that holds all of more than ``least`` in sum, and a voxel of air around it."""
    filled = (volume.sum(dim=0) > least).numpy()
    if not filled.any():
        raise XRayTo3DError("The density volume holds nothing but air; give another.")
    box = []
    for others in ((1, 2), (0, 2), (0, 1)):
        inside = np.flatnonzero(filled.any(axis=others))
        box.append((max(int(inside[0]) - 1, 0), int(inside[-1]) + 2))
    (z0, z1), (y0, y1), (x0, x1) = box
    part = volume[:, z0:z1, y0:y1, x0:x1].contiguous()
    shape = (int(part.shape[1]), int(part.shape[2]), int(part.shape[3]))
    middle = grid.to_ras(np.array([z0, y0, x0]) + (np.array(shape) - 1) / 2.0)
    return part, VolumeGrid(
        shape, grid.spacing, (float(middle[0]), float(middle[1]), float(middle[2]))
    )


def _meets(grid: VolumeGrid, source: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Which segments from the source pass within a voxel of a grid, bool ``(R,)``.

    The slab method: T. L. Kay and J. T. Kajiya, Ray Tracing Complex Scenes, SIGGRAPH 1986.
    """
    half = 0.5 * grid.spacing * (np.array(grid.shape[::-1]) + 1.0)
    with np.errstate(divide="ignore"):
        inverse = 1.0 / (ends - source)
    # A ray within a face's plane gives 0 · inf: it counts as met.
    with np.errstate(invalid="ignore"):
        low, high = ((grid.centre - source + side * half) * inverse for side in (-1.0, 1.0))
    enter = np.nan_to_num(np.minimum(low, high), nan=-np.inf).max(axis=1)
    leave = np.nan_to_num(np.maximum(low, high), nan=np.inf).min(axis=1)
    return (enter <= leave) & (leave >= 0.0) & (enter <= 1.0)
