"""An example of films with bones drawn on them: the layout that ``evaluate-film`` reads."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.surface import read_surface
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.geometry import geometry_of
from XRayTo3DLib.imaging.pair import read_pair
from XRayTo3DLib.reconstruction.projected import silhouette
from XRayTo3DLib.resources import resource_path

INDEX_NAME = "index.csv"


def write_example(folder: Path) -> Path:
    """The sample films, masks of their known bones, projected, and an index.

    Args:
        folder: made; must not exist or be empty.

    Returns:
        The index.

    Raises:
        XRayTo3DError: the folder holds something.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise XRayTo3DError(f"{folder} is not an empty folder; name a new one for the example.")
    paths = [resource_path("SampleData", f"knee_{view}.dcm") for view in ("ap", "lateral")]
    frontal, lateral, _ = read_pair(*paths)
    folder.mkdir(parents=True, exist_ok=True)
    line = {"name": "sample", "person": "nobody"}
    for key, path, view in zip(
        ("ap", "lateral"), paths, geometry_of(frontal, lateral).views, strict=True
    ):
        masks = folder / f"{key}_masks"
        masks.mkdir()
        for bone in Bone:
            truth = read_surface(resource_path("SampleData", "truth", f"{bone.key}.ply"))
            mask = np.where(silhouette(truth, view), 255, 0).astype(np.uint8)
            Image.fromarray(mask).save(masks / f"{bone.key}.png")
        shutil.copyfile(path, folder / path.name)
        line |= {key: path.name, f"{key}_masks": masks.name}
    index = folder / INDEX_NAME
    with index.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(line))
        writer.writeheader()
        writer.writerow(line)
    return index
