"""The process in which gVirtualXRay runs: ``python -m XRayTo3DLib.evaluation.gvxr_worker``.

It reads pickled requests from its standard input and writes pickled answers to its standard output
until the input ends. :mod:`XRayTo3DLib.evaluation.gvxr_paths` starts it and is its only client.
"""

from __future__ import annotations

import os
import pickle
import sys
from types import ModuleType
from typing import Any, TypedDict

import numpy as np

_LABEL = "surface"
_CENTIMETRE = 10.0


class Scene(TypedDict):
    """A detector and the surfaces before it; lengths in mm."""

    source: list[float]
    detector: list[float]
    up: list[float]
    right: list[float]
    shape: tuple[int, int]
    spacing: tuple[float, float]
    surfaces: dict[str, tuple[np.ndarray, np.ndarray]]


def path_lengths(gvxr: ModuleType, scene: Scene) -> dict[str, np.ndarray]:
    """``(rows, columns)`` float64 mm for each ``(vertices, faces)`` of the scene."""
    rows, columns = scene["shape"]
    row_spacing, column_spacing = scene["spacing"]
    gvxr.usePointSource()
    gvxr.setSourcePosition(*scene["source"], "mm")
    gvxr.setDetectorPosition(*scene["detector"], "mm")
    gvxr.setDetectorUpVector(*scene["up"])
    gvxr.setDetectorRightVector(*scene["right"])
    gvxr.setDetectorNumberOfPixels(columns, rows)
    gvxr.setDetectorPixelSize(column_spacing, row_spacing, "mm")
    # Path lengths do not depend on the beam, but without one the renderer is not initialised.
    gvxr.setMonoChromatic(60.0, "keV", 1)
    paths = {}
    for name, (vertices, faces) in scene["surfaces"].items():
        paths[name] = _path_length(gvxr, vertices, faces)
        if paths[name].shape != (rows, columns):
            raise RuntimeError("no OpenGL 4.3 was found")
    return paths


def _path_length(gvxr: ModuleType, vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    # The scene is global to gVirtualXRay: empty it of what came before.
    gvxr.removePolygonMeshesFromSceneGraph()
    gvxr.makeTriangularMesh(_LABEL, vertices.ravel().tolist(), faces.ravel().tolist(), "mm")
    gvxr.addPolygonMeshAsOuterSurface(_LABEL)
    picture = np.array(gvxr.computePathLength(_LABEL), dtype=float)
    # gVirtualXRay counts rows from the bottom.
    return picture[::-1] * _CENTIMETRE


def mass_attenuation(gvxr: ModuleType, element: str, energies: list[float]) -> np.ndarray:
    """cm²/g of a chemical element at each of ``energies``, keV (xraylib's tables)."""
    return np.array([gvxr.getMassAttenuationFromElement(element, e, "keV") for e in energies])


_TASKS = {task.__name__: task for task in (path_lengths, mass_attenuation)}


def main() -> None:
    """Answer requests until the client closes the pipe.

    A request is ``(name of a task, its arguments)``, the answer ``("ok", what it returns)`` or
    ``("error", why)``.
    """
    requests = sys.stdin.buffer
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    # What gVirtualXRay and OpenGL print must not come between the answers.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    gvxr = None
    while True:
        try:
            name, arguments = pickle.load(requests)
        except EOFError:
            return
        answer: tuple[str, Any]
        try:
            gvxr = gvxr or _started()
            answer = ("ok", _TASKS[name](gvxr, *arguments))
        except Exception as error:  # whatever it is, the client is to know
            answer = ("error", str(error).partition("\n")[0])
        pickle.dump(answer, answers)
        answers.flush()


def _started() -> ModuleType:
    from gvxrPython3 import gvxr

    gvxr.useLogFile(os.devnull)
    gvxr.createWindow(-1, 0, "EGL" if sys.platform.startswith("linux") else "OPENGL")
    return gvxr


if __name__ == "__main__":
    main()
