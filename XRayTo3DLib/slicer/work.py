"""What the panel's buttons do to a scene: load, correct, exchange, reconstruct."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.centres import Pixel
from XRayTo3DLib.imaging.geometry import film_geometry
from XRayTo3DLib.imaging.radiograph import Origin, Radiograph, Side, Sourced, View
from XRayTo3DLib.imaging.reading import read_radiograph
from XRayTo3DLib.imaging.restating import taken_as
from XRayTo3DLib.imaging.stated_film import StatedFilm
from XRayTo3DLib.progress import Progress
from XRayTo3DLib.reconstruction.result import Reconstruction
from XRayTo3DLib.resources import resource_path
from XRayTo3DLib.slicer.alive import run_alive
from XRayTo3DLib.slicer.films import add_film, film_of, is_film, restate_film, show_film
from XRayTo3DLib.slicer.found_knee import follow_film, found_on, remove_found
from XRayTo3DLib.slicer.knee_nodes import KneeNodes, knees_in, remove_knee, show_knee
from XRayTo3DLib.slicer.loaded_film import film_source
from XRayTo3DLib.slicer.nodes import Node, Scene
from XRayTo3DLib.slicer.outlines import remove_outlines
from XRayTo3DLib.slicer.sample_films import SAMPLES
from XRayTo3DLib.slicer.styled_films import add_styled, remove_styled

SHIPPED_STYLE = "shipped"
"""As :data:`XRayTo3DLib.style.style_weights.SHIPPED`, which only PyTorch can import."""


@dataclass(frozen=True)
class Settings:
    """How a knee is reconstructed.

    Attributes:
        weights: file of weights; those shipped by default.
        device: ``auto``, ``cpu`` or ``cuda``.
        find_joint: whether the joint is looked for on the films.
        refine: whether geometry and bones are fitted to the films; where the lateral film shows a
            bent knee when None.
        check_films: whether the films are looked at first.
        accept_any: whether what is no knee is warned of instead of refused.
        style: weights by which the films' style is translated, or :data:`SHIPPED_STYLE`.
    """

    weights: Path | None = None
    device: str = "auto"
    find_joint: bool = True
    refine: bool | None = None
    check_films: bool = True
    accept_any: bool = False
    style: str | Path | None = None


def load_film(scene: Scene, source: str | Path | StatedFilm, view: View) -> Node:
    """Read a radiograph and add it to a scene.

    Args:
        scene: the film is added to it.
        source: a file, or what another program has read of it.
        view: AP or lateral, where the file does not say it.

    Raises:
        XRayTo3DError: it cannot be used, or its header says that it is the other view.
    """
    film = read_radiograph(source, fallback_view=view)
    if (film.view.value is View.LATERAL) is not (view is View.LATERAL):
        name = film.path.name if film.path else "The film"
        raise XRayTo3DError(
            f"{name} is a film of the {film.view.value.value} view ({film.view.note}); choose it "
            f"as such, and another as the {view.value} film."
        )
    return add_film(scene, film, film_geometry(film), f"{view.value} film")


def adopt_volume(scene: Scene, node: Node, view: View, database: Any = None) -> Node:
    """A film from a volume that is loaded already; a film of this program is returned as it is."""
    return node if is_film(node) else load_film(scene, film_source(node, database), view)


def load_samples(scene: Scene) -> tuple[Node, Node]:
    """The radiographs that come with the program, frontal and lateral."""
    frontal, lateral = (
        load_film(scene, resource_path("SampleData", name), view) for view, name in SAMPLES.items()
    )
    return frontal, lateral


def agree_on_side(frontal: Node, lateral: Node) -> None:
    """Where only one of two films says which knee it is, the other is that too."""
    films = film_of(frontal), film_of(lateral)
    assumed = [film.side.origin is Origin.ASSUMED for film in films]
    if assumed[0] is assumed[1]:
        return
    node, known = (frontal, films[1]) if assumed[0] else (lateral, films[0])
    film = restate_film(node, side=known.side.value)
    note = f"from the other film: {known.side.note}"
    told = replace(film, side=Sourced(known.side.value, known.side.origin, note))
    show_film(node, told, film_geometry(told))


def swap_films(frontal: Node | None, lateral: Node | None) -> tuple[Node | None, Node | None]:
    """Take each film for the other; either may be missing.

    Returns:
        the new frontal and the new lateral film: the same nodes, exchanged.

    Raises:
        XRayTo3DError: a header says which film it is; nothing has been changed then.
    """
    given = ((frontal, View.LATERAL), (lateral, View.AP))
    taken = [(node, taken_as(film_of(node), view)) for node, view in given if node is not None]
    for node, film in taken:
        show_film(node, film, film_geometry(film))
        node.SetName(f"{film.view.value.value} film")
    return lateral, frontal


def set_side(films: list[Node], side: Side) -> None:
    """Say which knee it is, of every film there is."""
    for node in films:
        restate_film(node, side=side)


def reconstruct_films(
    scene: Scene,
    frontal: Node,
    lateral: Node,
    settings: Settings,
    pump: Callable[[str, float], None],
    cancelled: Callable[[], bool] = lambda: False,
) -> KneeNodes:
    """Reconstruct a knee and show it in place of an earlier one of the same films.

    An error or a cancel leaves the scene as it was.

    Args:
        scene: of the films.
        frontal: film of :func:`load_film`.
        lateral: likewise.
        settings: how.
        pump: keeps the window alive, see :func:`~XRayTo3DLib.slicer.alive.run_alive`.
        cancelled: whether the user wants to stop.

    Raises:
        XRayTo3DError: the films cannot be used.
        Cancelled: the user stopped it.
    """
    films = film_of(frontal), film_of(lateral)
    said = _said_of_joint((frontal, lateral), settings.find_joint)
    done = run_alive(lambda tell: _reconstruct(*films, settings, said, tell), pump, cancelled)
    earlier = [knee for knee in knees_in(scene) if set(knee.films) & {frontal, lateral}]
    knee = show_knee(scene, done, films=(frontal, lateral))
    for node, before in zip(knee.films, films, strict=True):
        _keep_found(node, before)
    remove_styled(knee.films)
    if done.styled is not None:
        add_styled(knee.films, done.styled, done.geometry)
    for old in earlier:
        remove_knee(scene, old, films=False)
        remove_outlines(scene)
    return knee


@dataclass(frozen=True)
class _Said:
    """What boxes on the films say of the joint.

    Attributes:
        centres: pixel (row, column) of its middle on each film, where it is to be believed.
        leans: degrees by which the leg leans on each film, where they are to be believed.
        search: whether the whole films are searched, as they were when the boxes were drawn.
    """

    centres: tuple[Pixel | None, Pixel | None]
    leans: tuple[float | None, float | None]
    search: bool | None


def _said_of_joint(films: tuple[Node, Node], find_joint: bool) -> _Said:
    """A box that was moved is the user's word; one that was not is found again, with its lean.

    How the leg leans in a box that was moved is looked for in its new place, unless nothing is to
    be looked for.
    """
    boxes = [found_on(node) for node in films]
    centres = [
        box.centre if box is not None and (box.moved or not find_joint) else None for box in boxes
    ]
    leans = [box.lean if box is not None and not find_joint else None for box in boxes]
    return _Said((centres[0], centres[1]), (leans[0], leans[1]), True if any(boxes) else None)


def _keep_found(node: Node, before: Radiograph) -> None:
    """What was found goes with its film, unless the film has been turned or exchanged."""
    now = film_of(node).pixels
    same = now.shape == before.pixels.shape and any(
        np.allclose(now, pixels, atol=1e-5) for pixels in (before.pixels, 1.0 - before.pixels)
    )
    if same:
        follow_film(node)
    else:
        remove_found(node)


def _reconstruct(
    ap: Radiograph, lateral: Radiograph, settings: Settings, said: _Said, tell: Progress
) -> Reconstruction:
    # torch may be missing until the user has agreed to install it.
    from XRayTo3DLib.reconstruction.device import chosen_device
    from XRayTo3DLib.reconstruction.reconstruct import reconstruct

    reconstruction = reconstruct(
        ap,
        lateral,
        weights=settings.weights,
        device=chosen_device(settings.device),
        check_films=settings.check_films,
        accept_any=settings.accept_any,
        ap_centre=said.centres[0],
        lateral_centre=said.centres[1],
        ap_lean=said.leans[0],
        lateral_lean=said.leans[1],
        find_joint=settings.find_joint,
        search=said.search,
        style=settings.style,
        refine=settings.refine,
        progress=tell,
    )
    return replace(
        reconstruction,
        frontal=_told_once(reconstruction.frontal),
        lateral=_told_once(reconstruction.lateral),
    )


def _told_once(film: Radiograph) -> Radiograph:
    """A film of the scene keeps what was said of it, and every Apply says it again."""
    return replace(film, warnings=tuple(dict.fromkeys(film.warnings)))
