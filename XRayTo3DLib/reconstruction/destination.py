"""The files of a result, and whether they may go where they are to go."""

from __future__ import annotations

import os
from pathlib import Path

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.errors import XRayTo3DError

SEGMENTATION_NAME = "knee.seg.nrrd"
OVERVIEW_NAME = "overview.png"
REPORT_NAME = "report.json"
STYLE_NAME = "style.png"


def surface_name(bone: Bone) -> str:
    """File name of a bone's surface."""
    return f"{bone.key}.stl"


OUTPUT_NAMES = (
    *(surface_name(bone) for bone in Bone),
    SEGMENTATION_NAME,
    OVERVIEW_NAME,
    REPORT_NAME,
    STYLE_NAME,
)
"""Every file that a result may write, replace or remove; it touches no other."""


def check_destination(directory: str | Path, *, overwrite: bool = False) -> None:
    """Find out, before any work is done, whether the outputs may go to ``directory``.

    Raises:
        XRayTo3DError: it is or lies below a file, or holds one of :data:`OUTPUT_NAMES` and
            ``overwrite`` is off.
    """
    directory = Path(directory)
    for folder in (directory, *directory.parents):
        if os.path.lexists(folder) and not folder.is_dir():
            raise XRayTo3DError(f"{folder} is not a folder; name another with --output.")
    for name in OUTPUT_NAMES:
        check_target(directory / name, overwrite=overwrite, other="another folder")


def check_target(target: Path, *, overwrite: bool, other: str) -> None:
    """Find out whether one file may be written.

    Args:
        target: the file.
        overwrite: whether it is replaced where it exists.
        other: what the user should name instead with ``--output``.

    Raises:
        XRayTo3DError: it is a folder, or exists and ``overwrite`` is off.
    """
    if target.is_dir():
        raise XRayTo3DError(
            f"{target} is a folder where a file must go; name {other} with --output."
        )
    if os.path.lexists(target) and not overwrite:
        raise XRayTo3DError(
            f"{target} exists; use --overwrite to replace it or {other} for --output."
        )
