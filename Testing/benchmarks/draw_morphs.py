"""Draw knees as they are, and on their way to other shapes of the shape models.

    python Testing/benchmarks/draw_morphs.py BONES POPULATION PICTURE
        [--knee jia_left --knee tlem2_right --knee vsd_z013_left]

POPULATION is the folder of ``xrayto3d population``. Nothing else of the knees is varied.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import matplotlib.pyplot as plt
import numpy as np
import typer

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from XRayTo3DLib.anatomy.generator import KneeGenerator, KneeVariation  # noqa: E402
from XRayTo3DLib.anatomy.knee import Knee, load_knees  # noqa: E402
from XRayTo3DLib.anatomy.population import load_models  # noqa: E402
from XRayTo3DLib.imaging.geometry import view_geometry  # noqa: E402
from XRayTo3DLib.imaging.radiograph import Side, View  # noqa: E402
from XRayTo3DLib.reconstruction.rendering import render_bones  # noqa: E402

SIZE, SPAN = 300, 150.0
MORPHS = 2


def drawn(knee: Knee, view: View) -> np.ndarray:
    stand = view_geometry(
        view, Side.RIGHT, sid=1200.0, sod=1050.0, spacing=(1.0, 1.0), shape=(SIZE, SIZE)
    )
    return render_bones(knee.surfaces, stand, size=SIZE, span=SPAN, centre=np.zeros(3))


def main(
    bones: Path,
    population: Path,
    picture: Path,
    knee: Annotated[list[str], typer.Option()] = ["jia_left", "tlem2_right", "vsd_z013_left"],  # noqa: B006
) -> None:
    named = {one.name: one for one in load_knees(bones)}
    models = load_models(population)
    morphed = replace(KneeVariation.none(), morph=1.0)
    figure, axes = plt.subplots(len(knee), 2 * (1 + MORPHS), figsize=(15, 2.7 * len(knee)))
    for row, name in zip(np.atleast_2d(axes), knee, strict=True):
        own = KneeGenerator([named[name]], KneeVariation.none())(0)
        generator = KneeGenerator([named[name]], morphed, models)
        shown = [own, *(generator(seed) for seed in range(MORPHS))]
        for number, one in enumerate(shown):
            for column, view in enumerate((View.AP, View.LATERAL)):
                cell = row[2 * number + column]
                cell.imshow(drawn(one, view))
                cell.set_axis_off()
                cell.set_title(f"{name}, morphed" if number else f"{name}, as it is", fontsize=9)
    figure.tight_layout()
    figure.savefig(picture, dpi=60)


if __name__ == "__main__":
    typer.run(main)
