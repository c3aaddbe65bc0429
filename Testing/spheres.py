"""The unit sphere, of which tests make shapes whose size and place are known."""

from __future__ import annotations

import vtk

from XRayTo3DLib.anatomy.surface import Surface


def unit_sphere(around: int, along: int) -> Surface:
    """Vertices lie on the exact sphere, far from even: they crowd at the poles.

    Args:
        around: vertices on each circle of latitude.
        along: circles of latitude, poles included.
    """
    source = vtk.vtkSphereSource()
    source.SetRadius(1.0)
    source.SetThetaResolution(around)
    source.SetPhiResolution(along)
    source.SetOutputPointsPrecision(vtk.vtkAlgorithm.DOUBLE_PRECISION)
    source.Update()
    return Surface.from_vtk(source.GetOutput())
