"""``xrayto3d density``: one radiograph in, or two; the density of the leg out."""

from __future__ import annotations

from contextlib import nullcontext
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from XRayTo3DLib.commands.reconstruct import SideOption, parse_pixel

_SCALE = "Scale and distances"
_PLACE = "Orientation and position"


class ViewOption(str, Enum):
    """The values of ``--view``."""

    AP = "AP"
    PA = "PA"
    LATERAL = "lateral"


def _scale_option(name: str, what: str) -> Any:
    return typer.Option(f"--{name}", help=f"{what}, mm.", metavar="MM", rich_help_panel=_SCALE)


def _centre_option(name: str, which: str) -> Any:
    return typer.Option(
        name,
        help=f"Middle of the joint on the upright {which}, pixels (default: of the film).",
        metavar="ROW,COL",
        parser=parse_pixel,
        rich_help_panel=_PLACE,
    )


def density(
    film: Annotated[
        Path,
        typer.Argument(
            help="Radiograph: DICOM, PNG, JPEG, TIFF, NRRD, MHA or NIfTI; the frontal one of two."
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the results; made if need be.")
    ],
    lateral: Annotated[
        Path | None, typer.Argument(help="Lateral radiograph of the same knee.")
    ] = None,
    view: Annotated[
        ViewOption | None,
        typer.Option(help="Which view a single film is (default: what the file says)."),
    ] = None,
    side: Annotated[
        SideOption | None, typer.Option(help="Which knee; overrides the files.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Weights of the network (default: those shipped).")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the results of an earlier run.")
    ] = False,
    rounds: Annotated[
        int,
        typer.Option(min=0, help="Of the fusion with the films' detail; 0: the network's alone."),
    ] = 3,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Processor threads (default: all cores).")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
    spacing: Annotated[
        float | None, _scale_option("spacing", "Between pixels at the detector")
    ] = None,
    sid: Annotated[float | None, _scale_option("sid", "Source to image (detector)")] = None,
    sod: Annotated[
        float | None, _scale_option("sod", "Source to object (middle of the knee)")
    ] = None,
    angle: Annotated[
        float,
        typer.Option(
            help="Between the central rays of two films, degrees.",
            metavar="DEG",
            rich_help_panel=_PLACE,
        ),
    ] = 90.0,
    flip: Annotated[
        bool,
        typer.Option("--flip", help="The first film is shown mirrored.", rich_help_panel=_PLACE),
    ] = False,
    flip_lateral: Annotated[
        bool,
        typer.Option(
            "--flip-lateral", help="The second film is shown mirrored.", rich_help_panel=_PLACE
        ),
    ] = False,
    dark: Annotated[
        bool | None,
        typer.Option(
            "--dark/--bright",
            help="Bone is dark (or bright) in the files, whatever they say.",
            show_default=False,
            rich_help_panel=_PLACE,
        ),
    ] = None,
    centre: Annotated[Any, _centre_option("--centre", "first film")] = None,
    lateral_centre: Annotated[Any, _centre_option("--lateral-centre", "second film")] = None,
    find_joint: Annotated[
        bool,
        typer.Option(
            "--find-joint/--no-find-joint",
            help="Look for the joint on two films whose centres are not given.",
            rich_help_panel=_PLACE,
        ),
    ] = True,
) -> None:
    """Estimate the density of the leg, as a CT would measure it, from one radiograph or two.

    Writes density.nrrd and uncertainty.nrrd (Hounsfield units), report.json and overview.png. Along
    the rays of a single film the density is a guess: the uncertainty says where. Not for clinical
    use.
    """
    from XRayTo3DLib.imaging.radiograph import Side, View
    from XRayTo3DLib.imaging.reading import read_radiograph
    from XRayTo3DLib.progress import ShellProgress, silent
    from XRayTo3DLib.tomography.density_outputs import density_targets
    from XRayTo3DLib.tomography.picture_files import check_targets

    check_targets(density_targets(output), overwrite=overwrite)
    stated: dict[str, Any] = {
        "side": None if side is None else Side(side.value),
        "spacing": spacing,
        "sid": sid,
        "sod": sod,
        "inverted": dark,
    }
    if lateral is None:
        chosen = None if view is None else View(view.value)
        films = [read_radiograph(film, view=chosen, flip=flip, **stated)]
    else:
        from XRayTo3DLib.imaging.pair import read_pair

        # What is suspicious about the two together, the estimate finds again and says.
        frontal, sagittal, _ = read_pair(
            film, lateral, flip_ap=flip, flip_lateral=flip_lateral, **stated
        )
        films = [frontal, sagittal]
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    # Not before the films are known to be good: importing the networks takes a second.
    from XRayTo3DLib.tomography.density_outputs import write_density_outputs
    from XRayTo3DLib.tomography.estimate import estimate_density

    with nullcontext(silent) if quiet else ShellProgress() as progress:
        result = estimate_density(
            films,
            angle=angle,
            centres=[centre, lateral_centre][: len(films)],
            find_joint=find_joint,
            rounds=rounds,
            weights=weights,
            progress=progress,
        )
        write_density_outputs(result, output)
    if quiet:
        return
    for sentence in result.all_warnings:
        typer.echo(f"Warning: {sentence}")
    for shown in result.films:
        fit = shown.agreement
        typer.echo(
            f"{shown.film.view.value.value}: re-projection {fit.psnr:.1f} dB, SSIM {fit.ssim:.3f}, "
            f"gradient correlation {fit.ngcc:.3f}"
        )
    typer.echo(f"Density in {output}. Not for clinical use.")
