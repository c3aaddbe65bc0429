"""Triangle surfaces in RAS millimetres: reading, writing, VTK and back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from vtkmodules.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray, vtk_to_numpy
from vtkmodules.vtkCommonCore import vtkObject, vtkPoints
from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkPolyData
from vtkmodules.vtkIOGeometry import vtkOBJReader, vtkOBJWriter, vtkSTLReader, vtkSTLWriter
from vtkmodules.vtkIOPLY import vtkPLYReader, vtkPLYWriter

from XRayTo3DLib.errors import InputFileError, XRayTo3DError

_READERS: dict[str, type[Any]] = {".ply": vtkPLYReader, ".stl": vtkSTLReader, ".obj": vtkOBJReader}


@dataclass(frozen=True)
class Surface:
    """A triangle mesh.

    Attributes:
        vertices: ``(V, 3)`` float, RAS mm.
        faces: ``(F, 3)`` int, counter-clockwise seen from outside.
    """

    vertices: np.ndarray
    faces: np.ndarray

    @classmethod
    def from_vtk(cls, polydata: vtkPolyData) -> Surface:
        """Copy of the triangles of ``polydata`` (other cells are cut into triangles)."""
        # Loading the filters takes a fifth of a second that the program's start should not cost.
        from vtkmodules.vtkFiltersCore import vtkTriangleFilter

        triangulate = vtkTriangleFilter()
        triangulate.SetInputData(polydata)
        triangulate.PassVertsOff()
        triangulate.PassLinesOff()
        triangulate.Update()
        triangles = triangulate.GetOutput()
        if triangles.GetNumberOfPolys() == 0:
            return cls(np.zeros((0, 3)), np.zeros((0, 3), dtype=np.int64))
        faces = vtk_to_numpy(triangles.GetPolys().GetConnectivityArray()).reshape(-1, 3)
        points = vtk_to_numpy(triangles.GetPoints().GetData())
        return cls(points.astype(float), faces.astype(np.int64))

    def to_vtk(self) -> vtkPolyData:
        """The surface as ``vtkPolyData`` that owns its memory."""
        points = vtkPoints()
        points.SetData(numpy_to_vtk(np.ascontiguousarray(self.vertices, dtype=np.float32), deep=1))
        cells = vtkCellArray()
        flat = np.ascontiguousarray(self.faces, dtype=np.int64).ravel()
        cells.SetData(3, numpy_to_vtkIdTypeArray(flat, deep=1))
        polydata = vtkPolyData()
        polydata.SetPoints(points)
        polydata.SetPolys(cells)
        return polydata

    @property
    def volume(self) -> float:
        """Enclosed volume in mm³ (divergence theorem; positive when faces point outwards)."""
        a, b, c = (self.vertices[self.faces[:, k]] for k in range(3))
        return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6.0)

    def transformed(self, matrix: np.ndarray) -> Surface:
        """Moved by a 4×4 homogeneous matrix; faces are turned over when it mirrors."""
        vertices = self.vertices @ matrix[:3, :3].T + matrix[:3, 3]
        mirrored = np.linalg.det(matrix[:3, :3]) < 0
        return Surface(vertices, self.faces[:, ::-1] if mirrored else self.faces)

    def mirrored(self) -> Surface:
        """Left and right exchanged (x → −x), faces still pointing outwards."""
        return self.transformed(np.diag([-1.0, 1.0, 1.0, 1.0]))


def read_surface(path: str | Path) -> Surface:
    """Read PLY, STL or OBJ as it stands (the caller knows the frame).

    Raises:
        InputFileError: the file is missing, of another kind, or holds no triangle.
    """
    path = Path(path)
    reader_class = _READERS.get(path.suffix.lower())
    if reader_class is None:
        raise InputFileError(path, f"is not a surface; use one of {', '.join(_READERS)}.")
    if not path.is_file():
        raise InputFileError(path, "does not exist; check the path.")
    reader = reader_class()
    reader.SetFileName(str(path))
    with _quiet_vtk():
        reader.Update()
    surface = Surface.from_vtk(reader.GetOutput())
    if len(surface.faces) == 0:
        raise InputFileError(path, "holds no triangle; export the surface again.")
    return surface


def write_surface(surface: Surface, path: str | Path, frame: str = "LPS") -> None:
    """Write binary STL, PLY or OBJ; the header says the frame, as Slicer's own files do.

    Args:
        surface: in RAS mm.
        path: ends in .stl, .ply or .obj.
        frame: ``"LPS"`` (what Slicer and most planning programs expect) or ``"RAS"``.
    """
    if frame not in ("LPS", "RAS"):
        raise XRayTo3DError(f"The frame of a surface is LPS or RAS, not {frame!r}.")
    flip = np.diag([-1.0, -1.0, 1.0, 1.0]) if frame == "LPS" else np.eye(4)
    polydata = surface.transformed(flip).to_vtk()
    header = f"SPACE={frame};UNIT=mm"
    suffix = Path(path).suffix.lower()
    if suffix == ".stl":
        writer = vtkSTLWriter()
        writer.SetFileTypeToBinary()
        writer.SetHeader(header)
    elif suffix == ".ply":
        writer = vtkPLYWriter()
        writer.SetFileTypeToBinary()
        writer.AddComment(header)
    elif suffix == ".obj":
        writer = vtkOBJWriter()
    else:
        raise InputFileError(path, "cannot be written; use .stl, .ply or .obj.")
    writer.SetFileName(str(path))
    writer.SetInputData(polydata)
    with _quiet_vtk():
        written = writer.Write()
    if not written:
        raise InputFileError(path, "could not be written; check the folder and the space left.")


@contextmanager
def _quiet_vtk() -> Iterator[None]:
    """VTK prints what is wrong with a file; the sentence that is raised says it instead."""
    shown = vtkObject.GetGlobalWarningDisplay()
    vtkObject.GlobalWarningDisplayOff()
    try:
        yield
    finally:
        vtkObject.SetGlobalWarningDisplay(shown)
