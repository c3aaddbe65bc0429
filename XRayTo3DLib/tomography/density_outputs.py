"""The files of a density estimate: all of them in place, or none."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from XRayTo3DLib.imaging.radiograph import Sourced
from XRayTo3DLib.reconstruction.report import NOT_FOR_CLINICAL_USE
from XRayTo3DLib.tomography.density import REFERENCE_KEV
from XRayTo3DLib.tomography.density_files import write_density
from XRayTo3DLib.tomography.density_network import WATER
from XRayTo3DLib.tomography.density_result import DensityResult, ExplainedFilm
from XRayTo3DLib.tomography.picture_files import staged

FILES = ("density.nrrd", "uncertainty.nrrd", "report.json", "overview.png")
"""Every file that :func:`write_density_outputs` writes."""

_HU_PER_WATER = 1000.0
_SHOWN_HU = (-1000.0, 1200.0)
_SHOWN_DEVIATION = (0.0, 500.0)
_DECIMALS = 4


def density_targets(folder: str | Path) -> dict[str, Path]:
    """Where the files of a folder go, by name."""
    return {name: Path(folder) / name for name in FILES}


def write_density_outputs(result: DensityResult, folder: str | Path) -> None:
    """Write density, uncertainty, report and overview; files of an earlier run are replaced.

    Raises:
        XRayTo3DError: the folder cannot be written.
    """
    with staged(density_targets(folder)) as places:
        write_density(result.density, places["density.nrrd"])
        _write_deviation(result, places["uncertainty.nrrd"])
        text = json.dumps(density_report(result), indent=2, ensure_ascii=False, allow_nan=False)
        places["report.json"].write_text(text + "\n", encoding="utf-8")
        figure = draw_density(result)
        with places["overview.png"].open("wb") as file:
            # matplotlib signs its files with its version otherwise.
            FigureCanvasAgg(figure).print_png(file, metadata={"Software": None})


def _write_deviation(result: DensityResult, path: Path) -> None:
    units = np.round(deviation_hounsfield(result)).clip(0, 32767).astype(np.int16)
    sitk.WriteImage(result.density.grid.image(units), str(path), useCompression=True)


def deviation_hounsfield(result: DensityResult) -> np.ndarray:
    """``(z, y, x)``, one standard deviation of the density, HU."""
    assert result.density.deviation is not None  # an estimate has one
    return result.density.deviation * (_HU_PER_WATER / WATER)


def density_report(result: DensityResult) -> dict[str, Any]:
    """The report as JSON-able values; of the input it names the files, nothing of the patient."""
    grid = result.density.grid
    return {
        "notice": NOT_FOR_CLINICAL_USE,
        "weights": asdict(result.model),
        "side": result.side.value,
        "volume": {
            "unit": "HU",
            "energy_kev": REFERENCE_KEV,
            "voxel_mm": round(grid.spacing, _DECIMALS),
            "shape_zyx": list(grid.shape),
            "centre_ras_mm": list(grid.centre),
        },
        "films": [_film(shown) for shown in result.films],
        "seconds": {stage: round(value, _DECIMALS) for stage, value in result.seconds.items()},
        "warnings": list(result.all_warnings),
    }


def _film(shown: ExplainedFilm) -> dict[str, Any]:
    film = shown.film
    return {
        "file": film.path.name if film.path else None,
        "view": _sourced(film.view, film.view.value.value),
        "side": _sourced(film.side, film.side.value.value),
        "spacing_mm": _sourced(film.spacing, list(film.spacing.value)),
        "sid_mm": _sourced(film.sid, film.sid.value),
        "sod_mm": _sourced(film.sod, film.sod.value),
        "bone_dark_in_file": _sourced(film.inverted, film.inverted.value),
        "reprojection": {
            "psnr_db": round(shown.agreement.psnr, 2),
            "ssim": round(shown.agreement.ssim, _DECIMALS),
            "ngcc": round(shown.agreement.ngcc, _DECIMALS),
        },
    }


def _sourced(fact: Sourced[Any], value: Any) -> dict[str, Any]:
    return {"value": value, "origin": fact.origin.value, "note": fact.note}


def draw_density(result: DensityResult) -> Figure:
    """Each film beside its re-projection; three slices of the density and of its uncertainty.

    Slices go through the isocentre: coronal (the patient's right at the left), sagittal (front at
    the left) and axial (front above).
    """
    rows = len(result.films) + 2
    figure = Figure(figsize=(9.6, 3.2 * rows), layout="constrained", facecolor="#131518")
    panels = figure.subplots(rows, 3)
    for axes in panels.flat:
        axes.axis("off")
    for row, shown in zip(panels, result.films, strict=False):
        _draw_film(row, shown)
    kinds = (
        (result.density.hounsfield, _SHOWN_HU, "density", "gray"),
        (deviation_hounsfield(result), _SHOWN_DEVIATION, "uncertainty", "inferno"),
    )
    for row, (volume, limits, name, colours) in zip(panels[-2:], kinds, strict=True):
        for axes, (plane, picture) in zip(row, _slices(result, volume).items(), strict=True):
            shown_image = axes.imshow(picture, cmap=colours, vmin=limits[0], vmax=limits[1])
            _title(axes, f"{plane}, {name}")
        bar = figure.colorbar(shown_image, ax=row, fraction=0.02)
        bar.set_label("HU", color="w")
        bar.ax.tick_params(colors="w", labelsize="small")
    figure.supxlabel(NOT_FOR_CLINICAL_USE, color="#9da3ab", fontsize="small")
    return figure


def _draw_film(row: Any, shown: ExplainedFilm) -> None:
    film = np.where(shown.fit.known.numpy(), shown.fit.greys.numpy(), np.nan)
    again = np.where(shown.fit.known.numpy(), shown.reprojection.numpy(), np.nan)
    low, high = np.nanmin(film), np.nanmax(film)
    span = max(float(high - low), 1e-6)
    for axes, picture, title in (
        (row[0], film, f"{shown.film.view.value.value} film"),
        (row[1], again, f"re-projection, {shown.agreement.psnr:.1f} dB"),
    ):
        axes.imshow(picture, cmap="gray", vmin=low, vmax=high)
        _title(axes, title)
    row[2].imshow((again - film) / span, cmap="RdBu", vmin=-0.1, vmax=0.1)
    _title(row[2], "difference, ±10 % of the greys")


def _title(axes: Any, text: str) -> None:
    axes.set_title(text, color="w", fontsize="medium")


def _slices(result: DensityResult, volume: np.ndarray) -> dict[str, np.ndarray]:
    z, y, x = np.round(result.density.grid.to_index(np.zeros(3))).astype(int)
    return {
        "coronal": volume[::-1, y, ::-1],
        "sagittal": volume[::-1, ::-1, x],
        "axial": volume[z, ::-1, ::-1],
    }
