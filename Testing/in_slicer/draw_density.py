"""What the density section shows, drawn off screen by Slicer's own displayable managers.

Run as a script, it writes the picture of the documentation, of the known sample knee with
generated tissues or, with weights, of the estimate from the sample radiographs:
``VTK_DEFAULT_OPENGL_WINDOW=vtkEGLRenderWindow python Testing/in_slicer/draw_density.py FOLDER
[WEIGHTS]``; with ``--slab`` in their place what the tests measure.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from generated_density import sample_density
from off_screen import BONES_MANAGERS, OffScreenViews
from PIL import Image

from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.materials import from_hounsfield
from XRayTo3DLib.imaging.radiograph import Side
from XRayTo3DLib.slicer.density_layout import (
    RERENDERED,
    show_density_in_layout,
    show_picture,
    show_uncertainty,
)
from XRayTo3DLib.slicer.density_nodes import DensityNodes, add_density
from XRayTo3DLib.slicer.density_rendering import Preset, render_as
from XRayTo3DLib.slicer.density_work import estimate_films
from XRayTo3DLib.slicer.layout import FREE, aim_camera, bones_view, slice_view
from XRayTo3DLib.slicer.rerendered import Rerendered, Viewpoint
from XRayTo3DLib.slicer.work import load_samples
from XRayTo3DLib.tomography.density import REFERENCE_KEV, DensityVolume
from XRayTo3DLib.tomography.fine_density import FINE_GRID

MANAGERS_3D = (*BONES_MANAGERS, "vtkMRMLVolumeRenderingDisplayableManager")
SLAB_UNITS, SLAB_MM = 1200.0, 30.0


class DensityViews(OffScreenViews):
    """The three views of a density.

    Args:
        density: shown in them.
    """

    def __init__(self, density: DensityNodes) -> None:
        super().__init__(density.volume.GetScene())
        self._density = density
        show_density_in_layout(density)
        self.add_slices(RERENDERED, FREE)

    def film(self, rerendered: Rerendered, viewpoint: Viewpoint, width: int) -> np.ndarray:
        """The slice view of the re-rendered film, ``(rows, columns, 3)`` uint8."""
        height = width // 2 if viewpoint.stereo else width
        slice_view(self._scene, RERENDERED).SetDimensions(width, height, 1)
        show_picture(rerendered.show(viewpoint), rerendered.detector(viewpoint))
        return self.slice(RERENDERED, width, height)

    def free(self, size: int, orientation: str = "Coronal", offset: float = -10.0) -> np.ndarray:
        """The free slice through the joint, ``(rows, columns, 3)`` uint8."""
        node = slice_view(self._scene, FREE)
        node.SetDimensions(size, size, 1)
        node.SetOrientation(orientation)
        node.SetFieldOfView(210.0, 210.0, 1.0)
        node.UpdateMatrices()
        node.SetSliceOffset(offset)
        return self.slice(FREE, size, size)

    def rendered(self, preset: Preset, size: int, camera: Any = None) -> np.ndarray:
        """The 3D view, ``(rows, columns, 3)`` uint8."""
        render_as(self._density.rendering, preset)
        node = bones_view(self._scene)
        # Black, that what is seen is the density's own light.
        node.SetBackgroundColor(0.0, 0.0, 0.0)
        node.SetBackgroundColor2(0.0, 0.0, 0.0)
        if camera is None:
            camera = slicer.vtkMRMLCameraNode()
            aim_camera(camera, Side.RIGHT)
            camera.GetCamera().Zoom(1.7)
        return self.volume(node, camera, MANAGERS_3D, size)


def composed(density: DensityNodes) -> np.ndarray:
    """The layout with the density like a film, and below it as bone, with a stereo pair."""
    views, rerendered = DensityViews(density), Rerendered(density.volume)
    turned = Viewpoint(turn=35.0, elevation=15.0)
    slices = [views.free(300)]
    if density.deviation is None:
        slices.append(views.free(300, "Sagittal", 15.0))
    else:
        show_uncertainty(density, True)
        slices.append(views.free(300))
    film_like = views.rendered(Preset.FILM_LIKE, 600)
    left = np.concatenate([views.film(rerendered, turned, 600), np.concatenate(slices, axis=1)])
    pair = views.film(rerendered, Viewpoint(35.0, 15.0, stereo=True), 600)
    right = np.concatenate([film_like, views.rendered(Preset.BONE, 600)])
    left = np.concatenate([left, pair])
    return np.concatenate([left, right], axis=1)


def slab(scene: Any) -> np.ndarray:
    """A slab of bone in air from above, rendered like a film by parallel rays."""
    grid = VolumeGrid((60, 50, 50), 1.0)
    units = np.full(grid.shape, -1000.0)
    middle, half = 30, round(SLAB_MM / 2)
    units[middle - half : middle + half, 10:40, 10:40] = SLAB_UNITS
    attenuation = from_hounsfield(units, REFERENCE_KEV).astype(np.float32)
    density = add_density(scene, DensityVolume(attenuation, grid), (), {})
    camera = slicer.vtkMRMLCameraNode()
    camera.SetPosition(0.0, 0.0, 300.0)
    camera.SetFocalPoint(0.0, 0.0, 0.0)
    camera.SetViewUp(0.0, 1.0, 0.0)
    camera.SetParallelProjection(True)
    camera.SetParallelScale(25.0)
    return DensityViews(density).rendered(Preset.FILM_LIKE, 100, camera)


def sample(scene: Any, weights: Path | None) -> DensityNodes:
    """The known density of the sample knee, or an estimate."""
    if weights is None:
        facts = {"model": "generated tissues", "side": "right", "warnings": [], "agreement": []}
        return add_density(scene, sample_density(FINE_GRID), (), facts)
    return estimate_films(scene, load_samples(scene), weights, "cpu", lambda stage, fraction: None)


def main(folder: Path, *rest: str) -> None:
    """Draw the sample or the slab."""
    scene = slicer.vtkMRMLScene()
    slicer.mrmlScene = scene
    if "--slab" in rest:
        pictures = {"slab": slab(scene)}
    else:
        density = sample(scene, Path(rest[0]) if rest else None)
        pictures = {"slicer-density": composed(density)}
    for name, picture in pictures.items():
        Image.fromarray(picture).save(folder / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
