"""What gVirtualXRay computes: paths of rays through closed surfaces, attenuation of elements.

gVirtualXRay (https://gvirtualxray.sourceforge.io) rasterises triangles with OpenGL. It shares no
line with this library's own projector, which makes it an independent judge. Without a graphics card
Mesa's software renderer does the work; on Debian and Ubuntu that takes the packages named in
``_INSTALL_HINT``.

It runs in a process of its own, because it takes for granted that its OpenGL context is the current
one of its thread, which it no longer is once VTK has drawn a picture.
"""

from __future__ import annotations

import atexit
import os
import pickle
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.geometry import ViewGeometry

_INSTALL_HINT = (
    "gVirtualXRay cannot be used ({reason}); pip install 'XRayTo3D[oracles]' and, on Debian or "
    "Ubuntu, apt-get install libegl1 libgl1-mesa-dri libxcb-res0 libxcb-ewmh2 libxcb-composite0 "
    "libxcb-xinerama0 libxcb-keysyms1 libxcb-icccm4."
)


def path_lengths(surfaces: dict[str, Surface], view: ViewGeometry) -> dict[str, np.ndarray]:
    """How far each ray runs inside each closed surface.

    May be called from any thread and after a fork; calls from one process take turns.

    Args:
        surfaces: closed, faces outwards, RAS mm.
        view: source and detector; its rows and columns must be perpendicular.

    Returns:
        Under the same names, ``(rows, columns)`` float64, mm.

    Raises:
        XRayTo3DError: gVirtualXRay is not installed or finds no OpenGL.
    """
    seen = view if _faces_source(view) else view.flipped_columns()
    meshes = {name: _mesh(surface) for name, surface in surfaces.items()}
    solid = {name: mesh for name, mesh in meshes.items() if len(mesh[1]) > 0}
    answer = _worker().answer("path_lengths", {**_placing(seen), "surfaces": solid})
    paths = {name: answer.get(name, np.zeros(view.shape)) for name in surfaces}
    return paths if seen is view else {name: path[:, ::-1] for name, path in paths.items()}


@cache
def mass_attenuation(element: str, energies: tuple[float, ...]) -> np.ndarray:
    """Mass attenuation coefficient of a chemical element, from xraylib.

    Args:
        element: symbol, as ``"Ca"``.
        energies: keV.

    Returns:
        cm²/g at each energy.

    Raises:
        XRayTo3DError: gVirtualXRay is not installed.
    """
    return _worker().answer("mass_attenuation", element, list(energies))


def _faces_source(view: ViewGeometry) -> bool:
    """Whether the pixels are counted as seen from the tube; gVirtualXRay knows no other way."""
    return float(np.cross(view.column_step, view.row_step) @ view.normal) > 0


def _placing(view: ViewGeometry) -> dict[str, Any]:
    rows, columns = view.shape
    row_spacing, column_spacing = view.spacing
    half_rows, half_columns = (rows - 1) / 2, (columns - 1) / 2
    middle = view.first_pixel + half_rows * view.row_step + half_columns * view.column_step
    return {
        "source": view.source.tolist(),
        "detector": middle.tolist(),
        "up": (-view.row_step / row_spacing).tolist(),
        "right": (view.column_step / column_spacing).tolist(),
        "shape": view.shape,
        "spacing": view.spacing,
    }


def _mesh(surface: Surface) -> tuple[np.ndarray, np.ndarray]:
    """Without the degenerate triangles: no ray meets them, and gVirtualXRay makes NaN of them."""
    a, b, c = (surface.vertices[surface.faces[:, k]] for k in range(3))
    doubled = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    return surface.vertices.astype(np.float32), surface.faces[doubled > 1e-5]


_workers: dict[int, _Worker] = {}
"""By process: a forked child must not write into its parent's pipe."""
_starting = threading.Lock()


def _worker() -> _Worker:
    with _starting:
        worker = _workers.get(os.getpid())
        if worker is None or not worker.alive:
            worker = _workers[os.getpid()] = _Worker()
        return worker


class _Worker:
    """The process that runs gVirtualXRay, and the pipe to it."""

    def __init__(self) -> None:
        root = Path(__file__).resolve().parents[2]
        paths = [str(root), os.environ.get("PYTHONPATH", "")]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "XRayTo3DLib.evaluation.gvxr_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._requests, self._answers = self._process.stdin, self._process.stdout
        self._owner = os.getpid()
        self._lock = threading.Lock()
        atexit.register(self.close)

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def answer(self, task: str, *arguments: Any) -> Any:
        with self._lock:
            try:
                pickle.dump((task, arguments), self._requests)
                self._requests.flush()
                status, content = pickle.load(self._answers)
            except (EOFError, OSError) as error:
                raise XRayTo3DError(_INSTALL_HINT.format(reason="it stopped")) from error
        if status != "ok":
            raise XRayTo3DError(_INSTALL_HINT.format(reason=content))
        return content

    def close(self) -> None:
        if os.getpid() != self._owner:
            return
        self._requests.close()
        # A forked child may hold the pipe open, so that the worker would wait for it.
        self._process.terminate()
        self._process.wait()
