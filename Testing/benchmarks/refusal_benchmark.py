"""How often a film of a hand or of a chest, beside one of a knee, is refused.

    python Testing/benchmarks/refusal_benchmark.py [--films 12]

Both are drawn and filmed as knees of the training are, in their own size and in 0.6 of it, in place
of the frontal and of the lateral sample film.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import typer

sys.path[:0] = [str(Path(__file__).resolve().parents[n]) for n in (2, 1)]

from other_bodies import STEP, chest, filmed, hand  # noqa: E402

from XRayTo3DLib.errors import InputFileError  # noqa: E402
from XRayTo3DLib.imaging.pair import read_pair  # noqa: E402
from XRayTo3DLib.reconstruction.checking import check_films  # noqa: E402
from XRayTo3DLib.reconstruction.weights import load_model  # noqa: E402
from XRayTo3DLib.resources import resource_path  # noqa: E402

SIZES = (1.0, 0.6)


def main(films: int = 12) -> None:
    """Print how many of each are refused."""
    folder, model = resource_path("SampleData"), load_model()
    *knee, _ = read_pair(folder / "knee_ap.dcm", folder / "knee_lateral.dcm")
    for name, paths in (("hand", hand()), ("chest", chest())):
        refused = shown = 0
        for seed in range(films):
            pixels = filmed(paths, seed)
            for size in SIZES:
                for slot, film in enumerate(knee):
                    side = STEP * size * film.magnification
                    spacing = replace(film.spacing, value=(side, side))
                    pair = list(knee)
                    pair[slot] = replace(film, pixels=pixels, spacing=spacing)
                    shown += 1
                    try:
                        check_films(pair[0], pair[1], model)
                    except InputFileError:
                        refused += 1
        print(f"{name}: {refused} of {shown} refused")


if __name__ == "__main__":
    typer.run(main)
