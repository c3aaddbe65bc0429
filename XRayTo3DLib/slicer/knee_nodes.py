"""The nodes of a reconstructed knee, and how they are found again in a scene that was reopened."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from XRayTo3DLib.imaging.geometry import BiplanarGeometry, ViewGeometry
from XRayTo3DLib.imaging.radiograph import Side
from XRayTo3DLib.reconstruction.report import build_report
from XRayTo3DLib.reconstruction.result import Reconstruction
from XRayTo3DLib.slicer.films import add_film, film_of, show_film
from XRayTo3DLib.slicer.nodes import PREFIX, Node, Scene, all_or_nothing, nodes_of
from XRayTo3DLib.slicer.segments import add_probability, add_segmentation

_RECORD = PREFIX + "record"
_ROLES = {
    "frontal": PREFIX + "frontal",
    "lateral": PREFIX + "lateral",
    "segmentation": PREFIX + "segmentation",
    "probability": PREFIX + "probability",
}


@dataclass(frozen=True)
class KneeNodes:
    """A reconstructed knee in a scene.

    Attributes:
        record: text node that ties the others together and holds the geometry and the report.
        frontal: frontal film.
        lateral: lateral film.
        segmentation: the bones.
        probability: the probability of bone as a volume.
    """

    record: Node
    frontal: Node
    lateral: Node
    segmentation: Node
    probability: Node

    @property
    def films(self) -> tuple[Node, Node]:
        """Frontal and lateral."""
        return self.frontal, self.lateral

    @property
    def geometry(self) -> BiplanarGeometry:
        """Where the sources and detectors stood, RAS mm."""
        stored = self._stored["geometry"]
        return BiplanarGeometry(_view(stored["frontal"]), _view(stored["lateral"]))

    @property
    def side(self) -> Side:
        """Which knee."""
        return film_of(self.frontal).side.value

    @property
    def report(self) -> dict[str, Any]:
        """What the command line writes as report.json, as it was after the reconstruction."""
        return self._stored["report"]

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences for the user."""
        return tuple(self.report["warnings"])

    @property
    def _stored(self) -> dict[str, Any]:
        return json.loads(self.record.GetText())


def show_knee(
    scene: Scene,
    reconstruction: Reconstruction,
    name: str = "Knee",
    films: tuple[Node, Node] | None = None,
) -> KneeNodes:
    """Add films, bones and probability to a scene; all of them or, after an error, none.

    Args:
        scene: they are added to it.
        reconstruction: what to show.
        name: begins the names of the nodes.
        films: frontal and lateral film of the scene that were reconstructed from; they are moved
            to where the reconstruction says they stood. New ones are added if left out.
    """
    frontal, lateral = reconstruction.geometry.views
    with all_or_nothing(scene):
        if films is None:
            films = (
                add_film(scene, reconstruction.frontal, frontal, f"{name} AP film"),
                add_film(scene, reconstruction.lateral, lateral, f"{name} lateral film"),
            )
        nodes = {
            "frontal": films[0],
            "lateral": films[1],
            "segmentation": add_segmentation(scene, reconstruction, f"{name} bones"),
            "probability": add_probability(scene, reconstruction, f"{name} bone probability"),
        }
        record = scene.AddNewNodeByClass("vtkMRMLTextNode", f"{name} reconstruction")
        record.SetAttribute(_RECORD, "1")
        record.SetText(json.dumps(_stored(reconstruction)))
        for role, reference in _ROLES.items():
            record.SetNodeReferenceID(reference, nodes[role].GetID())
    # Last, as it cannot fail: a failure before leaves films of the scene where they were.
    show_film(films[0], reconstruction.frontal, frontal)
    show_film(films[1], reconstruction.lateral, lateral)
    return KneeNodes(record, **nodes)


def knees_in(scene: Scene) -> list[KneeNodes]:
    """Every knee of which all nodes are in the scene, oldest first."""
    knees = []
    for record in nodes_of(scene, "vtkMRMLTextNode"):
        if not record.GetAttribute(_RECORD):
            continue
        parts = {role: record.GetNodeReference(name) for role, name in _ROLES.items()}
        if all(part is not None for part in parts.values()):
            knees.append(KneeNodes(record, **parts))
    return knees


def remove_knee(scene: Scene, knee: KneeNodes, *, films: bool = True) -> None:
    """Take a knee out of the scene.

    Args:
        scene: it is in.
        knee: what to take.
        films: whether the films go too.
    """
    kept = () if films else knee.films
    for node in (*knee.films, knee.segmentation, knee.probability, knee.record):
        if node not in kept:
            scene.RemoveNode(node)


def _stored(reconstruction: Reconstruction) -> dict[str, Any]:
    frontal, lateral = reconstruction.geometry.views
    return {
        "geometry": {"frontal": _view_as_json(frontal), "lateral": _view_as_json(lateral)},
        "report": build_report(reconstruction),
    }


def _view_as_json(view: ViewGeometry) -> dict[str, Any]:
    vectors = ("source", "first_pixel", "row_step", "column_step")
    return {**{name: getattr(view, name).tolist() for name in vectors}, "shape": list(view.shape)}


def _view(stored: dict[str, Any]) -> ViewGeometry:
    vectors = ("source", "first_pixel", "row_step", "column_step")
    rows, columns = stored["shape"]
    return ViewGeometry(**{name: np.array(stored[name]) for name in vectors}, shape=(rows, columns))
