"""Rendered pictures as files: all of them in place, or none."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.reconstruction.destination import check_target
from XRayTo3DLib.tomography.studio import bytes_of

_MADE_BY = "Computed from a density volume by XRayTo3D; no radiograph. Not for clinical use."


def write_png(picture: np.ndarray, path: str | Path) -> None:
    """Write a picture, 0–1, grey or in colour, with a note that no X-ray machine made it.

    The same picture gives the same bytes.
    """
    note = PngInfo()
    note.add_text("Description", _MADE_BY)
    Image.fromarray(bytes_of(picture)).save(path, format="PNG", pnginfo=note)


def check_targets(targets: Mapping[str, Path], *, overwrite: bool) -> None:
    """Find out, before any work is done, whether files may be written.

    Args:
        targets: the files, by what they are.
        overwrite: whether files that exist are replaced.

    Raises:
        XRayTo3DError: a file exists, is a folder, lies below a file, or is named twice.
    """
    if len({path.absolute() for path in targets.values()}) < len(targets):
        raise XRayTo3DError("Two of the pictures would have the same name; give them other names.")
    for path in targets.values():
        for folder in path.absolute().parents:
            if os.path.lexists(folder) and not folder.is_dir():
                raise XRayTo3DError(f"{folder} is not a folder; name another with --output.")
        check_target(path, overwrite=overwrite, other="another file")


@contextmanager
def staged(targets: Mapping[str, Path]) -> Iterator[dict[str, Path]]:
    """Places to write files to; they move to their targets once all are written.

    A failure on the way leaves every target as it was.

    Raises:
        XRayTo3DError: a folder cannot be written.
    """
    folder = next(iter(targets.values())).absolute().parent
    beside = next(path for path in (folder, *folder.parents) if path.is_dir())
    try:
        with tempfile.TemporaryDirectory(prefix=".xrayto3d-", dir=beside) as stage:
            places = {
                what: Path(stage) / f"{number}-{path.name}"
                for number, (what, path) in enumerate(targets.items())
            }
            yield places
            for what, place in places.items():
                targets[what].parent.mkdir(parents=True, exist_ok=True)
                os.replace(place, targets[what])
    except OSError as error:
        reason = error.strerror or "unknown reason"
        raise XRayTo3DError(
            f"{folder} cannot be written ({reason}); check --output and the space left."
        ) from error
