"""Small things that every part of the scene needs: classes, matrices, making nodes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import vtk

Node = Any
"""A MRML node; MRML has no types that a checker knows."""

Scene = Any
"""A ``vtkMRMLScene``."""

PREFIX = "XRayTo3D."
"""Of every attribute and node reference that this program sets."""


def vtk_matrix(array: np.ndarray) -> vtk.vtkMatrix4x4:
    """``(4, 4)`` as VTK's own."""
    matrix = vtk.vtkMatrix4x4()
    matrix.DeepCopy(np.asarray(array, dtype=float).ravel().tolist())
    return matrix


def array_of(matrix: vtk.vtkMatrix4x4) -> np.ndarray:
    """VTK's matrix as ``(4, 4)``."""
    return np.array([[matrix.GetElement(row, col) for col in range(4)] for row in range(4)])


def nodes_of(scene: Scene, class_name: str) -> list[Node]:
    """All nodes of a class, in the order of the scene."""
    collection = scene.GetNodesByClass(class_name)
    collection.UnRegister(None)  # GetNodesByClass hands over a reference that nobody else gives up
    return [collection.GetItemAsObject(index) for index in range(collection.GetNumberOfItems())]


@contextmanager
def all_or_nothing(scene: Scene) -> Iterator[None]:
    """Take away every node that was added within, if anything goes wrong."""
    before = {node.GetID() for node in nodes_of(scene, "vtkMRMLNode")}
    try:
        yield
    except BaseException:
        added = [node for node in nodes_of(scene, "vtkMRMLNode") if node.GetID() not in before]
        for node in reversed(added):
            if scene.IsNodePresent(node):
                scene.RemoveNode(node)
        raise
