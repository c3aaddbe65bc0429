"""Time of our projector beside itk-rtk's and DiffDRR's: same volume, same two views, one run.

    python Testing/benchmarks/projector_benchmark.py --repetitions 7 --threads 4

Every round runs each contender once, so that what else the machine does strikes all alike. Timed is
the projection alone: volumes are converted and geometries set before.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table
from scipy.ndimage import gaussian_filter

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from XRayTo3DLib.errors import XRayTo3DError  # noqa: E402
from XRayTo3DLib.evaluation.rtk_projection import joseph_filter  # noqa: E402
from XRayTo3DLib.imaging.geometry import ViewGeometry, view_geometry  # noqa: E402
from XRayTo3DLib.imaging.grid import VolumeGrid  # noqa: E402
from XRayTo3DLib.imaging.projector import project  # noqa: E402
from XRayTo3DLib.imaging.radiograph import Side, View  # noqa: E402

Contender = Callable[[], np.ndarray]
"""Makes the pictures of both views, ``(2, rows, columns)``."""

REFERENCE = "itk-rtk Joseph"


def made_volume(grid: VolumeGrid) -> np.ndarray:
    """Smooth blobs in air, ``(z, y, x)`` float32."""
    noise = np.random.default_rng(0).random(grid.shape)
    smooth = gaussian_filter(noise, 0.03 * grid.shape[0])
    volume = np.clip((smooth - smooth.mean()) / smooth.std(), 0, None)
    margin = max(grid.shape[0] // 16, 2)
    in_air = np.zeros_like(volume)
    inner = (slice(margin, -margin),) * 3
    in_air[inner] = volume[inner]
    return in_air.astype(np.float32)


def ours(volume: np.ndarray, grid: VolumeGrid, views: list[ViewGeometry]) -> Contender:
    tensor = torch.as_tensor(volume)

    def run() -> np.ndarray:
        with torch.no_grad():
            return np.stack([project(tensor, grid, view).numpy() for view in views])

    return run


def ours_with_gradient(
    volume: np.ndarray, grid: VolumeGrid, views: list[ViewGeometry]
) -> Contender:
    tensor = torch.as_tensor(volume).requires_grad_()

    def run() -> np.ndarray:
        tensor.grad = None
        pictures = torch.stack([project(tensor, grid, view) for view in views])
        pictures.sum().backward()
        return pictures.detach().numpy()

    return run


def rtk(volume: np.ndarray, grid: VolumeGrid, views: list[ViewGeometry]) -> Contender:
    import itk

    filters = [joseph_filter(volume, grid, view) for view in views]

    def run() -> np.ndarray:
        for each in filters:
            each.Modified()
            each.Update()
        return np.stack([itk.array_from_image(each.GetOutput())[0] for each in filters])

    return run


def diffdrr(
    volume: np.ndarray, grid: VolumeGrid, views: list[ViewGeometry], method: str, gradient: bool
) -> Contender:
    from diffdrr.renderers import Siddon, Trilinear

    # DiffDRR's array axes are x, y, z; its renderers take rays in voxel indices.
    tensor = torch.as_tensor(np.ascontiguousarray(volume.transpose(2, 1, 0)))
    tensor.requires_grad_(gradient)
    renderer = {"siddon": Siddon, "trilinear": Trilinear}[method]()
    rays = [_rays_in_voxels(grid, view) for view in views]

    def picture(source: torch.Tensor, target: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
        return renderer(tensor, source, target, length)[0, 0]

    def run() -> np.ndarray:
        tensor.grad = None
        with torch.set_grad_enabled(gradient):
            flat = [picture(*each) for each in rays]
            if gradient:
                torch.stack(flat).sum().backward()
        return np.stack(
            [each.detach().numpy().reshape(v.shape) for each, v in zip(flat, views, strict=True)]
        )

    return run


def _rays_in_voxels(
    grid: VolumeGrid, view: ViewGeometry
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    pixels = view.pixel_positions().reshape(-1, 3)
    length = np.linalg.norm(pixels - view.source, axis=1)
    source = (view.source - grid.first) / grid.spacing
    target = (pixels - grid.first) / grid.spacing
    as_float = [torch.as_tensor(a, dtype=torch.float32) for a in (source, target, length)]
    return as_float[0][None, None], as_float[1][None], as_float[2][None, None]


def contenders(
    volume: np.ndarray, grid: VolumeGrid, views: list[ViewGeometry], console: Console
) -> dict[str, Contender]:
    """Those that are installed; a sentence on the console for each that is not."""
    found: dict[str, Contender] = {
        "XRayTo3D": ours(volume, grid, views),
        "XRayTo3D, with gradient": ours_with_gradient(volume, grid, views),
    }
    try:
        found[REFERENCE] = rtk(volume, grid, views)
    except XRayTo3DError as error:
        console.print(str(error))
    try:
        for method in ("siddon", "trilinear"):
            for gradient in (False, True):
                name = f"DiffDRR {method}" + (", with gradient" if gradient else "")
                found[name] = diffdrr(volume, grid, views, method, gradient)
    except ImportError as error:
        console.print(f"DiffDRR is not installed ({error}).")
    return found


def timed(
    found: dict[str, Contender], repetitions: int
) -> tuple[dict[str, list[float]], dict[str, np.ndarray]]:
    """Seconds of each round, and the pictures; one round before them is not counted."""
    pictures = {name: run() for name, run in found.items()}
    seconds: dict[str, list[float]] = {name: [] for name in found}
    for _ in range(repetitions):
        for name, run in found.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return seconds, pictures


def table_of(seconds: dict[str, list[float]], pictures: dict[str, np.ndarray]) -> Table:
    """Median, least and most seconds; ratio and largest difference to RTK."""
    table = Table("projector", "median s", "min s", "max s", "ratio to RTK", "difference to RTK")
    reference = pictures.get(REFERENCE)
    for name, times in seconds.items():
        ratio = difference = "–"
        if reference is not None:
            ratio = f"{np.median(times) / np.median(seconds[REFERENCE]):.2f}"
            difference = f"{np.abs(pictures[name] - reference).max() / reference.max():.1e}"
        row = (f"{value:.3f}" for value in (np.median(times), min(times), max(times)))
        table.add_row(name, *row, ratio, difference)
    return table


def main(
    size: Annotated[int, typer.Option(help="Voxels along each edge of the volume.")] = 128,
    pixels: Annotated[int, typer.Option(help="Pixels along each edge of a view.")] = 256,
    repetitions: Annotated[int, typer.Option(help="Rounds that are timed.")] = 7,
    threads: Annotated[int, typer.Option(help="Threads of torch and of ITK.")] = 4,
) -> None:
    """Time the projectors on one volume and an AP and a lateral view."""
    console = Console()
    torch.set_num_threads(threads)
    grid = VolumeGrid.cube(size, 192.0)
    spacing = (240.0 / pixels,) * 2
    views = [
        view_geometry(
            view, Side.RIGHT, sid=1100.0, sod=980.0, spacing=spacing, shape=(pixels, pixels)
        )
        for view in (View.AP, View.LATERAL)
    ]
    found = contenders(made_volume(grid), grid, views, console)
    if REFERENCE in found:
        import itk

        itk.MultiThreaderBase.SetGlobalDefaultNumberOfThreads(threads)
        found[REFERENCE] = rtk(made_volume(grid), grid, views)
    console.print(
        f"Two {pixels}² views of a {size}³ volume, {threads} threads, {repetitions} rounds"
    )
    console.print(table_of(*timed(found, repetitions)))


if __name__ == "__main__":
    typer.run(main)
