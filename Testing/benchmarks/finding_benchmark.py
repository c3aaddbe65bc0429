"""What knees measure on films, and how well a knee is found on a whole film.

    python Testing/benchmarks/finding_benchmark.py population BONES
    python Testing/benchmarks/finding_benchmark.py films BONES [--knees mc22_right] [--seeds 3]

BONES is a folder of bone surfaces with its index. ``population`` measures the true silhouettes of
everyone who is not held out and writes XRayTo3DLib/reconstruction/finding_table.py. ``films`` makes
whole films (300 mm × 430 mm at the isocentre) of knees that are bent, up to 100 mm off the middle
of the film and turned by up to 15 degrees in its plane, and prints the errors of what is found.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
import typer

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from XRayTo3DLib.anatomy.bones import Bone  # noqa: E402
from XRayTo3DLib.anatomy.joint import JointPose, bend, joint_gaps  # noqa: E402
from XRayTo3DLib.anatomy.knee import Knee, load_knees, split_by_person  # noqa: E402
from XRayTo3DLib.anatomy.lone_femora import laid_alike  # noqa: E402
from XRayTo3DLib.anatomy.surface import Surface  # noqa: E402
from XRayTo3DLib.anatomy.tissue import extended, make_tissues, material_paths  # noqa: E402
from XRayTo3DLib.evaluation.filming import Simulator  # noqa: E402
from XRayTo3DLib.evaluation.gvxr_film import gvxr_film  # noqa: E402
from XRayTo3DLib.imaging.film import simulate_film  # noqa: E402
from XRayTo3DLib.imaging.film_settings import FilmSettings  # noqa: E402
from XRayTo3DLib.imaging.geometry import ViewGeometry, view_geometry  # noqa: E402
from XRayTo3DLib.imaging.grid import VolumeGrid  # noqa: E402
from XRayTo3DLib.imaging.radiograph import (  # noqa: E402
    Origin,
    Radiograph,
    Side,
    Sourced,
    View,
)
from XRayTo3DLib.reconstruction import finding_table  # noqa: E402
from XRayTo3DLib.reconstruction.centring import joint_position  # noqa: E402
from XRayTo3DLib.reconstruction.finding import find_knee  # noqa: E402
from XRayTo3DLib.reconstruction.finding_geometry import rolled  # noqa: E402
from XRayTo3DLib.reconstruction.long_axis import (  # noqa: E402
    FAR_SHAFT,
    Line,
    condylar_middle,
    condylar_width,
    seen_and_inner,
    shaft_axis,
)
from XRayTo3DLib.reconstruction.projected import silhouette  # noqa: E402
from XRayTo3DLib.reconstruction.weights import Model, load_model  # noqa: E402

HELD_OUT = ("lhdl", "vhf", "mc22")
STEP, SIZE = 1.36, 128
app = typer.Typer(add_completion=False)


@app.callback()
def _commands() -> None:
    """Figures for docs/real-film.md."""


# --- What knees measure -------------------------------------------------------------------------


def true_masks(surfaces: dict[Bone, Surface], view: ViewGeometry, size: int = SIZE) -> torch.Tensor:
    """``(4, size, size)`` 0–1: bones on a detector like that which silhouettes are given on."""
    fine = view.resampled(STEP / 2, 2 * size)
    masks = torch.zeros(len(Bone), 2 * size, 2 * size)
    for bone, surface in surfaces.items():
        masks[bone - 1] = torch.from_numpy(silhouette(surface, fine)).float()
    return F.avg_pool2d(masks, 2)


def far_axis(surface: Surface, view: ViewGeometry, bone: Bone) -> Line:
    """The anatomical axis of a shaft, on a detector large enough to see it."""
    size = 288
    mask = true_masks({bone: surface}, view, size)[bone - 1].numpy()
    seen = np.ones(mask.shape, dtype=bool)
    axis = shaft_axis(mask, seen, ((size - 1) / 2,) * 2, STEP, bone, FAR_SHAFT)
    assert axis is not None
    return axis


def measured(surfaces: dict[Bone, Surface], view: ViewGeometry, lateral: bool) -> dict[str, float]:
    """What true silhouettes measure; of a femur alone, only what a femur tells."""
    masks = true_masks(surfaces, view)
    seen = seen_and_inner(torch.ones(SIZE, SIZE, dtype=torch.bool))
    middle = ((SIZE - 1) / 2,) * 2
    femur, tibia, patella = (masks[b - 1].numpy() for b in (Bone.FEMUR, Bone.TIBIA, Bone.PATELLA))
    place = joint_position(masks, STEP) or middle
    axis = shaft_axis(femur, seen, place, STEP, Bone.FEMUR)
    assert axis is not None
    width = condylar_width(femur, patella, seen, axis, STEP, lateral)
    assert width is not None
    anatomical = far_axis(surfaces[Bone.FEMUR], view, Bone.FEMUR)
    found = {"width": width, "femur_bias": axis.angle - anatomical.angle}
    if Bone.TIBIA not in surfaces:
        return found
    shin = shaft_axis(tibia, seen, place, STEP, Bone.TIBIA)
    assert shin is not None
    upright = Line(axis.point, anatomical.angle)
    foot = condylar_middle(femur, patella, upright, STEP, lateral)
    assert foot is not None
    away = np.subtract(middle, foot) * STEP
    straight = far_axis(surfaces[Bone.TIBIA], view, Bone.TIBIA)
    return {
        **found,
        "tibia_bias": shin.angle - straight.angle,
        "femur_lean": anatomical.angle,
        "tibia_lean": straight.angle,
        "down": float(-away @ upright.up),
        "right": float(away @ upright.right),
    }


def right_knees(bones: Path) -> list[Knee]:
    """Everyone who is not held out; femora that come alone laid as the others, at their size."""
    knees, _ = split_by_person(load_knees(bones), HELD_OUT)
    right = [knee if knee.side is Side.RIGHT else knee.mirrored() for knee in knees]
    reference = next(knee for knee in right if knee.is_complete).surfaces[Bone.FEMUR]
    laid = []
    for knee in right:
        if not knee.is_complete:
            femur = laid_alike(knee.surfaces[Bone.FEMUR], reference)
            if femur is None:
                continue
            size = (knee.surfaces[Bone.FEMUR].volume / femur.volume) ** (1 / 3)
            surface = femur.transformed(np.diag([size, size, size, 1.0]))
            knee = replace(knee, surfaces={Bone.FEMUR: surface})
        laid.append(knee)
    return laid


@app.command()
def population(bones: Annotated[Path, typer.Argument(help="Folder of bone surfaces.")]) -> None:
    """Measure everyone and write the table."""
    knees = right_knees(bones)
    text = Path(finding_table.__file__).read_text(encoding="utf-8")
    text = text[: text.index("\n\nPOPULATION = {")] if "\n\nPOPULATION = {" in text else text
    text = text.rstrip() + "\n\n\nPOPULATION = {\n"
    for view in (View.AP, View.LATERAL):
        stand = view_geometry(
            view, Side.RIGHT, sid=1000.0, sod=900.0, spacing=(0.7, 0.7), shape=(256, 256)
        )
        lateral = view is View.LATERAL
        people: dict[str, dict[str, list[float]]] = {}
        for knee in knees:
            for name, value in measured(knee.surfaces, stand, lateral).items():
                people.setdefault(name, {}).setdefault(knee.person, []).append(value)
        means = {
            name: np.array([np.mean(values) for values in found.values()])
            for name, found in people.items()
        }
        counts = f"{len(means['width'])} people, {len(means['down'])} of them with a whole knee"
        facts = {}
        for name, values in means.items():
            facts[name] = values.mean()
            if name == "width" or name.endswith("bias"):
                facts[f"{name}_sd"] = values.std(ddof=1)
        text += f"    {lateral}: Population(  # {'lateral' if lateral else 'frontal'}; {counts}\n"
        text += "".join(f"        {name}={value:.2f},\n" for name, value in facts.items())
        text += "    ),\n"
    text += '}\n"""By whether the film is a lateral one."""\n'
    Path(finding_table.__file__).write_text(text, encoding="utf-8")
    typer.echo(text[text.index("POPULATION") :])


# --- Whole films --------------------------------------------------------------------------------

FIELD = (430.0, 300.0)
"""mm at the isocentre, high and wide."""

PIXEL = 0.5
"""mm at the isocentre."""


def bent(knee: Knee, flexion: float) -> Knee:
    """A complete knee, of either side, flexed by so many degrees more than it was scanned."""
    right = knee if knee.side is Side.RIGHT else knee.mirrored()
    moved = bend(right, JointPose(flexion=flexion), joint_gaps(right))
    return moved if knee.side is Side.RIGHT else moved.mirrored()


def whole_film(
    knee: Knee, view: View, simulator: Simulator, seed: int
) -> tuple[Radiograph, ViewGeometry]:
    """A film, and where its source and detector stood.

    Args:
        knee: of either side.
        view: AP or lateral.
        simulator: who makes it.
        seed: of everything that is drawn.
    """
    rng = np.random.default_rng([seed, int(view is View.LATERAL), 17])
    sid = float(rng.uniform(1000.0, 1300.0))
    sod = sid - float(rng.uniform(70.0, 150.0))
    shape = (round(FIELD[0] / PIXEL), round(FIELD[1] / PIXEL))
    spacing = PIXEL * sid / sod
    shift, roll = rng.uniform((-100.0, -50.0), (100.0, 50.0)) / PIXEL, float(rng.uniform(-15, 15))
    row, column = (np.array(shape) - 1) / 2 + shift
    stand = view_geometry(
        view,
        knee.side,
        sid=sid,
        sod=sod,
        spacing=(spacing, spacing),
        shape=shape,
        centre=(float(row), float(column)),
    )
    stand = rolled(stand, roll)
    if simulator is Simulator.GVXR:
        picture = gvxr_film(knee.surfaces, stand, seed=seed)
    else:
        picture = own_film(knee, stand, seed)
    across = "L" if view is View.AP else ("P" if knee.side is Side.RIGHT else "A")
    header = Origin.HEADER
    film = Radiograph(
        pixels=picture.astype(np.float32),
        spacing=Sourced((spacing, spacing), header),
        sid=Sourced(sid, header),
        sod=Sourced(sod, header),
        view=Sourced(view, header),
        side=Sourced(knee.side, header),
        orientation=Sourced((across, "F"), header),
        inverted=Sourced(False, header),
    )
    return film, stand


def own_film(knee: Knee, stand: ViewGeometry, seed: int, voxel: float = 1.2) -> np.ndarray:
    """By our own simulator, of a leg as long as the bones."""
    rng = np.random.default_rng([seed, 13])
    grid = extended(VolumeGrid.cube(128, 128 * voxel), half_height=177.6)
    tissues = make_tissues(knee, grid, rng)
    paths = material_paths(tissues, stand)
    settings = FilmSettings.random(rng, 1.0)
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    return simulate_film(paths, PIXEL, settings, generator).numpy()


@dataclass(frozen=True)
class Errors:
    """Of one film: mm, degrees, per cent, degrees, seconds of processor time; NaN where unknown."""

    kind: str
    scale: str
    centre: float
    femur: float
    tibia: float
    size: float
    flexion: float
    confidence: float
    seconds: float


def errors_of(
    film: Radiograph, stand: ViewGeometry, knee: Knee, kind: str, scale: str, model: Model
) -> Errors:
    """Find the knee and compare with the projected bones."""
    given = film
    if scale == "unknown":
        given = replace(film, spacing=Sourced((0.14, 0.14), Origin.ASSUMED))
    begun = time.process_time()
    found = find_knee(given, model)
    seconds = time.process_time() - begun
    # The axes as they run on the film: rows of this detector are those of the film.
    axes = {b: far_axis(knee.surfaces[b], stand, b).angle for b in (Bone.FEMUR, Bone.TIBIA)}
    lines = {Bone.FEMUR: found.femur, Bone.TIBIA: found.tibia}
    off = {b: abs(line.angle - axes[b]) if line else np.nan for b, line in lines.items()}
    bend_error = np.nan
    if found.flexion is not None:
        sign = 1.0 if knee.side is Side.RIGHT else -1.0
        bend_error = found.flexion.value - sign * (axes[Bone.FEMUR] - axes[Bone.TIBIA])
    centre = np.subtract(found.centre, stand.project(np.zeros(3))) * PIXEL
    return Errors(
        kind,
        scale,
        float(np.hypot(*centre)),
        float(off[Bone.FEMUR]),
        float(off[Bone.TIBIA]),
        100.0 * abs(found.scale.step[0] / PIXEL - 1.0),
        float(abs(bend_error)),
        found.confidence,
        seconds,
    )


def cell(values: list[float]) -> str:
    """Median and 95th percentile."""
    known = np.array(values)[np.isfinite(values)]
    if not len(known):
        return "–"
    return f"{np.median(known):.1f} / {np.quantile(known, 0.95):.1f}"


@app.command()
def films(
    bones: Annotated[Path, typer.Argument(help="Folder of bone surfaces.")],
    knees: Annotated[str, typer.Option(help="Names, commas between.")] = "mc22_right",
    seeds: Annotated[int, typer.Option(help="Films of each knee, view and simulator.")] = 3,
    weights: Annotated[Path | None, typer.Option(help="Default: those shipped.")] = None,
    threads: Annotated[int, typer.Option(help="Of the processor.")] = 1,
) -> None:
    """Find knees on whole films and print median and 95th percentile of the errors."""
    torch.set_num_threads(threads)
    model = load_model(weights)
    people = {knee.name: knee for knee in load_knees(bones)}
    rows: list[Errors] = []
    for name in knees.split(","):
        for seed in range(seeds):
            flexion = float(np.random.default_rng([seed, 5]).uniform(0.0, 35.0))
            knee = bent(people[name], flexion)
            for view in (View.AP, View.LATERAL):
                for simulator in Simulator:
                    film, stand = whole_film(knee, view, simulator, seed)
                    kind = f"{'AP' if view is View.AP else 'lateral'}, {simulator.value}"
                    for scale in ("known", "unknown"):
                        rows.append(errors_of(film, stand, knee, kind, scale, model))
                        print(name, seed, rows[-1], file=sys.stderr)
    names = ("centre", "femur", "tibia", "flexion", "size", "seconds")
    headings = ("film", "scale", "films", "centre, mm", "femur, °", "tibia, °", "flexion, °")
    typer.echo(f"| {' | '.join(headings)} | scale, % | seconds |")
    typer.echo("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for kind in sorted({row.kind for row in rows}):
        for scale in ("known", "unknown"):
            some = [row for row in rows if (row.kind, row.scale) == (kind, scale)]
            cells = [cell([getattr(row, each) for row in some]) for each in names]
            typer.echo(f"| {kind} | {scale} | {len(some)} | {' | '.join(cells)} |")


if __name__ == "__main__":
    app()
