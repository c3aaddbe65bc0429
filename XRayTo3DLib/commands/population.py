"""``xrayto3d population``: one shape model per bone from the bones of many people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

    from XRayTo3DLib.anatomy.population import Population
    from XRayTo3DLib.anatomy.shape_model import ShapeModel

TABLE_NAME = "population.md"
FIGURE_NAME = "modes.png"

_SHOWN_MODES = 3
_SHOWN_DEVIATIONS = 2.0
_LIMIT_MM = 5.0


def population(
    bones: Annotated[
        Path, typer.Option(help="Folder of bone surfaces with its index.json (RAS, mm).")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for models, table and figure.")
    ],
    hold_out: Annotated[
        list[str] | None,
        typer.Option(help="A person who is measured, not learnt from; may be repeated."),
    ] = None,
) -> None:
    """Learn how each bone varies between people, and measure it on the people held out.

    Writes femur.npz, tibia.npz, patella.npz, fibula.npz, population.md and modes.png.
    """
    from XRayTo3DLib.anatomy.knee import load_knees
    from XRayTo3DLib.anatomy.population import learn_population, population_table
    from XRayTo3DLib.progress import ShellProgress

    knees = load_knees(bones)
    with ShellProgress() as progress:
        learnt = learn_population(knees, hold_out or (), progress=progress)
    output.mkdir(parents=True, exist_ok=True)
    learnt.save(output)
    table = population_table(learnt, knees)
    (output / TABLE_NAME).write_text(table, encoding="utf-8")
    figure = modes_figure(learnt)
    figure.savefig(output / FIGURE_NAME, dpi=150, metadata={"Software": None})
    typer.echo(table)
    typer.echo(f"Models, table and figure in {output}")


def modes_figure(learnt: Population) -> Figure:
    """The mean of each bone and two deviations of its first modes to either side of it.

    Red stands out of the mean shape, blue lies within it. Femur and patella are seen from the
    front, tibia and fibula from behind, where the joint's own shape shows most.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    columns = 1 + 2 * _SHOWN_MODES
    figure = Figure(figsize=(1.75 * columns + 0.9, 12.0), layout="constrained")
    FigureCanvasAgg(figure)
    models = [part.model for part in learnt.bones.values()]
    panels = figure.subplots(len(models), columns, squeeze=False)
    colours = ScalarMappable(Normalize(-_LIMIT_MM, _LIMIT_MM), "RdBu_r")
    for row, model in zip(panels, models, strict=True):
        _show_modes(row, model, colours)
    figure.colorbar(
        colours, ax=panels, extend="both", shrink=0.5, label="outside the mean shape, mm"
    )
    return figure


def _show_modes(panels: list[Axes], model: ShapeModel, colours: ScalarMappable) -> None:
    import numpy as np

    _show(panels[0], model, np.zeros(1), colours)
    panels[0].set_title(f"{model.bone.title}: mean", fontsize=9)
    for mode in range(_SHOWN_MODES):
        for side, sign in enumerate((-1.0, 1.0)):
            panel = panels[1 + 2 * mode + side]
            if mode >= len(model.modes):
                panel.set_axis_off()
                continue
            coefficients = np.zeros(mode + 1)
            coefficients[mode] = sign * _SHOWN_DEVIATIONS
            _show(panel, model, coefficients, colours)
            share = f"\n{100 * model.shares[mode]:.0f} % of variance" if side == 0 else "\n"
            panel.set_title(
                f"mode {mode + 1}: {_signed(sign * _SHOWN_DEVIATIONS)} sd{share}", fontsize=8
            )


def _signed(value: float) -> str:
    return f"{value:+.0f}".replace("-", "\N{MINUS SIGN}")


def _show(
    panel: Axes, model: ShapeModel, coefficients: np.ndarray, colours: ScalarMappable
) -> None:
    import numpy as np

    from XRayTo3DLib.anatomy.bones import Bone
    from XRayTo3DLib.anatomy.joint import vertex_normals
    from XRayTo3DLib.evaluation.error_maps import render

    shape = model.reconstructed(coefficients)
    normals = vertex_normals(model.mean_surface)
    outside = np.einsum("ij,ij->i", shape.vertices - model.mean, normals)
    from_front = model.bone in (Bone.FEMUR, Bone.PATELLA)
    towards = (0.0, -1.0, 0.0) if from_front else (0.0, 1.0, 0.0)
    right = (-1.0, 0.0, 0.0) if from_front else (1.0, 0.0, 0.0)
    picture, extent = render(shape, colours.to_rgba(outside)[:, :3], right, towards)
    panel.imshow(picture, extent=extent, interpolation="antialiased")
    middle = model.mean @ np.array(right)
    half = 0.6 * float(np.ptp(model.mean[:, 2])) + 4.0
    centre = 0.5 * float(middle.min() + middle.max())
    height = 0.5 * float(model.mean[:, 2].min() + model.mean[:, 2].max())
    panel.set_xlim(centre - 0.5 * half - 18.0, centre + 0.5 * half + 18.0)
    panel.set_ylim(height - half, height + half)
    panel.set_axis_off()
