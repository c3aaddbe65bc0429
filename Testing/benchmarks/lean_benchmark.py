"""How well the lean of a leg is measured on a film of the knee alone, and what that is worth.

    python Testing/benchmarks/lean_benchmark.py BONES [--knees mc22_right] [--weights FILE]

BONES is a folder of bone surfaces with its index. Ideal films are turned in their plane by every
one of ``--turns``. Printed are, for each, by how much the leg leans on both films less the turn,
and the mean Dice of the four bones, after one rigid motion, of what is reconstructed without and
with the correction. The threshold of placing.py lies above what people's shafts lean by themselves.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from XRayTo3DLib.anatomy.generator import KneeGenerator, KneeVariation  # noqa: E402
from XRayTo3DLib.anatomy.knee import load_knees  # noqa: E402
from XRayTo3DLib.evaluation.alignment import aligned  # noqa: E402
from XRayTo3DLib.evaluation.film_conditions import turned  # noqa: E402
from XRayTo3DLib.evaluation.filming import (  # noqa: E402
    Simulator,
    film_knee,
    filming_geometry,
)
from XRayTo3DLib.evaluation.metrics import solid_dice  # noqa: E402
from XRayTo3DLib.imaging.radiograph import Radiograph  # noqa: E402
from XRayTo3DLib.reconstruction.leaning import lean_on  # noqa: E402
from XRayTo3DLib.reconstruction.reconstruct import reconstruct  # noqa: E402
from XRayTo3DLib.reconstruction.weights import load_model  # noqa: E402

app = typer.Typer(add_completion=False)


def middle(film: Radiograph) -> tuple[float, float]:
    """The pixel in the middle of a film."""
    rows, columns = film.pixels.shape
    return (rows - 1) / 2, (columns - 1) / 2


@app.command()
def main(
    bones: Path,
    knees: Annotated[str, typer.Option(help="Names, with commas.")] = "mc22_right",
    seeds: Annotated[int, typer.Option(help="Film pairs of each knee and simulator.")] = 1,
    turns: Annotated[str, typer.Option(help="Degrees counter-clockwise.")] = "0,3,-3,10,-10",
    weights: Annotated[Path | None, typer.Option(help="Of the network.")] = None,
) -> None:
    """Print the table."""
    model, rng = load_model(weights), np.random.default_rng(0)
    known = {knee.name: knee for knee in load_knees(bones) if knee.is_complete}
    print("| knee | film | turned, ° | lean less turn, °: AP | lateral | as stated | corrected |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for name in knees.split(","):
        for seed in range(seeds):
            placed = KneeGenerator([known[name]], KneeVariation.placing_only())(seed)
            geometry = filming_geometry(np.random.default_rng([seed, 17]))
            for simulator in Simulator:
                straight = film_knee(placed, geometry, simulator, seed)
                for turn in map(float, turns.split(",")):
                    films = [turned(turn)(film, rng) for film in straight]
                    leans = [lean_on(film, model, middle(film)).degrees + turn for film in films]
                    scores = []
                    for search in (False, None):
                        found = reconstruct(
                            *films,
                            check_films=False,
                            search=search,
                            refine=False,
                            weights=weights,
                        )
                        moved, _ = aligned(found.surfaces, placed.surfaces)
                        dice = [
                            solid_dice(moved[bone], truth, found.grid, spacing=1.0)
                            for bone, truth in placed.surfaces.items()
                        ]
                        scores.append(100 * float(np.mean(dice)))
                    row = [name, simulator.value, f"{turn:+g}"]
                    row += [f"{value:.1f}" for value in (*leans, *scores)]
                    print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    app()
