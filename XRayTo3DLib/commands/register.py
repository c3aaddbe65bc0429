"""``xrayto3d register``, with ``intensity`` and ``register-study``: the rival of the networks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from XRayTo3DLib.commands.reconstruct import FrameOption, SideOption, parse_pixel

TABLE_NAME = "registration.md"
SCORES_NAME = "registration.csv"

_MODEL_HELP = "Shape and intensity model: a file of xrayto3d intensity, or the one shipped."
_SHIPPED = Path("knee-ssim")


def _millimetres(name: str, what: str) -> Any:
    return typer.Option(f"--{name}", help=f"{what}, both films, mm.", metavar="MM")


def _centre_option(film: str) -> Any:
    return typer.Option(
        f"--{film.lower()}-centre",
        help=f"Middle of the joint on the upright {film} film, pixels (default: of the film).",
        metavar="ROW,COL",
        parser=parse_pixel,
    )


def register(
    ap: Annotated[Path, typer.Argument(help="Frontal radiograph.")],
    lateral: Annotated[Path, typer.Argument(help="Lateral radiograph of the same knee.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the results; made if need be.")
    ],
    model: Annotated[Path, typer.Option(help=_MODEL_HELP)] = _SHIPPED,
    start: Annotated[
        Path | None,
        typer.Option(
            help="JSON of 4×4 matrices by bone, RAS mm, that lay the mean bones on the knee "
            "(default: as in the mean knee, its joint at the isocentre)."
        ),
    ] = None,
    side: Annotated[
        SideOption | None, typer.Option(help="Which knee; overrides the files.")
    ] = None,
    spacing: Annotated[
        float | None, _millimetres("spacing", "Between pixels at the detector")
    ] = None,
    sid: Annotated[float | None, _millimetres("sid", "Source to image (detector)")] = None,
    sod: Annotated[float | None, _millimetres("sod", "Source to object (the knee)")] = None,
    angle: Annotated[
        float, typer.Option(help="Between the central rays of the films, degrees.", metavar="DEG")
    ] = 90.0,
    ap_centre: Annotated[Any, _centre_option("AP")] = None,
    lateral_centre: Annotated[Any, _centre_option("lateral")] = None,
    time_limit: Annotated[
        float, typer.Option(min=1, help="Seconds after which the search ends.")
    ] = 60.0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the results of an earlier run.")
    ] = False,
    frame: Annotated[
        FrameOption, typer.Option(help="Frame of the surfaces: LPS, as in 3D Slicer, or RAS.")
    ] = FrameOption.LPS,
) -> None:
    """Register a shape and intensity model to two radiographs, to compare the networks with.

    Writes the files that xrayto3d reconstruct writes. Not for clinical use.
    """
    import json

    from XRayTo3DLib.anatomy.intensity_model import KneeModel
    from XRayTo3DLib.commands.summary import print_summary
    from XRayTo3DLib.imaging.centres import stated_centres
    from XRayTo3DLib.imaging.film_options import FilmOptions, read_films
    from XRayTo3DLib.imaging.radiograph import Side
    from XRayTo3DLib.progress import ShellProgress
    from XRayTo3DLib.reconstruction.destination import REPORT_NAME, check_destination
    from XRayTo3DLib.reconstruction.outputs import write_outputs
    from XRayTo3DLib.reconstruction.registration import Registrar, RegistrationSettings
    from XRayTo3DLib.reconstruction.registration_pose import read_start
    from XRayTo3DLib.reconstruction.registration_result import registered

    check_destination(output, overwrite=overwrite)
    frontal, sagittal = read_films(
        FilmOptions(ap),
        FilmOptions(lateral),
        side=None if side is None else Side(side.value),
        spacing=spacing,
        sid=sid,
        sod=sod,
    )
    placing = None if start is None else read_start(start, frontal.side.value)
    registrar = Registrar(KneeModel.load(model), RegistrationSettings(time_limit=time_limit))
    centres = stated_centres(frontal, sagittal, ap_centre, lateral_centre)
    with ShellProgress() as progress:
        found, result = registered(
            registrar, frontal, sagittal, centres, angle=angle, start=placing, progress=progress
        )
        write_outputs(result, output, overwrite=overwrite, frame=frame.value, progress=progress)
    print_summary(json.loads((output / REPORT_NAME).read_text("utf-8")), output)
    typer.echo(
        f"Likeness {found.likeness[0]:.2f} on the frontal film, {found.likeness[1]:.2f} on the "
        f"lateral; stopped: {found.stopped}; {'' if found.converged else 'not '}converged."
    )


def intensity(
    population: Annotated[
        Path, typer.Option(help="Folder of shape models, as xrayto3d population makes it.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="File for the model, .npz.")],
    draws: Annotated[int, typer.Option(min=4, help="Tissues that are drawn.")] = 40,
    seed: Annotated[int, typer.Option(min=0, help="Of the draws.")] = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file if it exists.")
    ] = False,
) -> None:
    """Fill the shape models of a population with intensity, for xrayto3d register."""
    from XRayTo3DLib.anatomy.intensity_model import learn_intensity
    from XRayTo3DLib.anatomy.population import load_models
    from XRayTo3DLib.errors import InputFileError
    from XRayTo3DLib.progress import ShellProgress

    if output.suffix != ".npz" or not output.parent.is_dir():
        raise InputFileError(output, "must end in .npz and lie in a folder that exists.")
    if output.exists() and not overwrite:
        raise InputFileError(output, "exists; use --overwrite to replace it.")
    with ShellProgress() as progress:
        model = learn_intensity(load_models(population), draws=draws, seed=seed, progress=progress)
    model.save(output)
    typer.echo(f"Model of {len(model.people)} people in {output}")


def register_study(
    bones: Annotated[
        Path, typer.Option(help="Folder of bone surfaces with its index.json (RAS, mm).")
    ],
    person: Annotated[
        list[str], typer.Option(help="Who is measured: a person held out; may be repeated.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the tables.")],
    model: Annotated[Path, typer.Option(help=_MODEL_HELP)] = _SHIPPED,
    film: Annotated[
        list[str] | None,
        typer.Option(help="Simulator of the films: own or gvxr; may be repeated (default: both)."),
    ] = None,
    placements: Annotated[
        int, typer.Option(min=1, help="How often each knee is placed and filmed anew.")
    ] = 2,
    draws: Annotated[
        int, typer.Option(min=1, help="Starts of each kind for each pair of films.")
    ] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Of placing, machine, films and starts.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="Of the processor.")] = 2,
) -> None:
    """Measure registration: accuracy, failures and seconds, from starts by hand and worse ones.

    Writes registration.md and registration.csv.
    """
    import torch
    from rich.console import Console
    from rich.progress import Progress

    from XRayTo3DLib.anatomy.intensity_model import KneeModel
    from XRayTo3DLib.anatomy.knee import load_knees, split_by_person
    from XRayTo3DLib.errors import XRayTo3DError
    from XRayTo3DLib.evaluation.filming import Simulator
    from XRayTo3DLib.evaluation.registration_study import (
        StudySettings,
        registration_study,
        study_csv,
        study_table,
    )
    from XRayTo3DLib.reconstruction.registration import Registrar

    names = film or [simulator.value for simulator in Simulator]
    if unknown := set(names) - {simulator.value for simulator in Simulator}:
        raise XRayTo3DError(f"--film is own or gvxr, not {', '.join(sorted(unknown))}.")
    torch.set_num_threads(threads)
    _, knees = split_by_person(load_knees(bones), person)
    settings = StudySettings(
        simulators=tuple(Simulator(name) for name in names),
        placements=placements,
        draws=draws,
        seed=seed,
    )
    with Progress(console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("Registering", total=None)

        def advance(done: int, total: int) -> None:
            bars.update(task, completed=done, total=total)

        trials = registration_study(knees, Registrar(KneeModel.load(model)), settings, advance)
    output.mkdir(parents=True, exist_ok=True)
    (output / SCORES_NAME).write_text(study_csv(trials), encoding="utf-8")
    table = study_table(trials)
    (output / TABLE_NAME).write_text(table, encoding="utf-8")
    typer.echo(table)
