"""Density from films of people held out, beside what simpler methods make of the same films."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from XRayTo3DLib.anatomy.generator import KneeGenerator, KneeVariation
from XRayTo3DLib.anatomy.knee import Knee
from XRayTo3DLib.anatomy.tissue import Tissues, extended, make_tissues, material_paths
from XRayTo3DLib.evaluation.density_baselines import NearestLeg, smeared
from XRayTo3DLib.evaluation.density_scores import (
    DensityScores,
    Truth,
    view_errors,
    volume_errors,
)
from XRayTo3DLib.evaluation.filming import Simulator, filming_geometry
from XRayTo3DLib.evaluation.gvxr_film import gvxr_film
from XRayTo3DLib.evaluation.tables import Spread
from XRayTo3DLib.imaging.film import simulate_film
from XRayTo3DLib.imaging.film_settings import FilmSettings
from XRayTo3DLib.imaging.geometry import BiplanarGeometry, ViewGeometry
from XRayTo3DLib.reconstruction.lifting import voxel_centres
from XRayTo3DLib.reconstruction.standard_film import standard_film
from XRayTo3DLib.tomography.density import DENSITY_GRID
from XRayTo3DLib.tomography.density_network import WATER
from XRayTo3DLib.tomography.density_weights import DensityModel, load_density_model
from XRayTo3DLib.tomography.estimate import coarse_density
from XRayTo3DLib.tomography.film_fit import SHADING_MM, fit_film
from XRayTo3DLib.tomography.fine_density import FINE_GRID, fine_density
from XRayTo3DLib.tomography.resampling import resampled
from XRayTo3DLib.training.cases import FILM_SIZE, FILM_SPACING, NETWORK_GRID
from XRayTo3DLib.training.density_cases import attenuation_of, bone_mask

INPUTS = {"AP": (0,), "lateral": (1,), "both": (0, 1)}
"""Which films an estimate is made from."""

_HEADINGS = {
    "bone": ("Bone HU", 0),
    "soft": ("Soft HU", 0),
    "air": ("Air HU", 0),
    "psnr": ("PSNR dB", 1),
    "ssim": ("SSIM", 3),
    "view_0": ("0° dB", 1),
    "view_30": ("30° dB", 1),
    "view_60": ("60° dB", 1),
    "view_90": ("90° dB", 1),
    "film_psnr": ("Film dB", 1),
    "film_ngcc": ("Film NGCC", 3),
}


@dataclass(frozen=True)
class DensityBenchmarkSettings:
    """What is measured.

    Attributes:
        placements: how often each knee is placed and filmed anew.
        seed: of placing, tissue, machine and films.
        strength: of the randomisation of our own films.
        simulators: who makes the films. gVirtualXRay films a leg of its own around the bones, of
            which no density is known: only re-projections are judged there.
        weights: of the network; those shipped by default.
        bank: cases of training people among which the nearest leg is looked up; may be empty.
    """

    placements: int = 2
    seed: int = 0
    strength: float = 1.0
    simulators: tuple[Simulator, ...] = (Simulator.OWN,)
    weights: Path | None = None
    bank: tuple[Path, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class DensityRow:
    """One estimate of one leg."""

    knee: str
    person: str
    film: str
    contestant: str
    input: str
    scores: DensityScores


@dataclass(frozen=True)
class _Leg:
    """Two films of a right leg, and its truth if that is known."""

    films: tuple[np.ndarray, np.ndarray]
    geometry: BiplanarGeometry
    truth: Truth | None

    def chosen(self, slots: Sequence[int]) -> list[tuple[np.ndarray, ViewGeometry]]:
        return [(self.films[slot], self.geometry.views[slot]) for slot in slots]


def benchmark_density(
    knees: Sequence[Knee],
    settings: DensityBenchmarkSettings,
    progress: Callable[[int, int], None] | None = None,
) -> list[DensityRow]:
    """Film knees and let every contestant estimate their density.

    Args:
        knees: complete, of people held out.
        settings: what is measured.
        progress: called with (done, all) after each leg.
    """
    model = load_density_model(settings.weights)
    nearest = NearestLeg.of(settings.bank) if settings.bank else None
    tasks = [
        (knee, placement, simulator)
        for knee in knees
        for placement in range(settings.placements)
        for simulator in settings.simulators
    ]
    rows = []
    for done, (knee, placement, simulator) in enumerate(tasks, start=1):
        leg = _filmed(knee, settings, placement, simulator)
        for contestant, shown, volume in _estimates(leg, model, nearest):
            scores = _scores(volume, leg, INPUTS[shown])
            rows.append(
                DensityRow(knee.name, knee.person, simulator.value, contestant, shown, scores)
            )
        if progress:
            progress(done, len(tasks))
    return rows


def _filmed(
    knee: Knee, settings: DensityBenchmarkSettings, placement: int, simulator: Simulator
) -> _Leg:
    seed = settings.seed + placement
    placed = KneeGenerator([knee], KneeVariation.placing_only())(seed, 0)
    rng = np.random.default_rng([seed, 19])
    geometry = filming_geometry(rng)
    if simulator is Simulator.GVXR:
        frontal, lateral = (gvxr_film(placed.surfaces, v, seed=seed) for v in geometry.views)
        return _Leg((frontal, lateral), geometry, None)
    tissues = make_tissues(placed, extended(NETWORK_GRID), rng)
    pictures = []
    for view in geometry.views:
        random = settings.strength > 0
        made = FilmSettings.random(rng, settings.strength) if random else FilmSettings.plain()
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        spacing = view.spacing[0] * view.sod / view.sid
        paths = material_paths(tissues, view)
        pictures.append(simulate_film(paths, spacing, made, generator).numpy())
    return _Leg((pictures[0], pictures[1]), geometry, _truth(tissues, geometry))


def _truth(tissues: Tissues, geometry: BiplanarGeometry) -> Truth:
    attenuation = attenuation_of(tissues, FINE_GRID)
    points = voxel_centres(FINE_GRID, attenuation).double().numpy()
    seen = np.ones(len(points), dtype=bool)
    for view in geometry.views:
        pixel = view.project(points)
        seen &= np.all((pixel >= 0) & (pixel <= np.array(view.shape) - 1), axis=1)
    return Truth(
        attenuation,
        torch.from_numpy(bone_mask(tissues, FINE_GRID)),
        torch.from_numpy(seen.reshape(FINE_GRID.shape)),
        FINE_GRID,
    )


def _estimates(
    leg: _Leg, model: DensityModel, nearest: NearestLeg | None
) -> list[tuple[str, str, Tensor]]:
    """Contestant, its input, and its attenuation on the fine grid, 1/mm."""
    grid = model.network.settings.grid
    found = []
    mean = resampled(WATER * model.network.mean, grid, FINE_GRID)
    curves = {"smeared back": mean}
    if leg.truth is not None:
        curves["smeared back, oracle"] = leg.truth.attenuation
    for shown, slots in INPUTS.items():
        films = leg.chosen(slots)
        coarse = coarse_density(model, films, slots, torch.device("cpu"))
        for name, rounds in (("network alone", 0), ("ours", 3)):
            fine = fine_density(coarse[0], coarse[1], grid, films, rounds)
            found.append((name, shown, fine.attenuation))
        # Smearing needs line integrals. What can be known: the tone curve by which the film fits
        # the mean leg. What cannot: the one by which it fits the truth.
        for name, reference in curves.items():
            shading = SHADING_MM if reference is mean else np.inf
            measured = [
                fit_film(pixels, view, reference, FINE_GRID, shading).measured
                for pixels, view in films
            ]
            found.append((name, shown, smeared(measured, FINE_GRID)))
        found.append(("mean leg", shown, mean))
        if nearest is not None:
            pictures = torch.stack(
                [
                    standard_film(pixels, view, FILM_SPACING, FILM_SIZE)
                    for pixels, view in leg.chosen((0, 1))
                ]
            )
            like = resampled(nearest(pictures, slots), DENSITY_GRID, FINE_GRID)
            found.append(("nearest leg", shown, like))
    return found


def _scores(volume: Tensor, leg: _Leg, slots: Sequence[int]) -> DensityScores:
    values = dict.fromkeys(DensityScores.names(), float("nan"))
    if leg.truth is not None:
        values |= volume_errors(volume, leg.truth)
        values |= view_errors(volume, leg.truth, leg.geometry.views[slots[0]])
    fits = [
        fit_film(pixels, view, volume, FINE_GRID, np.inf).agreement(volume, FINE_GRID)
        for pixels, view in leg.chosen(slots)
    ]
    values["film_psnr"] = float(np.mean([fit.psnr for fit in fits]))
    values["film_ngcc"] = float(np.mean([fit.ngcc for fit in fits]))
    return DensityScores(**values)


def density_table(rows: Sequence[DensityRow]) -> list[list[str]]:
    """Headings, then mean ± SD over legs of each contestant, input and kind of film."""
    lines = [["Film", "Method", "Input", *(heading for heading, _ in _HEADINGS.values())]]
    keys = dict.fromkeys((row.film, row.contestant, row.input) for row in rows)
    for film, contestant, shown in sorted(keys, key=lambda key: key[0]):
        group = [r for r in rows if (r.film, r.contestant, r.input) == (film, contestant, shown)]
        cells = [
            Spread.of(getattr(row.scores, name) for row in group).text(digits)
            for name, (_, digits) in _HEADINGS.items()
        ]
        lines.append([film, contestant, shown, *cells])
    return lines


def write_benchmark(rows: Sequence[DensityRow], folder: Path) -> None:
    """Write ``scores.csv``, every estimate, and ``table.md``, their mean ± SD."""
    folder.mkdir(parents=True, exist_ok=True)
    flat = []
    for row in rows:
        flat.append({**asdict(row), **asdict(row.scores)})
        flat[-1].pop("scores")
    _written(folder / "scores.csv", lambda path: _write_csv(path, flat))
    head, *body = density_table(rows)
    lines = [head, ["---"] * 3 + ["---:"] * (len(head) - 3), *body]
    text = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    per_mm = (
        f"\nErrors in HU are mean absolute errors at 60 keV; 1000 HU are {WATER:.5f}/mm. "
        "Angles: PSNR of line integrals from that far off the input film (AP of both).\n"
    )
    _written(folder / "table.md", lambda path: path.write_text(text + per_mm, encoding="utf-8"))


def _write_csv(path: Path, rows: list[dict]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _written(path: Path, write: Callable[[Path], object]) -> None:
    unfinished = path.with_name(f".{path.name}")
    write(unfinished)
    unfinished.replace(path)
