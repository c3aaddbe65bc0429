"""``xrayto3d reconstruct``: two radiographs in, four bones out."""

from __future__ import annotations

import json
from contextlib import nullcontext
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

_SCALE = "Scale and distances"
_PLACE = "Orientation and position"


class SideOption(str, Enum):
    """The values of ``--side``."""

    LEFT = "left"
    RIGHT = "right"


class FrameOption(str, Enum):
    """The values of ``--frame``."""

    LPS = "LPS"
    RAS = "RAS"


def parse_pixel(text: str) -> tuple[float, float]:
    """``"ROW,COL"`` as two numbers, pixels."""
    try:
        row, column = (float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not ROW,COL, as in 812,640.") from None
    return row, column


def _scale_option(name: str, what: str) -> Any:
    return typer.Option(f"--{name}", help=f"{what}, mm.", metavar="MM", rich_help_panel=_SCALE)


def _flip_option(film: str) -> Any:
    return typer.Option(
        f"--flip-{film.lower()}",
        help=f"The {film} film is shown mirrored, left for right; turn it back.",
        rich_help_panel=_PLACE,
    )


def _polarity_option(film: str) -> Any:
    name = film.lower()
    return typer.Option(
        f"--{name}-dark/--{name}-bright",
        help=f"Bone is dark (or bright) in the {film} file, whatever the file says.",
        show_default=False,
        rich_help_panel=_PLACE,
    )


def _centre_option(film: str) -> Any:
    return typer.Option(
        f"--{film.lower()}-centre",
        help=f"Middle of the joint on the upright {film} film, pixels (default: of the film, or "
        "where the joint is found).",
        metavar="ROW,COL",
        parser=parse_pixel,
        rich_help_panel=_PLACE,
    )


def reconstruct(
    ap: Annotated[
        Path, typer.Argument(help="Frontal radiograph: DICOM, PNG, JPEG, TIFF, NRRD, MHA, NIfTI.")
    ],
    lateral: Annotated[Path, typer.Argument(help="Lateral radiograph of the same knee.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the results; made if need be.")
    ],
    side: Annotated[
        SideOption | None, typer.Option(help="Which knee; overrides the files.")
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            help="Weights of the network: a file, or the name of others that come with the program "
            "(default: knee-encode64)."
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the results of an earlier run.")
    ] = False,
    frame: Annotated[
        FrameOption, typer.Option(help="Frame of the surfaces: LPS, as in 3D Slicer, or RAS.")
    ] = FrameOption.LPS,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Processor threads (default: all cores).")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
    spacing: Annotated[
        float | None, _scale_option("spacing", "Between pixels at the detector, both films")
    ] = None,
    ap_spacing: Annotated[
        float | None, _scale_option("ap-spacing", "Between pixels at the detector, AP film")
    ] = None,
    lateral_spacing: Annotated[
        float | None, _scale_option("lateral-spacing", "Between pixels at the detector, lateral")
    ] = None,
    sid: Annotated[
        float | None, _scale_option("sid", "Source to image (detector), both films")
    ] = None,
    ap_sid: Annotated[float | None, _scale_option("ap-sid", "Source to image, AP film")] = None,
    lateral_sid: Annotated[
        float | None, _scale_option("lateral-sid", "Source to image, lateral")
    ] = None,
    sod: Annotated[
        float | None, _scale_option("sod", "Source to object (middle of the knee), both films")
    ] = None,
    ap_sod: Annotated[float | None, _scale_option("ap-sod", "Source to object, AP film")] = None,
    lateral_sod: Annotated[
        float | None, _scale_option("lateral-sod", "Source to object, lateral")
    ] = None,
    angle: Annotated[
        float,
        typer.Option(
            help="Between the central rays of the films, degrees.",
            metavar="DEG",
            rich_help_panel=_PLACE,
        ),
    ] = 90.0,
    flip_ap: Annotated[bool, _flip_option("AP")] = False,
    flip_lateral: Annotated[bool, _flip_option("lateral")] = False,
    ap_bone_dark: Annotated[bool | None, _polarity_option("AP")] = None,
    lateral_bone_dark: Annotated[bool | None, _polarity_option("lateral")] = None,
    ap_centre: Annotated[Any, _centre_option("AP")] = None,
    lateral_centre: Annotated[Any, _centre_option("lateral")] = None,
    check_films: Annotated[
        bool,
        typer.Option(
            "--check-films/--no-check-films",
            help="Look whether the films are what they are taken for, and put right what is "
            "merely assumed.",
            rich_help_panel=_PLACE,
        ),
    ] = True,
    accept_any_film: Annotated[
        bool,
        typer.Option(
            "--accept-any-film",
            help="Warn of films that do not look like a knee, instead of refusing them.",
            rich_help_panel=_PLACE,
        ),
    ] = False,
    find_joint: Annotated[
        bool,
        typer.Option(
            "--find-joint/--no-find-joint",
            help="Look for the joint on films whose centre is not given; not for films of a "
            "calibrated machine.",
            rich_help_panel=_PLACE,
        ),
    ] = True,
    search: Annotated[
        bool | None,
        typer.Option(
            "--search/--no-search",
            help="Search the whole of each film for the knee, its lean and its scale (default: "
            "where a film shows much more than a knee, or nobody says its scale). --no-search also "
            "leaves films on which the leg leans as they are.",
            rich_help_panel=_PLACE,
            show_default=False,
        ),
    ] = None,
    style: Annotated[
        str | None,
        typer.Option(
            help="Weights by which the films' style is translated first, see 'train-style', or "
            "'shipped'; style.png shows what they did. The shipped network needs none.",
            metavar="FILE",
        ),
    ] = None,
    refine: Annotated[
        bool | None,
        typer.Option(
            "--refine/--no-refine",
            help="Correct geometry and bones until the outlines agree with both films (default: "
            "where the lateral film shows a bent knee, which was probably straight on the frontal "
            "one). Takes some seconds more; say --no-refine for films of a calibrated machine.",
            rich_help_panel=_PLACE,
            show_default=False,
        ),
    ] = None,
) -> None:
    """Reconstruct femur, tibia, patella and fibula from an AP and a lateral radiograph.

    Writes femur.stl, tibia.stl, patella.stl, fibula.stl, knee.seg.nrrd, overview.png and
    report.json. What the files do not say is assumed, and said. Not for clinical use.
    """
    from XRayTo3DLib.imaging.film_options import FilmOptions, read_films
    from XRayTo3DLib.imaging.radiograph import Side
    from XRayTo3DLib.progress import ShellProgress, silent
    from XRayTo3DLib.reconstruction.destination import REPORT_NAME, check_destination

    check_destination(output, overwrite=overwrite)
    films = read_films(
        FilmOptions(ap, flip_ap, ap_bone_dark, ap_spacing, ap_sid, ap_sod),
        FilmOptions(
            lateral, flip_lateral, lateral_bone_dark, lateral_spacing, lateral_sid, lateral_sod
        ),
        side=None if side is None else Side(side.value),
        spacing=spacing,
        sid=sid,
        sod=sod,
    )
    # Not before the films are known to be good: importing the networks takes seconds.
    from XRayTo3DLib.commands.summary import print_summary
    from XRayTo3DLib.reconstruction.outputs import write_outputs
    from XRayTo3DLib.reconstruction.reconstruct import reconstruct as reconstruct_knee

    _use_threads(threads)
    with nullcontext(silent) if quiet else ShellProgress() as progress:
        result = reconstruct_knee(
            *films,
            angle=angle,
            ap_centre=ap_centre,
            lateral_centre=lateral_centre,
            check_films=check_films,
            accept_any=accept_any_film,
            find_joint=find_joint,
            search=search,
            style=style,
            refine=refine,
            weights=weights,
            progress=progress,
        )
        write_outputs(result, output, overwrite=overwrite, frame=frame.value, progress=progress)
    if not quiet:
        print_summary(json.loads((output / REPORT_NAME).read_text("utf-8")), output)


def _use_threads(count: int | None) -> None:
    if count is None:
        return
    import SimpleITK as sitk
    import torch

    torch.set_num_threads(count)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(count)
