"""Femora that come without a knee, laid as those in knees lie."""

from __future__ import annotations

import numpy as np
import vtk
from scipy.spatial import cKDTree

from XRayTo3DLib.anatomy.knee import condyle_box, rotation
from XRayTo3DLib.anatomy.surface import Surface

_DISTAL = 75.0
"""mm above the lowest point that are compared; higher up, shafts are much alike all round."""

_ALIKE = 3.0
"""mm, mean distance. Femora of different people come to about 2 mm; a scan at fault to 5."""

_LANDMARKS = 400
_ITERATIONS = 50


def laid_alike(femur: Surface, reference: Surface) -> Surface | None:
    """A femur turned, moved and scaled onto another of the same side; None if it cannot be.

    Bones are found in other frames than a knee's: prone, or with the shaft upright, not the
    condyles level. Both the frame as it is and that turned half round are tried, and iterative
    closest points (Besl and McKay 1992, as VTK has it) do the rest; the nearer one counts.

    Args:
        femur: of any size, long axis roughly along z, RAS mm.
        reference: a femur in a knee, RAS mm.
    """
    tree = cKDTree(_distal(reference).vertices)
    laid = []
    for start in (np.eye(4), rotation("z", 180.0)):
        begun = femur.transformed(_onto(femur.transformed(start), reference) @ start)
        fitted = begun.transformed(_closest_points(_distal(begun), _distal(reference)))
        laid.append((float(tree.query(_distal(fitted).vertices)[0].mean()), fitted))
    distance, nearest = min(laid, key=lambda entry: entry[0])
    return nearest if distance < _ALIKE else None


def _distal(femur: Surface) -> Surface:
    """The part near the joint."""
    low = femur.vertices[:, 2] < femur.vertices[:, 2].min() + _DISTAL
    number = np.cumsum(low) - 1
    kept = low[femur.faces].all(axis=1)
    return Surface(femur.vertices[low], number[femur.faces[kept]])


def _onto(femur: Surface, reference: Surface) -> np.ndarray:
    """Scale and shift that bring the condyles' boxes together."""
    mine, theirs = (condyle_box(bone.vertices) for bone in (femur, reference))
    scale = (theirs[1, 0] - theirs[0, 0]) / (mine[1, 0] - mine[0, 0])
    matrix = np.diag([scale, scale, scale, 1.0])
    middle, goal = mine.mean(axis=0), theirs.mean(axis=0)
    middle[2], goal[2] = femur.vertices[:, 2].min(), reference.vertices[:, 2].min()
    matrix[:3, 3] = goal - scale * middle
    return matrix


def _closest_points(source: Surface, target: Surface) -> np.ndarray:
    transform = vtk.vtkIterativeClosestPointTransform()
    transform.SetSource(source.to_vtk())
    transform.SetTarget(target.to_vtk())
    transform.GetLandmarkTransform().SetModeToSimilarity()
    transform.SetMaximumNumberOfLandmarks(_LANDMARKS)
    transform.SetMaximumNumberOfIterations(_ITERATIONS)
    transform.Update()
    matrix = transform.GetMatrix()
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])
