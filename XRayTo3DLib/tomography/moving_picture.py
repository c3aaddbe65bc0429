"""Moving pictures: GIF by Pillow, Ogg Theora by VTK, MP4 by ffmpeg where it is installed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import vtk
from PIL import Image
from vtk.util.numpy_support import numpy_to_vtk

from XRayTo3DLib.errors import InputFileError

_FFMPEG = "ffmpeg"


def check_moving_picture(path: str | Path) -> None:
    """Find out, before any picture is made, whether a moving picture of this name can be written.

    Raises:
        InputFileError: its ending is unknown, or the program that writes it is missing.
    """
    path = Path(path)
    if path.suffix.lower() not in _WRITERS:
        raise InputFileError(
            path, f"is no name for a moving picture; let it end in {', '.join(_WRITERS)}."
        )
    if path.suffix.lower() == ".mp4" and shutil.which(_FFMPEG) is None:
        raise InputFileError(
            path,
            "needs the program ffmpeg, which is not on the PATH; install it, or name a .gif or "
            ".ogv file.",
        )


def write_moving_picture(
    pictures: Iterable[np.ndarray], path: str | Path, *, rate: float = 20.0
) -> None:
    """Write pictures as a film that a GIF repeats without end.

    Args:
        pictures: ``(rows, columns)`` grey or ``(rows, columns, 3)`` in colour, uint8, of one size;
            taken one by one.
        path: ends in ``.gif``, ``.ogv`` or ``.mp4``; replaced when it exists.
        rate: pictures per second.

    Raises:
        InputFileError: it cannot be written.
    """
    path = Path(path)
    check_moving_picture(path)
    try:
        _WRITERS[path.suffix.lower()](pictures, path, rate)
    except (OSError, subprocess.CalledProcessError) as error:
        raise InputFileError(
            path, "could not be written; check the folder and the space left."
        ) from error


def _write_gif(pictures: Iterable[np.ndarray], path: Path, rate: float) -> None:
    # Greys keep their 256 levels; colours are brought down to as many by Pillow.
    first, *others = (Image.fromarray(picture) for picture in pictures)
    # The format counts in hundredths of a second.
    duration = 10 * max(2, round(100.0 / rate))
    first.save(path, save_all=True, append_images=others, duration=duration, loop=0)


def _write_theora(pictures: Iterable[np.ndarray], path: Path, rate: float) -> None:
    writer = vtk.vtkOggTheoraWriter()
    writer.SetFileName(str(path))
    writer.SetRate(round(rate))
    writer.SetQuality(2)
    source = vtk.vtkTrivialProducer()
    writer.SetInputConnection(source.GetOutputPort())
    started = False
    for picture in pictures:
        source.SetOutput(_vtk_image(picture))
        if not started:
            writer.Start()
            started = True
        writer.Write()
        if writer.GetError():
            raise OSError("VTK's Theora writer failed")
    writer.End()


def _vtk_image(picture: np.ndarray) -> vtk.vtkImageData:
    """RGB, rows from the bottom as VTK has them; the image owns its memory."""
    rows, columns = picture.shape[:2]
    image = vtk.vtkImageData()
    image.SetDimensions(columns, rows, 1)
    pixels = np.ascontiguousarray(_rgb(picture)[::-1].reshape(-1, 3))
    image.GetPointData().SetScalars(numpy_to_vtk(pixels, deep=1))
    return image


def _write_mp4(pictures: Iterable[np.ndarray], path: Path, rate: float) -> None:
    frames = iter(pictures)
    first = next(frames)
    rows, columns = first.shape[:2]
    command = [
        *(_FFMPEG, "-y", "-loglevel", "error"),
        *("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{columns}x{rows}", "-r", f"{rate:g}"),
        *("-i", "-"),
        # Players want colour at half the resolution, and so an even size.
        *("-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-pix_fmt", "yuv420p"),
        *("-movflags", "+faststart", str(path)),
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as ffmpeg:
        assert ffmpeg.stdin is not None
        try:
            for picture in (first, *frames):
                ffmpeg.stdin.write(np.ascontiguousarray(_rgb(picture)).tobytes())
        except BaseException:
            ffmpeg.kill()
            raise
    if ffmpeg.returncode:
        raise subprocess.CalledProcessError(ffmpeg.returncode, command)


def _rgb(picture: np.ndarray) -> np.ndarray:
    return picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=-1)


_WRITERS: dict[str, Callable[[Iterable[np.ndarray], Path, float], None]] = {
    ".gif": _write_gif,
    ".ogv": _write_theora,
    ".mp4": _write_mp4,
}
