"""How often casts and metal on films are seen, and how often there are none.

    python Testing/benchmarks/cast_benchmark.py BONES [--knees mc22_right,tlem2_left] [--films 6]

BONES is a folder of bone surfaces with its index. Every knee is filmed from the front and from the
side by the simulator of the training, fully randomised: as it is, in plaster, in fibreglass, with a
plate and with a screw. The table goes into docs/real-film.md.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

sys.path[:0] = [str(Path(__file__).resolve().parents[n]) for n in (2, 1)]

from casts import Cast, Plaster, with_cast  # noqa: E402

from XRayTo3DLib.anatomy.generator import KneeGenerator, KneeVariation  # noqa: E402
from XRayTo3DLib.anatomy.knee import load_knees  # noqa: E402
from XRayTo3DLib.anatomy.tissue import extended, make_tissues, material_paths  # noqa: E402
from XRayTo3DLib.imaging.film import simulate_film  # noqa: E402
from XRayTo3DLib.imaging.film_settings import FilmSettings  # noqa: E402
from XRayTo3DLib.imaging.geometry import ViewGeometry, view_geometry  # noqa: E402
from XRayTo3DLib.imaging.grid import VolumeGrid  # noqa: E402
from XRayTo3DLib.imaging.materials import Material  # noqa: E402
from XRayTo3DLib.imaging.radiograph import (  # noqa: E402
    Origin,
    Radiograph,
    Side,
    Sourced,
    View,
)
from XRayTo3DLib.reconstruction.casts import shows_cast  # noqa: E402
from XRayTo3DLib.reconstruction.implants import metal_on  # noqa: E402
from XRayTo3DLib.reconstruction.recognition_looks import bones_seen  # noqa: E402
from XRayTo3DLib.reconstruction.weights import load_model  # noqa: E402

SID, SOD, SPACING, SHAPE = 1100.0, 1000.0, 0.66, (330, 360)
"""A film of 198 mm × 216 mm at the knee."""

STEEL = 20.0
"""mm of cortical bone that stop as much as 1 mm of steel at 60 keV (7.9 g/cm³ of 1.2 cm²/g against
1.92 g/cm³ of 0.31 cm²/g is 16; softer rays are stopped better still)."""

LEAST_FLESH = 0.45
"""Of the settings' muscle; with less there is no leg for a cast."""

WITHOUT, PLATE, SCREW = "without", "plate", "screw"
app = typer.Typer(add_completion=False)


def with_steel(paths: torch.Tensor, what: str, rng: np.random.Generator) -> torch.Tensor:
    """Path images with a plate or a screw of steel on femur or tibia, near the middle."""
    rows, columns = paths.shape[1:]
    step = SPACING * SOD / SID
    down, right = np.mgrid[:rows, :columns].astype(float) * step
    bone = paths[: Material.MUSCLE].sum(dim=0).numpy()
    near = np.abs(down - down.mean()) < 65
    places = np.argwhere((bone > 15) & near & (np.abs(down - down.mean()) > 15))
    row, column = places[rng.integers(len(places))] * step
    turn = np.radians(rng.normal(0, 10) if what == PLATE else rng.uniform(60, 120))
    along = (down - row) * np.cos(turn) + (right - column) * np.sin(turn)
    across = (right - column) * np.cos(turn) - (down - row) * np.sin(turn)
    if what == PLATE:
        length, width = rng.uniform(50, 120), rng.uniform(9, 16)
        thick = rng.uniform(2.5, 5.0) * np.ones_like(along)
    else:
        length, width = rng.uniform(25, 60), rng.uniform(4.0, 6.5)
        thick = 2 * np.sqrt(np.clip((width / 2) ** 2 - across**2, 0, None))
    inside = (np.abs(along) < length / 2) & (np.abs(across) < width / 2)
    added = torch.zeros_like(paths)
    added[Material.CORTEX] = torch.from_numpy((STEEL * thick * inside).astype(np.float32))
    return paths + added


def film_of(paths: torch.Tensor, view: View, settings: FilmSettings, seed: int) -> Radiograph:
    """The film of path images."""
    pixels = simulate_film(
        paths, SPACING * SOD / SID, settings, torch.Generator().manual_seed(seed)
    )
    header = Origin.HEADER
    return Radiograph(
        pixels=pixels.numpy(),
        spacing=Sourced((SPACING, SPACING), header),
        sid=Sourced(SID, header),
        sod=Sourced(SOD, header),
        view=Sourced(view, header),
        side=Sourced(Side.RIGHT, header),
        orientation=Sourced(("L" if view is View.AP else "P", "F"), header),
        inverted=Sourced(False, header),
    )


def views() -> dict[View, ViewGeometry]:
    """Where tube and film stand."""
    return {
        view: view_geometry(
            view, Side.RIGHT, sid=SID, sod=SOD, spacing=(SPACING, SPACING), shape=SHAPE
        )
        for view in (View.AP, View.LATERAL)
    }


def films(bones: Path, names: list[str], seeds: range, count: int) -> Iterator[tuple]:
    """What is on each film, its view, and the film."""
    knees = {knee.name: knee for knee in load_knees(bones) if knee.is_complete}
    for number, name in enumerate(names):
        for seed in seeds:
            placed = KneeGenerator([knees[name]], KneeVariation.placing_only())(seed)
            rng = np.random.default_rng([seed, number, 5])
            tissues = make_tissues(placed, extended(VolumeGrid.cube(154, 154.0)), rng)
            casts = {material: Cast.random(material, rng) for material in Plaster}
            for view, stand in views().items():
                paths = material_paths(tissues, stand)
                walls = {
                    material: cast.mm_along(tissues, stand, np.random.default_rng([seed, 9]))
                    for material, cast in casts.items()
                }
                for taken in range(count):
                    draw = np.random.default_rng([seed, number, taken, view is View.AP])
                    settings = FilmSettings.random(draw)
                    yield WITHOUT, view, film_of(paths, view, settings, taken)
                    while settings.muscle_scale < LEAST_FLESH:
                        settings = FilmSettings.random(draw)
                    for material, cast in casts.items():
                        shown = with_cast(paths, cast, walls[material], settings)
                        yield material.name.lower(), view, film_of(shown, view, settings, taken)
                    for what in (PLATE, SCREW):
                        shown = with_steel(paths, what, draw)
                        yield what, view, film_of(shown, view, settings, taken)


@app.command()
def main(
    bones: Path,
    knees: Annotated[str, typer.Option(help="Names, with commas.")] = "mc22_right,tlem2_left",
    seeds: Annotated[int, typer.Option(help="Legs of each knee.")] = 2,
    first: Annotated[int, typer.Option(help="The first seed.")] = 0,
    count: Annotated[int, typer.Option("--films", help="Films of each leg and view.")] = 6,
) -> None:
    """Print the table."""
    model = load_model()
    shown: Counter = Counter()
    cast: Counter = Counter()
    metal: Counter = Counter()
    for what, view, film in films(bones, knees.split(","), range(first, first + seeds), count):
        seen = bones_seen(film, model)
        shown[what, view] += 1
        cast[what, view] += shows_cast(film, seen)
        metal[what, view] += metal_on(film, lambda seen=seen: seen) > 0
    print("| on the film | films | cast seen, AP | lateral | metal seen, AP | lateral |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for what in dict.fromkeys(what for what, _ in shown):
        shares = [
            f"{100 * found[what, view] / shown[what, view]:.0f} %"
            for found in (cast, metal)
            for view in (View.AP, View.LATERAL)
        ]
        total = sum(shown[what, view] for view in (View.AP, View.LATERAL))
        print(f"| {what} | {total} | {' | '.join(shares)} |")


if __name__ == "__main__":
    torch.set_num_threads(1)
    app()
