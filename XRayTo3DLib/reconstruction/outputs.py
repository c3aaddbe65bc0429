"""The files of a reconstruction: all of them in place, or none."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from XRayTo3DLib.anatomy.surface import write_surface
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.progress import Progress, silent
from XRayTo3DLib.reconstruction.destination import (
    OUTPUT_NAMES,
    OVERVIEW_NAME,
    REPORT_NAME,
    SEGMENTATION_NAME,
    STYLE_NAME,
    check_destination,
    surface_name,
)
from XRayTo3DLib.reconstruction.outlines import outlines_of
from XRayTo3DLib.reconstruction.overview import write_overview
from XRayTo3DLib.reconstruction.report import build_report
from XRayTo3DLib.reconstruction.result import Reconstruction, StyledFilms
from XRayTo3DLib.reconstruction.segmentation_file import write_segmentation
from XRayTo3DLib.style.film_sheet import write_sheet

_STAGE = "Writing files"


def write_outputs(
    reconstruction: Reconstruction,
    directory: str | Path,
    *,
    overwrite: bool = False,
    frame: str = "LPS",
    progress: Progress = silent,
) -> list[Path]:
    """Write surfaces, segmentation, overview and report into ``directory``.

    Everything is written to a temporary folder beside its destination and moved into place at the
    end: a failure or Ctrl-C leaves the folder as it was. The same reconstruction gives the same
    bytes. A bone that was not found has no surface; with ``overwrite``, a surface of it that an
    earlier run left is removed, so that no file of another knee stays behind.

    Args:
        reconstruction: what to write.
        directory: made if it does not exist.
        overwrite: replace the files of :data:`OUTPUT_NAMES` that exist.
        frame: ``"LPS"`` or ``"RAS"``, of the surfaces; the segmentation carries its own.
        progress: told how far the writing is.

    Returns:
        The files written.

    Raises:
        XRayTo3DError: a file exists and ``overwrite`` is off, or the folder cannot be written.
    """
    directory = Path(directory)
    check_destination(directory, overwrite=overwrite)
    try:
        with _staging(directory) as stage:
            names = _write_all(reconstruction, stage, frame, progress)
            _move_into_place(stage, names, directory)
    except OSError as error:
        reason = error.strerror or "unknown reason"
        raise XRayTo3DError(
            f"{directory} cannot be written ({reason}); check --output and the space left."
        ) from error
    return [directory / name for name in names]


def _write_all(
    reconstruction: Reconstruction, folder: Path, frame: str, progress: Progress
) -> list[str]:
    """Write every file into ``folder`` and return their names."""
    names = []
    for bone, surface in sorted(reconstruction.surfaces.items()):
        names.append(surface_name(bone))
        write_surface(surface, folder / names[-1], frame)
    progress(_STAGE, 0.1)
    write_segmentation(reconstruction, folder / SEGMENTATION_NAME)
    progress(_STAGE, 0.2)
    outlines = outlines_of(reconstruction)
    report = build_report(reconstruction, frame=frame, outlines=outlines)
    text = json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False)
    (folder / REPORT_NAME).write_text(text + "\n", encoding="utf-8")
    progress(_STAGE, 0.4)
    write_overview(reconstruction, folder / OVERVIEW_NAME, outlines=outlines)
    names += [SEGMENTATION_NAME, OVERVIEW_NAME, REPORT_NAME]
    if reconstruction.styled is not None:
        names.append(STYLE_NAME)
        _write_style(reconstruction.styled, folder / STYLE_NAME)
    progress(_STAGE, 1.0)
    return names


def _write_style(styled: StyledFilms, path: Path) -> None:
    """Both films before and after their style was translated."""
    rows = {"as it is": styled.before, "translated": styled.after}
    write_sheet({name: torch.from_numpy(films)[:, None] for name, films in rows.items()}, path)


@contextmanager
def _staging(directory: Path) -> Iterator[Path]:
    """A temporary folder on the file system of ``directory``, gone at the end."""
    # Inside an existing folder: its parent may be another disk, or closed to the user.
    beside = next(path for path in (directory, *directory.absolute().parents) if path.is_dir())
    stage = Path(tempfile.mkdtemp(prefix=".xrayto3d-", dir=beside))
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _move_into_place(stage: Path, names: list[str], directory: Path) -> None:
    """Exchange the outputs in ``directory`` for those in ``stage``, or leave it as it was."""
    with _created(directory), _set_aside(directory, stage / "replaced"):
        moved: list[Path] = []
        try:
            for name in names:
                moved.append(directory / name)
                os.replace(stage / name, moved[-1])
        except BaseException:
            for path in moved:
                path.unlink(missing_ok=True)
            raise


@contextmanager
def _created(directory: Path) -> Iterator[None]:
    """Make ``directory`` and its parents; on failure, take away those that were made."""
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    try:
        directory.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for path in missing:
            if path.is_dir():
                path.rmdir()
        raise


@contextmanager
def _set_aside(directory: Path, keep: Path) -> Iterator[None]:
    """Move earlier outputs to ``keep``; on failure, move them back."""
    keep.mkdir()
    try:
        for name in OUTPUT_NAMES:
            if os.path.lexists(directory / name):
                os.replace(directory / name, keep / name)
        yield
    except BaseException:
        for path in keep.iterdir():
            os.replace(path, directory / path.name)
        raise
