"""A radiograph from a volume that is loaded already: its file if there is one, or its pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from XRayTo3DLib.imaging.radiograph import Origin, Sourced
from XRayTo3DLib.imaging.stated_film import StatedFilm, StatedScale
from XRayTo3DLib.slicer.films import pixels_of
from XRayTo3DLib.slicer.nodes import Node

_INSTANCES = "DICOM.instanceUIDs"
_UNKNOWN_SPACING = 1.0
"""mm that Slicer gives a picture without a scale."""


def film_source(node: Node, database: Any = None) -> Path | StatedFilm:
    """What a film is to be read from.

    The file behind a volume says more than the volume (scale, distances, view, side), so it is
    read again where it is known: from the DICOM database or from the volume's storage.

    Args:
        node: a scalar volume of one slice.
        database: Slicer's DICOM database (``fileForInstance``), if there is one.

    Raises:
        XRayTo3DError: the volume has several slices, no picture or colours.
    """
    pixels = pixels_of(node)
    file = _database_file(node, database) or _stored_file(node)
    if file is not None:
        return file
    across, down, _ = node.GetSpacing()
    known = across != _UNKNOWN_SPACING or down != _UNKNOWN_SPACING
    spacing = Sourced((down, across), Origin.HEADER, "spacing of the volume") if known else None
    return StatedFilm(
        pixels=pixels,
        inverted=Sourced(False, Origin.ASSUMED, "as the volume shows it"),
        scale=StatedScale(spacing=spacing),
        name=node.GetName(),
    )


def _database_file(node: Node, database: Any) -> Path | None:
    instances = (node.GetAttribute(_INSTANCES) or "").split()
    if database is None or len(instances) != 1:
        return None
    file = database.fileForInstance(instances[0])
    return Path(file) if file and Path(file).is_file() else None


def _stored_file(node: Node) -> Path | None:
    storage = node.GetStorageNode()
    name = storage.GetFileName() if storage is not None else None
    changed = node.GetModifiedSinceRead()
    return Path(name) if name and not changed and Path(name).is_file() else None
