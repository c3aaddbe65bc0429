"""All pictures of one volume in one light: stills, stereo pairs, turntables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.imaging.film_settings import FilmSettings
from XRayTo3DLib.imaging.geometry import ViewGeometry
from XRayTo3DLib.progress import Progress, silent
from XRayTo3DLib.tomography.colouring import coloured
from XRayTo3DLib.tomography.rerender import Renderer, Window
from XRayTo3DLib.tomography.segments import SegmentedDensity
from XRayTo3DLib.tomography.stereo import stereo_views
from XRayTo3DLib.tomography.viewpoint import OrbitCamera

_TURNTABLE = "Turntable"


@dataclass(frozen=True)
class Studio:
    """Where pictures of a knee are taken; all in one light and through one window.

    Attributes:
        renderer: of the volume.
        settings: beam, detector and tone.
        window: what is shown from black to white.
        knee: with the labels of the bones that are coloured; None colours none.
        colours: the bones shown in their colours.
        seed: of the noise.
    """

    renderer: Renderer
    settings: FilmSettings
    window: Window
    knee: SegmentedDensity | None = None
    colours: tuple[Bone, ...] = ()
    seed: int = 0

    def still(self, view: ViewGeometry) -> np.ndarray:
        """``(rows, columns)`` float32, 0–1; ``(rows, columns, 3)`` where bones are coloured."""
        film = self.renderer.film(view, self.settings, self.window, seed=self.seed)
        if self.knee is None or not self.colours:
            return film
        return coloured(film, self.knee.labels, self.knee.volume.grid, view, self.colours)

    def stereo_pair(self, camera: OrbitCamera, angle: float) -> tuple[np.ndarray, np.ndarray]:
        """The left and the right eye's picture, ``angle`` degrees apart.

        Raises:
            XRayTo3DError: an angle that is no pair of eyes.
        """
        left, right = stereo_views(camera.view, angle, np.asarray(camera.about, dtype=float))
        # Two films have two noises: one and the same would float in front as a veil.
        return self.still(left), replace(self, seed=self.seed + 1).still(right)

    def turntable(
        self, camera: OrbitCamera, count: int, progress: Progress = silent
    ) -> Iterator[np.ndarray]:
        """Pictures once around the leg, uint8, beginning where the camera stands."""
        for number in range(count):
            turned = replace(camera, turn=camera.turn + 360.0 * number / count)
            yield bytes_of(replace(self, seed=self.seed + number).still(turned.view))
            progress(_TURNTABLE, (number + 1) / count)


def bytes_of(picture: np.ndarray) -> np.ndarray:
    """0–1 as uint8, 0–255."""
    return np.round(np.clip(picture, 0.0, 1.0) * 255.0).astype(np.uint8)
