"""Training cases and a folder of bones from a labelled CT."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.labelled_ct import (
    LabelledKnee,
    labelled_knee,
    read_masks,
    side_by_fibula,
    tissues_of,
)
from XRayTo3DLib.anatomy.surface import write_surface
from XRayTo3DLib.anatomy.tissue import extended
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.radiograph import Side
from XRayTo3DLib.training.cases import (
    NETWORK_GRID,
    GeometryVariation,
    case_from_tissues,
    random_geometry,
)

_LEG_HALF_WIDTH = 117.0
"""mm from the isocentre within which the soft tissue of a leg lies."""


def label_values(pairs: list[str]) -> dict[Bone, int]:
    """Values of the bones in a label map: our own, changed by words like ``femur=7``.

    Raises:
        XRayTo3DError: no such bone, or no whole number.
    """
    values = {bone: int(bone) for bone in Bone}
    for pair in pairs:
        name, _, text = pair.partition("=")
        if name.upper() not in Bone.__members__ or not text.isdigit():
            raise XRayTo3DError(
                f"--label wants one of {', '.join(b.key for b in Bone)} and a whole number, as in "
                f"femur=1, not {pair!r}."
            )
        values[Bone[name.upper()]] = int(text)
    return values


def prepare_ct(
    ct: sitk.Image,
    masks: str | Path,
    output: Path,
    *,
    person: str,
    labels: dict[Bone, int],
    side: Side | None = None,
    views: int = 8,
    seed: int = 0,
) -> dict[str, int]:
    """Write cases ``case_<person>_<side>_<number>.npz`` and ``bones/`` with its index.

    Args:
        ct: Hounsfield units.
        masks: a label map or a folder of masks.
        output: folder; made when absent, others' cases in it are kept.
        person: by which people are held out.
        labels: values in a label map.
        side: for masks that do not say it; else the fibula tells.
        views: cases per knee.
        seed: of the X-ray machines.

    Returns:
        number of cases by name of the knee.

    Raises:
        XRayTo3DError: bad input; nothing has been written then.
    """
    if not re.fullmatch(r"[A-Za-z0-9]+", person):
        raise XRayTo3DError(f"--person wants letters and digits only, not {person!r}.")
    knees = []
    for said, bones in read_masks(masks, labels).items():
        chosen = Side(said) if said else side or side_by_fibula(bones)
        knees.append(labelled_knee(bones, chosen, f"{person}_{chosen.value}"))
    taken = [k.knee.name for k in knees if (output / "bones" / k.knee.name).exists()]
    if taken:
        raise XRayTo3DError(
            f"{output.name} already holds {', '.join(taken)}; choose another --person or folder."
        )
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}_") as stage:
        for knee in knees:
            _stage(ct, knee, Path(stage), views, seed)
        _move(Path(stage), output, knees)
    return {labelled.knee.name: views for labelled in knees}


def _stage(ct: sitk.Image, labelled: LabelledKnee, stage: Path, views: int, seed: int) -> None:
    name = labelled.knee.name
    grid = extended(NETWORK_GRID, half_width=_LEG_HALF_WIDTH)
    tissues = tissues_of(ct, labelled, grid)
    for number in range(views):
        rng = np.random.default_rng([seed, 19, number])
        geometry = random_geometry(rng, GeometryVariation())
        case_from_tissues(tissues, *geometry).save(stage / f"case_{name}_{number:03d}.npz")
    folder = stage / "bones" / name
    folder.mkdir(parents=True)
    # A folder of bones is read and aligned again: the pose in which they are kept is their own.
    for bone, surface in labelled.knee.surfaces.items():
        write_surface(surface, folder / f"{bone.key}.ply", frame="RAS")


def _move(stage: Path, output: Path, knees: list[LabelledKnee]) -> None:
    bones = output / "bones"
    bones.mkdir(parents=True, exist_ok=True)
    index_path = bones / "index.json"
    index = json.loads(index_path.read_text("utf-8")) if index_path.is_file() else {}
    for labelled in knees:
        knee = labelled.knee
        (stage / "bones" / knee.name).replace(bones / knee.name)
        index[knee.name] = {
            "side": knee.side.value,
            "bones": [bone.key for bone in Bone],
            "source": "labelled CT",
            "licence": "the user's own",
        }
    for path in stage.glob("case_*.npz"):
        path.replace(output / path.name)
    index_path.write_text(json.dumps(index, indent=1), encoding="utf-8")
