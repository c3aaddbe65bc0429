"""Vectors of films in a file, with the weights that they come from."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from io import StringIO
from pathlib import Path

import numpy as np

from XRayTo3DLib.errors import InputFileError
from XRayTo3DLib.reconstruction.result import ModelIdentity


def check_embedding_file(path: Path) -> None:
    """Refuse a name that :func:`write_embeddings` would.

    Raises:
        InputFileError: the file would be of another kind, or its folder is missing.
    """
    if path.suffix.lower() not in (".npz", ".csv"):
        raise InputFileError(path, "cannot hold vectors; name it .npz or .csv.")
    if not path.absolute().parent.is_dir():
        raise InputFileError(path, "lies in a folder that does not exist; make the folder first.")


def write_embeddings(
    path: Path, vectors: Mapping[Path, np.ndarray], identity: ModelIdentity
) -> None:
    """Write one row a film: its file name, the SHA-256 of the weights, the vector.

    Args:
        path: .npz (``files`` text, ``vectors`` ``(N, length)`` float32, ``weights`` text) or .csv
            (columns ``file``, ``weights``, ``v0``, ``v1``, …).
        vectors: of each film.
        identity: of the weights.
    """
    check_embedding_file(path)
    names = [film.name for film in vectors]
    rows = np.stack(list(vectors.values())).astype(np.float32)
    unfinished = path.with_name(f".{path.name}.part")
    if path.suffix.lower() == ".npz":
        with unfinished.open("wb") as file:
            np.savez_compressed(
                file, files=np.array(names), vectors=rows, weights=np.array(identity.sha256)
            )
    else:
        text = StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow(["file", "weights", *(f"v{k}" for k in range(rows.shape[1]))])
        for name, row in zip(names, rows, strict=True):
            writer.writerow([name, identity.sha256, *(f"{value:.6g}" for value in row)])
        unfinished.write_text(text.getvalue(), encoding="utf-8")
    unfinished.replace(path)
