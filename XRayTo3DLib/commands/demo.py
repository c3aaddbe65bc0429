"""``xrayto3d demo``: the sample radiographs, reconstructed and compared with the known truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")] = Path(
        "demo"
    ),
) -> None:
    """Reconstruct the sample radiographs and print the error against the known truth.

    The knee is nobody's: it was generated from a shape that the training never saw and filmed by
    another simulator than the one that makes the training's films. Results of an earlier demo are
    replaced.
    """
    import json

    from rich.console import Console

    from XRayTo3DLib.anatomy.bones import Bone
    from XRayTo3DLib.anatomy.surface import read_surface
    from XRayTo3DLib.commands.summary import print_summary
    from XRayTo3DLib.evaluation.tables import score_knee, summarise, terminal_table
    from XRayTo3DLib.progress import ShellProgress
    from XRayTo3DLib.reconstruction.destination import REPORT_NAME, check_destination
    from XRayTo3DLib.reconstruction.outputs import write_outputs
    from XRayTo3DLib.reconstruction.reconstruct import reconstruct
    from XRayTo3DLib.resources import resource_path

    check_destination(output, overwrite=True)
    with ShellProgress() as progress:
        result = reconstruct(
            resource_path("SampleData", "knee_ap.dcm"),
            resource_path("SampleData", "knee_lateral.dcm"),
            progress=progress,
        )
        written = write_outputs(result, output, overwrite=True, progress=progress)
    print_summary(json.loads((output / REPORT_NAME).read_text("utf-8")), output)
    truth = {
        bone: read_surface(resource_path("SampleData", "truth", f"{bone.key}.ply")) for bone in Bone
    }
    rows = score_knee(
        result.surfaces, truth, result.grid, knee="sample", person="nobody", film="sample"
    )
    console = Console(highlight=False)
    console.print(terminal_table(summarise(rows), title="Error against the known truth, mm"))
    console.print("Surfaces, segmentation, figure and report:")
    for path in written:
        console.print(f"  {path}", soft_wrap=True)
