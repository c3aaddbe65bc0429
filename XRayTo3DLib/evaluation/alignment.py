"""One rigid motion that brings a reconstructed knee onto the true one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import vtk

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.surface import Surface

_LANDMARKS = 2000
_ITERATIONS = 60


def aligned(
    found: Mapping[Bone, Surface], truth: Mapping[Bone, Surface]
) -> tuple[dict[Bone, Surface], np.ndarray]:
    """Iterative closest points (Besl and McKay 1992, as VTK has it), all bones together.

    Where the geometry of the films is not known, neither is where in the room the knee was: the
    error of interest is that of its shape, size and inner arrangement. Nothing is scaled.

    Args:
        found: surfaces, RAS mm.
        truth: surfaces, RAS mm, which may reach farther.

    Returns:
        the surfaces moved, and the motion, ``(4, 4)``.
    """
    transform = vtk.vtkIterativeClosestPointTransform()
    transform.SetSource(_together(found))
    transform.SetTarget(_together(truth))
    transform.GetLandmarkTransform().SetModeToRigidBody()
    transform.SetMaximumNumberOfLandmarks(_LANDMARKS)
    transform.SetMaximumNumberOfIterations(_ITERATIONS)
    transform.CheckMeanDistanceOn()
    transform.SetMaximumMeanDistance(1e-3)
    transform.Update()
    matrix = transform.GetMatrix()
    motion = np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])
    return {bone: surface.transformed(motion) for bone, surface in found.items()}, motion


def _together(surfaces: Mapping[Bone, Surface]) -> vtk.vtkPolyData:
    append = vtk.vtkAppendPolyData()
    for bone in sorted(surfaces):
        append.AddInputData(surfaces[bone].to_vtk())
    append.Update()
    return append.GetOutput()
