"""What the module's layout shows, drawn off screen by Slicer's own displayable managers.

Run as a script, it writes the pictures of the documentation:
``VTK_DEFAULT_OPENGL_WINDOW=vtkEGLRenderWindow python Testing/in_slicer/draw_layout.py FOLDER``;
with ``--truth`` the views of the known sample knee, which the tests compare with references.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from off_screen import BONES_MANAGERS, OffScreenViews
from PIL import Image

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.distance import signed_depth
from XRayTo3DLib.anatomy.surface import read_surface
from XRayTo3DLib.imaging.centres import stated_centres
from XRayTo3DLib.imaging.geometry import geometry_of
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.reading import read_radiograph
from XRayTo3DLib.reconstruction.result import ModelIdentity, Reconstruction
from XRayTo3DLib.resources import resource_path
from XRayTo3DLib.slicer.knee_nodes import KneeNodes, show_knee
from XRayTo3DLib.slicer.layout import (
    AP,
    FREE,
    LATERAL,
    aim_camera,
    bones_view,
    look_at_film,
    show_in_layout,
    slice_view,
)
from XRayTo3DLib.slicer.outlines import LiveOutlines
from XRayTo3DLib.slicer.sample_films import SAMPLES
from XRayTo3DLib.slicer.work import Settings, load_samples, reconstruct_films


class Views(OffScreenViews):
    """The four views of a knee.

    Args:
        knee: shown in them; its outlines are drawn.
    """

    def __init__(self, knee: KneeNodes) -> None:
        super().__init__(knee.record.GetScene())
        self._knee = knee
        LiveOutlines(knee).stop()
        show_in_layout(knee)
        self.add_slices(AP, LATERAL, FREE)

    def film(self, number: int, size: int = 500) -> np.ndarray:
        """The slice view of a film, ``(rows, columns, 3)`` uint8."""
        name = (AP, LATERAL)[number]
        node = slice_view(self._scene, name)
        node.SetDimensions(size, size, 1)
        look_at_film(node, self._knee.geometry.views[number])
        return self.slice(name, size, size)

    def free(self, size: int = 500) -> np.ndarray:
        """The free slice, axial through the joint, ``(rows, columns, 3)`` uint8."""
        node = slice_view(self._scene, FREE)
        node.SetDimensions(size, size, 1)
        node.SetOrientationToAxial()
        node.SetFieldOfView(150.0, 150.0, 1.0)
        node.UpdateMatrices()
        node.SetSliceOffset(8.0)
        return self.slice(FREE, size, size)

    def bones(self, size: int = 700) -> np.ndarray:
        """The 3D view, ``(rows, columns, 3)`` uint8."""
        camera = slicer.vtkMRMLCameraNode()
        aim_camera(camera, self._knee.side)
        return self.volume(bones_view(self._scene), camera, BONES_MANAGERS, size)


def composed(views: Views) -> np.ndarray:
    """The layout as one picture: films left, bones and free slice right."""
    left = np.concatenate([views.film(0, 450), views.film(1, 450)])
    bones, free = views.bones(580), views.free(320)
    width = bones.shape[1]
    padded = np.zeros((320, width, 3), np.uint8)
    padded[:, (width - 320) // 2 : (width - 320) // 2 + 320] = free
    return np.concatenate([left, np.concatenate([bones, padded])], axis=1)


def known_knee(scene: Any) -> KneeNodes:
    """The sample radiographs with the bones that they were made from."""
    frontal, lateral = (
        read_radiograph(resource_path("SampleData", name)) for name in SAMPLES.values()
    )
    surfaces = {
        bone: read_surface(resource_path("SampleData", "truth", f"{bone.key}.ply")) for bone in Bone
    }
    grid = VolumeGrid.cube(128, 153.6)
    depths = np.stack([signed_depth(surfaces[bone], grid, 4.0) for bone in Bone])
    shares = np.clip(0.5 + depths / grid.spacing, 0.0, 1.0)
    background = np.clip(1.0 - shares.sum(axis=0, keepdims=True), 0.0, 1.0)
    known = Reconstruction(
        probabilities=np.concatenate([background, shares]).astype(np.float32),
        grid=grid,
        surfaces=surfaces,
        side=frontal.side.value,
        frontal=frontal,
        lateral=lateral,
        geometry=geometry_of(frontal, lateral),
        centres=stated_centres(frontal, lateral),
        model=ModelIdentity("truth", "", ""),
        seconds={},
        warnings=(),
    )
    return show_knee(scene, known)


def main(folder: Path, truth: bool) -> None:
    """Draw the sample: each view of the truth, or the layout with the reconstruction."""
    scene = slicer.vtkMRMLScene()
    slicer.mrmlScene = scene
    if truth:
        views = Views(known_knee(scene))
        pictures = {
            "ap": views.film(0, 320),
            "lateral": views.film(1, 320),
            "bones": views.bones(320),
            "free": views.free(320),
        }
    else:
        films = load_samples(scene)
        settings = Settings(device="cpu")
        knee = reconstruct_films(scene, *films, settings, lambda stage, fraction: None)
        pictures = {"slicer-layout": composed(Views(knee))}
    for name, picture in pictures.items():
        Image.fromarray(picture).save(folder / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), "--truth" in sys.argv[2:])
