"""Whether the uncertainty of surfaces means what it says.

    python Testing/benchmarks/uncertainty_study.py BONES OUTPUT --person mc22 --weights FILE
    python Testing/benchmarks/uncertainty_study.py BONES OUTPUT --person lhdl --person vhf

Films of people held out are reconstructed, and at each vertex the error is compared with the
deviation that was stated. The first line, on a person whom the weights in FILE
have not seen, measures what stands as ``CALIBRATION`` in XRayTo3DLib/reconstruction/uncertainty.py;
the second, on others and with the weights that are shipped, is the check.
Writes OUTPUT/uncertainty.md and OUTPUT/reliability.png.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.stats import spearmanr

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from XRayTo3DLib.anatomy.bones import Bone  # noqa: E402
from XRayTo3DLib.anatomy.distance import inside_mask  # noqa: E402
from XRayTo3DLib.anatomy.generator import KneeGenerator, KneeVariation  # noqa: E402
from XRayTo3DLib.anatomy.knee import Knee, load_knees, split_by_person  # noqa: E402
from XRayTo3DLib.evaluation.error_maps import vertex_errors  # noqa: E402
from XRayTo3DLib.evaluation.filming import (  # noqa: E402
    Simulator,
    film_knee,
    filming_geometry,
)
from XRayTo3DLib.evaluation.held_out import check_held_out  # noqa: E402
from XRayTo3DLib.reconstruction.reconstruct import reconstruct  # noqa: E402
from XRayTo3DLib.reconstruction.uncertainty import (  # noqa: E402
    slope_deviation,
    surface_deviations,
)
from XRayTo3DLib.reconstruction.weights import load_model  # noqa: E402

BINS = 8
UNSURE = (0.005, 0.995)
"""Voxels beyond these probabilities, nearly all of them, would hide the others."""


@dataclass(frozen=True)
class Measured:
    """Of one bone of one knee: at its vertices, and at the voxels that are unsure."""

    bone: Bone
    error: np.ndarray
    slope: np.ndarray
    stated: np.ndarray
    probability: np.ndarray
    inside: np.ndarray


def measured(knee: Knee, seed: int, simulator: Simulator, weights: Path | None) -> list[Measured]:
    placed = KneeGenerator([knee], KneeVariation.placing_only())(seed)
    films = film_knee(placed, filming_geometry(np.random.default_rng([seed, 17])), simulator, seed)
    result = reconstruct(*films, find_joint=False, refine=False, weights=weights)
    stated = surface_deviations(result.surfaces, result.probabilities, result.grid)
    rows = []
    for bone, surface in result.surfaces.items():
        error = vertex_errors(surface, placed.surfaces[bone], result.grid)
        counted = np.isfinite(error)
        slope = slope_deviation(surface, bone, result.probabilities, result.grid)
        probability = result.probabilities[bone]
        unsure = (probability > UNSURE[0]) & (probability < UNSURE[1])
        inside = inside_mask(placed.surfaces[bone], result.grid)
        rows.append(
            Measured(
                bone,
                error[counted],
                slope[counted],
                stated[bone][counted],
                probability[unsure],
                inside[unsure],
            )
        )
    return rows


def binned(stated: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of what was stated and of what was seen in equally filled bins."""
    parts = np.array_split(np.argsort(stated), BINS)
    return tuple(np.array([x[part].mean() for part in parts]) for x in (stated, seen))  # type: ignore[return-value]


def figure(rows: list[Measured]) -> Figure:
    drawing = Figure(figsize=(9, 4.2), layout="constrained")
    FigureCanvasAgg(drawing)
    surface, voxels = drawing.subplots(1, 2)
    for bone in Bone:
        of_bone = [row for row in rows if row.bone is bone]
        colour = bone.style.rgb
        stated, square = binned(
            np.concatenate([row.stated for row in of_bone]),
            np.concatenate([row.error for row in of_bone]) ** 2,
        )
        surface.plot(stated, np.sqrt(square), "o-", color=colour, label=bone.title)
        share, inside = binned(
            np.concatenate([row.probability for row in of_bone]),
            np.concatenate([row.inside for row in of_bone]).astype(float),
        )
        voxels.plot(share, inside, "o-", color=colour, label=bone.title)
    top = max(surface.get_xlim()[1], surface.get_ylim()[1])
    surface.plot([0, top], [0, top], color="0.6", zorder=0)
    surface.set(xlabel="deviation stated, mm", ylabel="root mean square error, mm")
    voxels.plot([0, 1], [0, 1], color="0.6", zorder=0)
    voxels.set(xlabel="probability stated", ylabel="share of voxels inside the bone")
    surface.legend()
    return drawing


def table(rows: list[Measured]) -> str:
    lines = ["| Bone | RMS of error / slope's σ | within 1 σ | within 2 σ | Spearman's ρ |"]
    lines.append("| --- | ---: | ---: | ---: | ---: |")
    groups = {bone.title: [row for row in rows if row.bone is bone] for bone in Bone}
    for name, group in {**groups, "All": rows}.items():
        error, slope, stated = (
            np.concatenate([getattr(row, field) for row in group])
            for field in ("error", "slope", "stated")
        )
        cells = [f"{np.sqrt(np.mean((error / slope) ** 2)):.2f}"]
        cells += [f"{100 * np.mean(np.abs(error) < k * stated):.0f} %" for k in (1, 2)]
        cells.append(f"{spearmanr(stated, np.abs(error)).statistic:.2f}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main(
    bones: Path,
    output: Path,
    person: Annotated[list[str], typer.Option(help="Who is measured; repeatable.")],
    placements: Annotated[int, typer.Option(min=1)] = 3,
    weights: Annotated[Path | None, typer.Option(help="Weights other than those shipped.")] = None,
) -> None:
    """Reconstruct, compare, write table and figure."""
    model = load_model(weights)
    check_held_out(person, [(model.identity.name, model.card)])
    _, knees = split_by_person(load_knees(bones), person)
    rows = [
        row
        for knee in knees
        if knee.is_complete
        for seed in range(placements)
        for simulator in Simulator
        for row in measured(knee, seed, simulator, weights)
    ]
    output.mkdir(parents=True, exist_ok=True)
    text = table(rows)
    (output / "uncertainty.md").write_text(text, encoding="utf-8")
    figure(rows).savefig(output / "reliability.png", dpi=110)
    print("A normal error lies within 1 σ in 68 %, within 2 σ in 95 %.")
    print(text)


if __name__ == "__main__":
    typer.run(main)
