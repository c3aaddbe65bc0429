"""``xrayto3d prepare``: training cases and bone surfaces from a labelled CT."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def prepare(
    ct: Annotated[Path, typer.Argument(help="CT: NIfTI, NRRD, MHA, or folder of a DICOM series.")],
    labels: Annotated[
        Path, typer.Argument(help="Label map, or folder with a mask a bone (femur_left.nii.gz …).")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for cases and bones.")],
    person: Annotated[
        str, typer.Option(help="A name of your choice, by which people are held out; no real name.")
    ],
    label: Annotated[
        list[str] | None,
        typer.Option(help="Value of a bone in the label map, as femur=1; may be repeated."),
    ] = None,
    side: Annotated[
        str | None,
        typer.Option(
            help="left or right: the only knee to take from a scan of two; of a scan of one, which "
            "it is where the files do not say it."
        ),
    ] = None,
    views: Annotated[
        int, typer.Option(min=1, help="Cases per knee, each with another X-ray machine.")
    ] = 8,
    seed: Annotated[int, typer.Option(min=0, help="Of the machines.")] = 0,
) -> None:
    """Make training cases, and surfaces for 'generate' and 'evaluate', from a labelled CT.

    Cases of several CTs may go to one folder. Labels are femur=1, tibia=2, patella=3, fibula=4
    unless said otherwise.
    """
    from XRayTo3DLib.anatomy.labelled_ct import read_volume
    from XRayTo3DLib.imaging.radiograph import Side
    from XRayTo3DLib.progress import ShellProgress
    from XRayTo3DLib.training.prepare import label_values, prepare_ct

    if side is not None and side not in {s.value for s in Side}:
        raise typer.BadParameter(f"{side!r} is neither left nor right.", param_hint="--side")
    with ShellProgress() as progress:
        made = prepare_ct(
            read_volume(ct),
            labels,
            output,
            person=person,
            labels=label_values(label or []),
            side=Side(side) if side else None,
            views=views,
            seed=seed,
            progress=progress,
        )
    for name, count in made.items():
        typer.echo(f"{name}: {count} cases in {output}, surfaces in {output / 'bones' / name}")
