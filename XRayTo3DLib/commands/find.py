"""``xrayto3d find``: where the knee is on a film, how it stands and how large it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from XRayTo3DLib.commands.reconstruct import SideOption

if TYPE_CHECKING:
    from XRayTo3DLib.imaging.radiograph import Radiograph
    from XRayTo3DLib.reconstruction.calibration_ball import Ball
    from XRayTo3DLib.reconstruction.joint_scale import FilmScale

REPORT_NAME = "found.json"
PICTURE_NAME = "found.png"


def parse_ruler(text: str) -> tuple[float, float, float, float, float]:
    """``"R1,C1,R2,C2,MM"``: two pixels (row, column) and the mm between them."""
    try:
        r1, c1, r2, c2, length = (float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not R1,C1,R2,C2,MM, as in 100,80,100,480,50."
        ) from None
    return r1, c1, r2, c2, length


def parse_view(text: str) -> str:
    """``AP``, ``PA`` or ``lateral``, however it is written."""
    for view in ("AP", "PA", "lateral"):
        if text.lower() == view.lower():
            return view
    raise typer.BadParameter(f"{text!r} is no view; say AP, PA or lateral.")


def find(
    film: Annotated[
        Path, typer.Argument(help="Radiograph: DICOM, PNG, JPEG, TIFF, NRRD, MHA, NIfTI.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for found.json and found.png.")
    ],
    view: Annotated[
        Any,
        typer.Option(
            help="AP, PA or lateral; found if neither file nor you say it.",
            parser=parse_view,
            metavar="VIEW",
        ),
    ] = None,
    side: Annotated[
        SideOption | None, typer.Option(help="Which knee; found if neither file nor you say it.")
    ] = None,
    spacing: Annotated[
        float | None, typer.Option(help="Between pixels at the detector, mm.", metavar="MM")
    ] = None,
    ball: Annotated[
        float | None,
        typer.Option(
            help="Diameter of a calibration ball beside the knee, mm; it is found.", metavar="MM"
        ),
    ] = None,
    ruler: Annotated[
        Any,
        typer.Option(
            help="Two pixels of the upright film (row, column) and the mm between them, beside "
            "the knee.",
            parser=parse_ruler,
            metavar="R1,C1,R2,C2,MM",
        ),
    ] = None,
    flip: Annotated[bool, typer.Option("--flip", help="The film is mirrored; turn it.")] = False,
    dark: Annotated[
        bool | None, typer.Option("--dark/--bright", help="Bone is dark (or bright) in the file.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Weights of the network (default: those shipped).")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the results of an earlier run.")
    ] = False,
) -> None:
    """Find the knee on a film: joint, shaft axes, flexion and scale. Not for clinical use.

    Writes found.json and found.png. A scale that nobody knows is taken from the size of the joint.
    """
    from XRayTo3DLib.imaging.radiograph import Origin, Side, View
    from XRayTo3DLib.imaging.reading import read_radiograph

    _check_folder(output, overwrite)
    _check_scales(spacing, ball, ruler)
    said_view = None if view is None else View(view)
    said_side = None if side is None else Side(side.value)
    radiograph = read_radiograph(
        film,
        view=said_view,
        side=said_side,
        spacing=spacing,
        flip=flip,
        inverted=dark,
        fallback_view=View.AP,
    )
    from XRayTo3DLib.reconstruction.finding import SURE
    from XRayTo3DLib.reconstruction.finding_identity import find_unnamed
    from XRayTo3DLib.reconstruction.finding_picture import found_report, write_picture
    from XRayTo3DLib.reconstruction.weights import load_model

    model = load_model(weights)
    scale, disc = _measured_scale(radiograph, ball, ruler)
    view_known = radiograph.view.origin is Origin.HEADER or said_view is not None
    found = find_unnamed(radiograph, model, scale, view_known=view_known)
    if found.confidence < SURE:
        typer.echo(f"{film.name}: what was found may be no knee; look at {PICTURE_NAME}.", err=True)
    output.mkdir(parents=True, exist_ok=True)
    write_picture(found, output / PICTURE_NAME, disc)
    report = json.dumps(found_report(found, disc), indent=1, ensure_ascii=False)
    (output / REPORT_NAME).write_text(report + "\n", encoding="utf-8")
    typer.echo(f"{output / PICTURE_NAME}: confidence {found.confidence:.2f}")


def _check_folder(folder: Path, overwrite: bool) -> None:
    from XRayTo3DLib.errors import InputFileError

    if folder.exists() and not folder.is_dir():
        raise InputFileError(folder, "is a file; name a folder for the results.")
    for name in (REPORT_NAME, PICTURE_NAME):
        if (folder / name).exists() and not overwrite:
            raise InputFileError(
                folder / name, "exists already; name another folder, or say --overwrite."
            )


def _check_scales(spacing: float | None, ball: float | None, ruler: Any) -> None:
    from XRayTo3DLib.errors import XRayTo3DError

    given = {"--spacing": spacing, "--ball": ball, "--ruler": ruler}
    said = [name for name, value in given.items() if value is not None]
    if len(said) > 1:
        raise XRayTo3DError(f"{' and '.join(said)} both say how large a pixel is; give one.")


def _measured_scale(
    film: Radiograph, ball: float | None, ruler: Any
) -> tuple[FilmScale | None, Ball | None]:
    from XRayTo3DLib.reconstruction.calibration_ball import scale_by_ball, scale_by_ruler

    if ball is not None:
        return scale_by_ball(film, ball)
    if ruler is not None:
        r1, c1, r2, c2, length = ruler
        return scale_by_ruler(film, (r1, c1), (r2, c2), length), None
    return None, None
