"""How many pictures a second a hand on a slider gets: 256², polychromatic, from all around.

Run as ``python Testing/benchmarks/rerender_benchmark.py --threads 4``. The machine's load is
printed beside the rate: other people's work on the same cores makes the rate fall, the processor
time per picture less so.
"""

from __future__ import annotations

import os
import time
from typing import Annotated

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table

from XRayTo3DLib.imaging.film_settings import FilmSettings
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.materials import from_hounsfield
from XRayTo3DLib.tomography.density import REFERENCE_KEV, DensityVolume
from XRayTo3DLib.tomography.rerender import LIVE_VOXEL, Renderer
from XRayTo3DLib.tomography.viewpoint import OrbitCamera, fitting_detector

_LEG = VolumeGrid((176, 198, 198), 1.2)
"""As large as the leg that a knee of 153.6 mm is wrapped in."""


def leg() -> DensityVolume:
    """A shaft of bone in a leg of muscle; what is inside does not change the time."""
    x, y, _ = _LEG.axes()
    radius = np.hypot(x[None, :], y[:, None])
    units = np.select([radius < 16.0, radius < 60.0], [900.0, 45.0], -1000.0)
    attenuation = from_hounsfield(np.broadcast_to(units, _LEG.shape), REFERENCE_KEV)
    return DensityVolume(attenuation.astype(np.float32), _LEG)


def main(
    pictures: Annotated[int, typer.Option(help="Pictures that are timed, around the leg.")] = 48,
    size: Annotated[int, typer.Option(help="Pixels a side.")] = 256,
    voxel: Annotated[float, typer.Option(help="Edge of the voxels, mm.")] = LIVE_VOXEL,
    threads: Annotated[int, typer.Option(help="Threads of torch.")] = 4,
) -> None:
    """Time pictures of a leg."""
    torch.set_num_threads(threads)
    volume = leg()
    renderer = Renderer(volume, voxel)
    settings, detector = FilmSettings(), fitting_detector(volume.grid)
    window = renderer.window(OrbitCamera(detector=detector, size=size).view, settings)
    seconds, processor = [], []
    for number in range(pictures + 2):
        camera = OrbitCamera(360.0 * number / pictures, 10.0, detector=detector, size=size)
        start, used = time.perf_counter(), time.process_time()
        renderer.film(camera.view, settings, window)
        seconds.append(time.perf_counter() - start)
        processor.append(time.process_time() - used)
    seconds, processor = seconds[2:], processor[2:]  # the first ones warm up
    table = Table("", "median", "best", "worst")
    rates = (1.0 / value for value in (np.median(seconds), min(seconds), max(seconds)))
    table.add_row("pictures / s", *(f"{rate:.1f}" for rate in rates))
    times = (np.median(processor), min(processor), max(processor))
    table.add_row("processor s / picture", *(f"{value:.3f}" for value in times))
    console = Console()
    shape = " × ".join(map(str, renderer.grid.shape))
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    console.print(
        f"{pictures} pictures of {size}², {shape} voxels of {renderer.grid.spacing:g} mm, "
        f"{threads} threads on {os.cpu_count()} cores, load {load}"
    )
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
