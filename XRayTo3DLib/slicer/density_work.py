"""What the buttons of the density section do to a scene: estimate, save."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.geometry import ViewGeometry
from XRayTo3DLib.imaging.radiograph import Radiograph
from XRayTo3DLib.progress import Progress
from XRayTo3DLib.resources import resource_path
from XRayTo3DLib.slicer.alive import run_alive
from XRayTo3DLib.slicer.density_nodes import (
    DensityNodes,
    densities_in,
    density_of,
    remove_density,
    show_density,
)
from XRayTo3DLib.slicer.export import write_one
from XRayTo3DLib.slicer.films import film_of, is_film
from XRayTo3DLib.slicer.knee_nodes import KneeNodes, knees_in
from XRayTo3DLib.slicer.nodes import Node, Scene
from XRayTo3DLib.slicer.readiness import Readiness, readiness

if TYPE_CHECKING:
    from XRayTo3DLib.tomography.density_result import DensityResult

_WEIGHTS = "knee-density64.safetensors"


class Films(str, Enum):
    """Of which films a density is estimated; the values are what the panel offers."""

    BOTH = "Both films"
    AP = "AP film alone"
    LATERAL = "Lateral film alone"

    def chosen(self, frontal: Node | None, lateral: Node | None) -> tuple[Node, ...]:
        """The nodes that it means.

        Raises:
            XRayTo3DError: one of them is missing.
        """
        wanted = {
            Films.BOTH: {"AP": frontal, "lateral": lateral},
            Films.AP: {"AP": frontal},
            Films.LATERAL: {"lateral": lateral},
        }[self]
        for name, node in wanted.items():
            if not is_film(node):
                raise XRayTo3DError(f"Choose the {name} film in section 1 first.")
        return tuple(node for node in wanted.values() if node is not None)


def density_readiness(weights: str | Path | None = None) -> Readiness:
    """Whether a density can be estimated here, and what is missing if not.

    Args:
        weights: a file of the user's; the shipped ones by default.
    """
    if weights:
        return readiness(weights)
    try:
        return readiness(resource_path("Models", _WEIGHTS))
    except XRayTo3DError:  # said by the sentence, which does not tell the user to install again
        return readiness(_WEIGHTS)


def estimate_films(
    scene: Scene,
    films: tuple[Node, ...],
    weights: Path | None,
    device: str,
    pump: Callable[[str, float], None],
    cancelled: Callable[[], bool] = lambda: False,
) -> DensityNodes:
    """Estimate a density and show it in place of earlier ones of these films.

    Where the films have been reconstructed, the density is estimated in the frame of the bones.
    An error or a cancel leaves the scene as it was.

    Args:
        scene: of the films.
        films: one, or the frontal and the lateral, of :func:`XRayTo3DLib.slicer.work.load_film`.
        weights: file of weights; those shipped by default.
        device: ``auto``, ``cpu`` or ``cuda``.
        pump: keeps the window alive, see :func:`~XRayTo3DLib.slicer.alive.run_alive`.
        cancelled: whether the user wants to stop.

    Raises:
        XRayTo3DError: the films or the weights cannot be used.
        Cancelled: the user stopped it.
    """
    given = [film_of(node) for node in films]
    geometry = _geometry(scene, films)

    def job(tell: Progress) -> DensityResult:
        return _estimate(given, geometry, weights, device, tell)

    result = run_alive(job, pump, cancelled)
    earlier = [density for density in densities_in(scene) if set(density.films) & set(films)]
    density = show_density(scene, result, films)
    for old in earlier:
        remove_density(scene, old)
    return density


def save_density(volume: Node, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write Hounsfield units as NRRD, as ``xrayto3d density`` does.

    Raises:
        FileThereError: a file is there and may not be replaced.
        XRayTo3DError: the file cannot be written, or the volume holds no density.
    """
    from XRayTo3DLib.tomography.density_files import write_density

    density = density_of(volume)
    return write_one(Path(path), lambda target: write_density(density, target), overwrite=overwrite)


def _geometry(scene: Scene, films: tuple[Node, ...]) -> list[ViewGeometry] | None:
    """Where a reconstruction says that these films were taken."""
    for knee in reversed(knees_in(scene)):
        if set(films) <= set(knee.films):
            return [_view(knee, film) for film in films]
    return None


def _view(knee: KneeNodes, film: Node) -> ViewGeometry:
    return knee.geometry.views[knee.films.index(film)]


def _estimate(
    films: list[Radiograph],
    geometry: list[ViewGeometry] | None,
    weights: Path | None,
    device: str,
    tell: Progress,
) -> DensityResult:
    # torch may be missing until the user has agreed to install it.
    from XRayTo3DLib.reconstruction.device import chosen_device
    from XRayTo3DLib.tomography.estimate import estimate_density

    return estimate_density(
        films, geometry, weights=weights, device=chosen_device(device), progress=tell
    )
