"""``xrayto3d embed``: radiographs to vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def embed(
    films: Annotated[
        list[Path], typer.Argument(help="Radiographs: DICOM, PNG, JPEG, TIFF, NRRD, MHA, NIfTI.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File for the vectors, .npz or .csv.")
    ],
    view: Annotated[str, typer.Option(help="ap or lateral, where the file does not say.")] = "ap",
    spacing: Annotated[
        float | None, typer.Option(help="Between pixels at the detector, mm.", metavar="MM")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Weights of the network (default: those shipped).")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an older file.")] = False,
) -> None:
    """Write the vector of each film: unit length, 2048 numbers with the weights that are shipped.

    Vectors of different weights cannot be compared; the file says whose they are. Side and view
    are those of the file; nothing of the patient is written but the file's name.
    """
    from XRayTo3DLib.errors import InputFileError, XRayTo3DError
    from XRayTo3DLib.imaging.radiograph import View
    from XRayTo3DLib.imaging.reading import read_radiograph
    from XRayTo3DLib.reconstruction.embedding import embed as embed_film
    from XRayTo3DLib.reconstruction.embedding_file import check_embedding_file, write_embeddings
    from XRayTo3DLib.reconstruction.weights import load_model

    if view not in ("ap", "lateral"):
        raise XRayTo3DError(f"--view is ap or lateral, not {view!r}.")
    if output.exists() and not overwrite:
        raise InputFileError(output, "is there already; name another file, or say --overwrite.")
    check_embedding_file(output)
    stated = View.AP if view == "ap" else View.LATERAL
    model = load_model(weights)
    vectors = {
        path: embed_film(read_radiograph(path, spacing=spacing, fallback_view=stated), model)
        for path in films
    }
    write_embeddings(output, vectors, model.identity)
    typer.echo(f"{len(vectors)} vectors in {output}")
