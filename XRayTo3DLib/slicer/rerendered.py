"""A radiograph of a density from a viewpoint of one's choice, in the scene and kept up to date."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from XRayTo3DLib.imaging.geometry import ViewGeometry
from XRayTo3DLib.imaging.scale import DEFAULT_SID, KNEE_TO_DETECTOR
from XRayTo3DLib.slicer.density_nodes import density_of
from XRayTo3DLib.slicer.films import place_film
from XRayTo3DLib.slicer.nodes import PREFIX, Node, Scene, nodes_of
from XRayTo3DLib.tomography.viewpoint import OrbitCamera, fitting_detector

if TYPE_CHECKING:
    from torch import Tensor

    from XRayTo3DLib.imaging.film_settings import FilmSettings
    from XRayTo3DLib.tomography.rerender import Window

SIZE = 256
"""Pixels a side: what a slider can drag along."""

STEREO_ANGLE = 6.0
"""Degrees between the eyes."""

_GAP = 8
_OF = PREFIX + "rerendered.of"
_METERED = tuple(
    (turn, elevation) for turn in (0.0, 45.0, 90.0, 135.0) for elevation in (0.0, 25.0)
)
"""Turn and elevation of the views to which the window is fitted: through the leg's thin side, its
thick, and where bones overlap."""

_METERED_SIZE = 64

_PICTURE = PREFIX + "rerendered"


@dataclass(frozen=True)
class Viewpoint:
    """What the sliders say.

    Attributes:
        turn: degrees about the leg's long axis; 0 is AP, 90 the lateral view of a right knee.
        elevation: degrees by which the tube is raised.
        sid: source–image distance, mm.
        kvp: peak tube voltage, kV.
        stereo: whether each eye gets its picture, side by side.
    """

    turn: float = 0.0
    elevation: float = 0.0
    sid: float = DEFAULT_SID
    kvp: float = 65.0
    stereo: bool = False


class Rerendered:
    """Makes pictures of one density, and shows them in one node of the scene.

    The node is a scalar volume of one slice that stands where the detector would: in 3D it goes
    around the leg with the tube.

    Args:
        volume: of :func:`~XRayTo3DLib.slicer.density_nodes.add_density`.

    Raises:
        XRayTo3DError: nothing can be made of the volume.
    """

    def __init__(self, volume: Node) -> None:
        # torch may be missing until the user has agreed to install it.
        from XRayTo3DLib.tomography.rerender import LIVE_VOXEL, Renderer

        density = density_of(volume)
        self.volume = volume
        self._grid = density.grid
        self._renderer = Renderer(density, LIVE_VOXEL)
        self._windows: dict[float, Window] = {}
        self._metered = [
            self._paths_of(replace(self.camera(Viewpoint(*stand)), size=_METERED_SIZE).view)
            for stand in _METERED
        ]
        self._seen: tuple[Viewpoint, list[Tensor]] | None = None

    def camera(self, viewpoint: Viewpoint) -> OrbitCamera:
        """The tube and a detector that shows the whole of the leg."""
        return OrbitCamera(
            turn=viewpoint.turn,
            elevation=viewpoint.elevation,
            sid=viewpoint.sid,
            sod=viewpoint.sid - KNEE_TO_DETECTOR,
            detector=fitting_detector(self._grid),
            size=SIZE,
            about=self._grid.centre,
        )

    def picture(self, viewpoint: Viewpoint) -> np.ndarray:
        """What is seen, ``(256, 256)`` or, in stereo, ``(256, 520)`` uint8, bone bright.

        The window fits views from several sides at this voltage and is kept for all others:
        otherwise the grey of a turning leg would flicker.
        """
        from XRayTo3DLib.imaging.film_settings import FilmSettings
        from XRayTo3DLib.tomography.rerender import film_of
        from XRayTo3DLib.tomography.stereo import side_by_side
        from XRayTo3DLib.tomography.studio import bytes_of

        settings = FilmSettings(kvp=viewpoint.kvp)
        pitch = self.camera(viewpoint).spacing
        window = self._window(settings)
        films = [film_of(paths, pitch, settings, window) for paths in self._paths(viewpoint)]
        return bytes_of(films[0] if len(films) == 1 else side_by_side(films[0], films[1], _GAP))

    def detector(self, viewpoint: Viewpoint) -> ViewGeometry:
        """Where the picture stands; a stereo pair is centred where the one film would be."""
        view = self.camera(viewpoint).view
        if not viewpoint.stereo:
            return view
        aside = 0.5 * (SIZE + _GAP) * view.column_step
        return replace(view, first_pixel=view.first_pixel - aside, shape=(SIZE, 2 * SIZE + _GAP))

    def show(self, viewpoint: Viewpoint) -> Node:
        """Make the picture and put it into the scene's one node for it."""
        pixels = self.picture(viewpoint)
        scene = self.volume.GetScene()
        node = rerendered_in(scene) or _add_node(scene)
        modified = node.StartModify()
        _put(node, pixels)
        place_film(node, self.detector(viewpoint))
        node.SetNodeReferenceID(_OF, self.volume.GetID())
        node.EndModify(modified)
        return node

    def _window(self, settings: FilmSettings) -> Window:
        """The window that shows all of what the metered views do."""
        from XRayTo3DLib.tomography.rerender import Window, window_of

        if settings.kvp not in self._windows:
            windows = [window_of(paths, 1.0, settings) for paths in self._metered]
            low = min(window.level - 0.5 * window.width for window in windows)
            high = max(window.level + 0.5 * window.width for window in windows)
            self._windows[settings.kvp] = Window(0.5 * (low + high), high - low)
        return self._windows[settings.kvp]

    def _paths(self, viewpoint: Viewpoint) -> list[Tensor]:
        """Path lengths of each eye; they do not change with the voltage."""
        stand = replace(viewpoint, kvp=0.0)
        if self._seen is None or self._seen[0] != stand:
            self._seen = (stand, [self._paths_of(view) for view in self._eyes(viewpoint)])
        return self._seen[1]

    def _eyes(self, viewpoint: Viewpoint) -> tuple[ViewGeometry, ...]:
        from XRayTo3DLib.tomography.stereo import stereo_views

        camera = self.camera(viewpoint)
        if not viewpoint.stereo:
            return (camera.view,)
        return stereo_views(camera.view, STEREO_ANGLE, np.asarray(camera.about, dtype=float))

    def _paths_of(self, view: ViewGeometry) -> Tensor:
        return self._renderer.paths(view)


def rerendered_in(scene: Scene) -> Node | None:
    """The node that holds the picture, if one was made."""
    for node in nodes_of(scene, "vtkMRMLScalarVolumeNode"):
        if node.GetAttribute(_PICTURE):
            return node
    return None


def remove_rerendered(scene: Scene) -> None:
    """Take the picture out of a scene."""
    node = rerendered_in(scene)
    if node is not None:
        for other in (node.GetDisplayNode(), node.GetStorageNode(), node):
            if other is not None:
                scene.RemoveNode(other)


def _add_node(scene: Scene) -> Node:
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Re-rendered film")
    node.SetAttribute(_PICTURE, "1")
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetAndObserveColorNodeID("vtkMRMLColorTableNodeGrey")
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(0.0, 255.0)
    display.SetInterpolate(1)
    return node


def _put(node: Node, pixels: np.ndarray) -> None:
    """New pixels in the picture that is there; another only where their number has changed."""
    rows, columns = pixels.shape
    image = node.GetImageData()
    if image is not None and image.GetDimensions() == (columns, rows, 1):
        scalars = image.GetPointData().GetScalars()
        vtk_to_numpy(scalars)[:] = pixels.ravel()
        scalars.Modified()
        image.Modified()
        return
    image = vtk.vtkImageData()
    image.SetDimensions(columns, rows, 1)
    image.GetPointData().SetScalars(numpy_to_vtk(pixels.ravel(), deep=True))
    node.SetAndObserveImageData(image)
