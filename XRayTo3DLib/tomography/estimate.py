"""One radiograph in, or two; the density of the leg out.

After P. Henzler, V. Rasche, T. Ropinski and T. Ritschel, Single-image Tomography: 3D Volumes from
2D Cranial X-Rays, Computer Graphics Forum 37(2):377–388, 2018: a network estimates a coarse volume,
into which the detail of the film is then fused.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.centres import Centres, Pixel, stated_centres
from XRayTo3DLib.imaging.geometry import ViewGeometry, film_geometry, geometry_of
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.pair import check_pair
from XRayTo3DLib.imaging.projector import projection_matrices
from XRayTo3DLib.imaging.radiograph import Radiograph, Side, View
from XRayTo3DLib.progress import Progress, silent
from XRayTo3DLib.reconstruction.centring import find_centres
from XRayTo3DLib.reconstruction.standard_film import standard_film
from XRayTo3DLib.reconstruction.weights import load_model
from XRayTo3DLib.tomography.density import DensityVolume
from XRayTo3DLib.tomography.density_network import WATER
from XRayTo3DLib.tomography.density_result import DensityResult, ExplainedFilm
from XRayTo3DLib.tomography.density_weights import DensityModel, load_density_model
from XRayTo3DLib.tomography.film_fit import FilmFit, compare_films
from XRayTo3DLib.tomography.fine_density import FINE_GRID, FineDensity, fine_density

_FRONTAL, _LATERAL = 0, 1
_UNEXPLAINED = 0.5
"""Gradient correlation of film and re-projection below which something is wrong."""


def estimate_density(
    films: Sequence[Radiograph],
    geometry: Sequence[ViewGeometry] | None = None,
    *,
    angle: float = 90.0,
    centres: Sequence[Pixel | None] | None = None,
    find_joint: bool = True,
    rounds: int = 3,
    grid: VolumeGrid = FINE_GRID,
    weights: str | Path | None = None,
    device: str | torch.device = "cpu",
    progress: Progress = silent,
) -> DensityResult:
    """Estimate what a CT of the leg would measure.

    Args:
        films: one, frontal or lateral, or both of one knee, in either order.
        geometry: where they were taken, in the order of ``films``; what they state by default.
        angle: degrees between the two views, where ``geometry`` is left out.
        centres: pixel (row, column) of the middle of the joint on each film, in their order; where
            left out, the middle of the film or where the joint is found.
        find_joint: whether the joint is looked for on two films, see
            :func:`XRayTo3DLib.reconstruction.centring.find_centres`. On one film it is not.
        rounds: of the fusion with the films' detail; 0 gives the network's volume as it is.
        grid: where the result lies; its x must be centred on the isocentre, as left and right are
            exchanged about it.
        weights: a weights file; those shipped by default.
        device: where the network runs.
        progress: told of every stage; may raise to cancel.

    Raises:
        XRayTo3DError: bad input, said in one sentence.
    """
    films, geometry, centres = _in_order(films, geometry, centres)
    clock = _Clock(progress)
    model = load_density_model(weights)
    clock.passed("Loading the network")
    found: tuple[str, ...] = ()
    if geometry is None:
        geometry, found = _geometry(films, angle, centres, find_joint)
    clock.passed("Finding the joint")
    seen = [_as_right_knee(film, view) for film, view in zip(films, geometry, strict=True)]
    slots = [_slot(film) for film in films]
    mean, deviation = coarse_density(model, seen, slots, torch.device(device))
    clock.passed("Network")
    fine = fine_density(mean, deviation, model.network.settings.grid, seen, rounds, grid)
    shown = tuple(
        _explained(film, view, fit, fine)
        for film, view, fit in zip(films, geometry, fine.fits, strict=True)
    )
    clock.passed("Films' detail")
    side = films[0].side.value
    density = DensityVolume(_on_side(fine.attenuation, side), grid, _on_side(fine.deviation, side))
    warnings = (*found, *(line for each in shown for line in _doubts(each)))
    return DensityResult(density, side, shown, model.identity, clock.seconds, warnings)


@torch.no_grad()
def coarse_density(
    model: DensityModel,
    films: Sequence[tuple[np.ndarray, ViewGeometry]],
    slots: Sequence[int],
    device: torch.device,
) -> tuple[Tensor, Tensor]:
    """What the network makes of films of a right knee.

    Args:
        model: with the network.
        films: pixels ``(rows, columns)``, bone bright, and where they were taken.
        slots: 0 for each frontal film, 1 for each lateral.
        device: where to compute.

    Returns:
        attenuation and its standard deviation, 1/mm, ``(z, y, x)`` each on the network's grid.
    """
    size, spacing = model.network.settings.film_size, model.network.settings.film_spacing
    pictures = torch.zeros(1, 2, size, size)
    present = torch.zeros(1, 2)
    detectors = [view.resampled(spacing, size) for _, view in films]
    # A film that is not there has a projection too, of which nothing is used.
    matrices = torch.from_numpy(projection_matrices((detectors[0], detectors[0])))[None]
    for (pixels, view), detector, slot in zip(films, detectors, slots, strict=True):
        pictures[0, slot] = standard_film(pixels, view, spacing, size)
        matrices[0, slot] = torch.from_numpy(projection_matrices((detector,)))[0]
        present[0, slot] = 1.0
    network = model.network.to(device)
    mean, logarithm = network(pictures.to(device), matrices.to(device), present.to(device))
    return WATER * mean[0].clamp_min(0.0).cpu(), WATER * (0.5 * logarithm[0]).exp().cpu()


class _Clock:
    """Tells the progress of each stage and keeps how long it took."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._since = progress, time.perf_counter()
        self.seconds: dict[str, float] = {}

    def passed(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage.lower()] = now - self._since
        self._since = now
        self._progress(stage, 1.0)


def _in_order(
    films: Sequence[Radiograph],
    geometry: Sequence[ViewGeometry] | None,
    centres: Sequence[Pixel | None] | None,
) -> tuple[list[Radiograph], list[ViewGeometry] | None, list[Pixel | None]]:
    """Frontal before lateral; refuses what is not one film of a knee or two views of it."""
    if len(films) not in (1, 2):
        raise XRayTo3DError(f"Density is estimated from one film or two, not {len(films)}.")
    order = sorted(range(len(films)), key=lambda number: _slot(films[number]))
    chosen = [films[number] for number in order]
    if len(chosen) == 2:
        if _slot(chosen[0]) == _slot(chosen[1]):
            view = chosen[0].view.value.value
            raise XRayTo3DError(
                f"Both films are {view} films; give one frontal and one lateral, or one alone."
            )
        for sentence in check_pair(chosen[0], chosen[1]):
            chosen[0] = chosen[0].with_warning(sentence)
    centres = [None] * len(films) if centres is None else centres
    return (
        chosen,
        None if geometry is None else [geometry[number] for number in order],
        [centres[number] for number in order],
    )


def _slot(film: Radiograph) -> int:
    return _LATERAL if film.view.value is View.LATERAL else _FRONTAL


def _geometry(
    films: Sequence[Radiograph],
    angle: float,
    centres: Sequence[Pixel | None],
    find_joint: bool,
) -> tuple[list[ViewGeometry], tuple[str, ...]]:
    """What the films state, and sentences on what was found."""
    if len(films) == 1:
        return [film_geometry(films[0], 0.0, centres[0])], ()
    frontal, lateral = films
    stated = stated_centres(frontal, lateral, *centres)
    geometry = geometry_of(frontal, lateral, angle=angle, **_pixels(stated))
    if find_joint:
        stated = find_centres(load_model(), frontal, lateral, geometry, stated)
        geometry = geometry_of(frontal, lateral, angle=angle, **_pixels(stated))
    return list(geometry.views), stated.warnings


def _pixels(centres: Centres) -> dict[str, Pixel]:
    return {"ap_centre": centres.frontal.value, "lateral_centre": centres.lateral.value}


def _as_right_knee(film: Radiograph, view: ViewGeometry) -> tuple[np.ndarray, ViewGeometry]:
    """A left knee is turned into a right one here: film and geometry are mirrored alike."""
    if film.side.value is Side.RIGHT:
        return film.pixels, view
    return film.pixels[:, ::-1], view.mirrored().flipped_columns()


def _explained(
    film: Radiograph, view: ViewGeometry, fit: FilmFit, fine: FineDensity
) -> ExplainedFilm:
    again = fit.film_of(fine.attenuation, fine.grid)
    return ExplainedFilm(film, view, fit, again, compare_films(again, fit.greys, fit.known))


def _on_side(volume: Tensor, side: Side) -> np.ndarray:
    """The volume of a right knee as that of the patient's own; the grid is symmetric."""
    array = volume.numpy()
    return np.ascontiguousarray(array[..., ::-1] if side is Side.LEFT else array)


def _doubts(shown: ExplainedFilm) -> list[str]:
    if shown.agreement.ngcc >= _UNEXPLAINED:
        return []
    name = "lateral" if _slot(shown.film) == _LATERAL else "frontal"
    return [
        f"The density explains the {name} film badly (gradient correlation "
        f"{shown.agreement.ngcc:.2f}); check side, view, polarity and the middle of the joint."
    ]
