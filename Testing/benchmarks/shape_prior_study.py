"""Whether a shape model makes the network's bones better: each replaced by its nearest shape.

    python Testing/benchmarks/shape_prior_study.py BONES POPULATION OUTPUT
        [--person lhdl --person vhf] [--placements 2] [--weights FILE]

POPULATION is the folder of ``xrayto3d population``, learnt without these people. Films and
measures are those of ``xrayto3d evaluate``. Writes shape-prior.md into OUTPUT.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from XRayTo3DLib.anatomy.bones import Bone  # noqa: E402
from XRayTo3DLib.anatomy.correspondence import transform_points  # noqa: E402
from XRayTo3DLib.anatomy.generator import KneeGenerator, KneeVariation  # noqa: E402
from XRayTo3DLib.anatomy.knee import Knee, load_knees, split_by_person  # noqa: E402
from XRayTo3DLib.anatomy.population import load_models  # noqa: E402
from XRayTo3DLib.anatomy.shape_model import ShapeModel  # noqa: E402
from XRayTo3DLib.anatomy.surface import Surface  # noqa: E402
from XRayTo3DLib.evaluation.filming import Simulator, film_knee, filming_geometry  # noqa: E402
from XRayTo3DLib.evaluation.held_out import check_held_out  # noqa: E402
from XRayTo3DLib.evaluation.tables import (  # noqa: E402
    KneeScores,
    markdown,
    score_knee,
    summarise,
)
from XRayTo3DLib.reconstruction.reconstruct import reconstruct  # noqa: E402
from XRayTo3DLib.reconstruction.weights import load_model  # noqa: E402

Bones = dict[Bone, Surface]


def nearest_shape(model: ShapeModel, surface: Surface, smooth: bool) -> Surface:
    fit = model.fitted(surface, smooth=smooth)
    shape = model.reconstructed(fit.coefficients)
    return Surface(transform_points(fit.pose, shape.vertices), shape.faces)


def contestants(found: Bones, models: dict[Bone, ShapeModel]) -> dict[str, Bones]:
    return {
        "network": found,
        "its nearest shapes, modes": {
            bone: nearest_shape(models[bone], surface, False) for bone, surface in found.items()
        },
        "its nearest shapes, modes and smooth": {
            bone: nearest_shape(models[bone], surface, True) for bone, surface in found.items()
        },
    }


def measured(
    knee: Knee, placement: int, models: dict[Bone, ShapeModel], weights: Path | None
) -> dict[str, list[KneeScores]]:
    placed = KneeGenerator([knee], KneeVariation.placing_only())(placement)
    geometry = filming_geometry(np.random.default_rng([placement, 17]))
    films = film_knee(placed, geometry, Simulator.OWN, placement, 1.0)
    result = reconstruct(*films, check_films=False, find_joint=False, refine=False, weights=weights)
    name = f"{knee.name}_{placement}"
    return {
        title: score_knee(
            bones, placed.surfaces, result.grid, knee=name, person=knee.person, film="own"
        )
        for title, bones in contestants(result.surfaces, models).items()
    }


def main(
    bones: Path,
    population: Path,
    output: Path,
    person: Annotated[list[str], typer.Option()] = ["lhdl", "vhf"],  # noqa: B006
    placements: int = 2,
    weights: Path | None = None,
) -> None:
    model = load_model()
    check_held_out(person, [(model.identity.name, model.card)])
    models = load_models(population)
    _, held_out = split_by_person(load_knees(bones), person)
    scores: dict[str, list[KneeScores]] = {}
    for knee in (knee for knee in held_out if knee.is_complete):
        for placement in range(placements):
            for title, rows in measured(knee, placement, models, weights).items():
                scores.setdefault(title, []).extend(rows)
    lines = [["", *(bone.key.capitalize() for bone in Bone), "Mean Dice", "ASSD mm"]]
    for title, rows in scores.items():
        summary = {entry.bone: entry for entry in summarise(rows)}
        each = [summary[bone].dice.text(3) for bone in Bone]
        lines.append([title, *each, summary[None].dice.text(3), summary[None].assd.text(2)])
    output.mkdir(parents=True, exist_ok=True)
    (output / "shape-prior.md").write_text(markdown(lines), encoding="utf-8")
    typer.echo(markdown(lines))


if __name__ == "__main__":
    typer.run(main)
