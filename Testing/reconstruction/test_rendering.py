"""The bones drawn in 3D: what is left out, and that no OpenGL is needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.surface import Surface, read_surface, write_surface
from XRayTo3DLib.evaluation.error_maps import render
from XRayTo3DLib.imaging.geometry import view_geometry
from XRayTo3DLib.imaging.radiograph import Side, View
from XRayTo3DLib.reconstruction.rendering import render_bones

# Leaves VTK as on a machine on which nothing of it that draws can be loaded: neither windows and
# renderers nor what needs them. All that is left is real.
WITHOUT_OPENGL = """
import importlib, sys, types
import vtkmodules

for name in vtkmodules.__all__:
    if "OpenGL" in name or name == "vtkRenderingCore":
        sys.modules[f"vtkmodules.{name}"] = None
vtk = types.ModuleType("vtk")
vtk.__path__ = vtkmodules.__path__
for name in vtkmodules.__all__:
    try:
        module = importlib.import_module(f"vtkmodules.{name}")
    except ImportError:
        continue
    vars(vtk).update((key, value) for key, value in vars(module).items() if key[:3] == "vtk")
sys.modules["vtk"] = vtk
for name in ("vtkRenderWindow", "vtkRenderer", "vtkOpenGLRenderWindow"):
    assert not hasattr(vtk, name), name
"""


def bones_drawn(surfaces: dict[Bone, Surface]) -> np.ndarray:
    """From the front, ``(rows, columns, 3)``."""
    view = view_geometry(
        View.AP, Side.RIGHT, sid=1000.0, sod=900.0, spacing=(1.0, 1.0), shape=(200, 200)
    )
    return render_bones(surfaces, view, size=120, span=200.0, centre=np.zeros(3))


def draw(folder: Path, name: str) -> None:
    """Draw the surfaces in ``folder`` in both ways that this project has, into ``name``."""
    surfaces = {bone: read_surface(folder / f"{bone.key}.ply") for bone in Bone}
    patella = surfaces[Bone.PATELLA]
    white = np.ones((len(patella.vertices), 3))
    shaded, _ = render(patella, white, (-1.0, 0.0, 0.0), (0.0, -1.0, 0.0), pixels=60)
    np.savez(folder / name, bones=bones_drawn(surfaces), shaded=shaded)


def test_pictures_need_no_opengl(toy_knee: dict[Bone, Surface], tmp_path: Path) -> None:
    """They are drawn where neither OpenGL nor a window can be had, and are the same as here."""
    for bone, surface in toy_knee.items():
        write_surface(surface, tmp_path / f"{bone.key}.ply", frame="RAS")
    draw(tmp_path, "here.npz")
    code = (
        f"{WITHOUT_OPENGL}\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from pathlib import Path\n"
        "import test_rendering\n"
        f"test_rendering.draw(Path({str(tmp_path)!r}), 'there.npz')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "here.npz") as here, np.load(tmp_path / "there.npz") as there:
        assert np.ptp(here["bones"]) > 100
        for name in ("bones", "shaded"):
            np.testing.assert_array_equal(there[name], here[name])


def test_a_bone_without_triangles_is_left_out(toy_knee: dict[Bone, Surface]) -> None:
    nothing = Surface(np.zeros((0, 3)), np.zeros((0, 3), dtype=np.int64))
    points = Surface(toy_knee[Bone.FIBULA].vertices, nothing.faces)
    femur = {Bone.FEMUR: toy_knee[Bone.FEMUR]}
    drawn = bones_drawn({**femur, Bone.PATELLA: nothing, Bone.FIBULA: points})
    np.testing.assert_array_equal(drawn, bones_drawn(femur))
