"""Training cases and a folder of bones from a labelled CT."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
from XRayTo3DLib.errors import InputFileError, XRayTo3DError
from XRayTo3DLib.imaging.radiograph import Side
from XRayTo3DLib.progress import Progress, silent
from XRayTo3DLib.training.cases import (
    NETWORK_GRID,
    GeometryVariation,
    case_from_tissues,
    random_geometry,
)
from XRayTo3DLib.training.transfer import transfer

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
    progress: Progress = silent,
) -> dict[str, int]:
    """Write cases ``case_<person>_<side>_<number>.npz`` and ``bones/`` with its index.

    Everything is written to a temporary folder and moved into place at the end: a failure or
    Ctrl-C leaves the output as it was.

    Args:
        ct: Hounsfield units.
        masks: a label map or a folder of masks.
        output: folder; made when absent, others' cases in it are kept.
        person: by which people are held out.
        labels: values in a label map.
        side: the knee to take from a scan of two; of one whose side the files do not say, its
            side (by default the fibula tells).
        views: cases per knee.
        seed: of the X-ray machines.
        progress: told how far each knee is.

    Returns:
        number of cases by name of the knee.

    Raises:
        XRayTo3DError: bad input, or a folder that cannot be written; nothing has been written
            then.
    """
    if not re.fullmatch(r"[A-Za-z0-9]+", person):
        raise XRayTo3DError(f"--person wants letters and digits only, not {person!r}.")
    _check_folder(output)
    index = _read_index(output)
    knees = [
        labelled_knee(bones, chosen, f"{person}_{chosen.value}")
        for chosen, bones in _chosen_knees(read_masks(masks, labels), side, Path(masks)).items()
    ]
    _check_free(output, [labelled.knee.name for labelled in knees], index)
    try:
        with tempfile.TemporaryDirectory(dir=_existing(output), prefix=".xrayto3d-") as stage:
            for knee in knees:
                _stage(ct, knee, Path(stage), views, seed, progress)
            _move(Path(stage), output, knees)
    except OSError as error:
        raise XRayTo3DError(
            f"{output} cannot be written ({error.strerror or 'unknown reason'}); check --output "
            "and the space left."
        ) from error
    return {labelled.knee.name: views for labelled in knees}


def _chosen_knees(
    found: Mapping[str, dict[Bone, sitk.Image]], side: Side | None, masks: Path
) -> dict[Side, dict[Bone, sitk.Image]]:
    """The masks of the knees to take, by side; ``found`` is by side or under ``""``."""
    if "" in found:
        return {side or side_by_fibula(found[""]): found[""]}
    knees = {Side(said): bones for said, bones in found.items()}
    if side is None:
        return knees
    if side not in knees:
        (other,) = knees
        raise InputFileError(
            masks,
            f"holds the four bones of a {other.value} knee only; leave out --side {side.value}.",
        )
    return {side: knees[side]}


def _check_folder(output: Path) -> None:
    for folder in (output, *output.parents):
        if os.path.lexists(folder) and not folder.is_dir():
            raise XRayTo3DError(f"{folder} is not a folder; name another with --output.")


def _check_free(output: Path, names: list[str], index: Mapping[str, Any]) -> None:
    """Refuse to write over a knee that is in the folder, or over a part of one."""
    taken = [
        name
        for name in names
        if name in index
        or (output / "bones" / name).exists()
        or any(output.glob(f"case_{name}_*.npz"))
    ]
    if taken:
        raise XRayTo3DError(
            f"{output.name} already holds {', '.join(taken)}; choose another --person or folder."
        )


def _read_index(output: Path) -> dict[str, Any]:
    path = output / "bones" / "index.json"
    if not path.exists():
        return {}
    try:
        index = json.loads(path.read_text("utf-8"))
    except ValueError:
        index = None
    if not isinstance(index, dict):
        raise InputFileError(path, f"is no index of bones; mend it, or do not use {output.name}.")
    return index


def _existing(output: Path) -> Path:
    """The nearest folder that exists: on the disk of the output, and the user may write there."""
    return next(path for path in (output, *output.absolute().parents) if path.is_dir())


def _stage(
    ct: sitk.Image,
    labelled: LabelledKnee,
    stage: Path,
    views: int,
    seed: int,
    progress: Progress,
) -> None:
    name = labelled.knee.name
    progress(name, 0.0)
    grid = extended(NETWORK_GRID, half_width=_LEG_HALF_WIDTH)
    tissues = tissues_of(ct, labelled, grid)
    for number in range(views):
        # The name is part of the seed: every knee is seen by machines of its own.
        rng = np.random.default_rng([seed, 19, number, *name.encode()])
        geometry = random_geometry(rng, GeometryVariation())
        case_from_tissues(tissues, geometry).save(stage / f"case_{name}_{number:03d}.npz")
        progress(name, (number + 1) / views)
    folder = stage / "bones" / name
    folder.mkdir(parents=True)
    # A folder of bones is read and aligned again: the pose in which they are kept is their own.
    for bone, surface in labelled.knee.surfaces.items():
        write_surface(surface, folder / f"{bone.key}.ply", frame="RAS")


def _move(stage: Path, output: Path, knees: list[LabelledKnee]) -> None:
    bones, staged = output / "bones", stage / "index.json"
    # Read again: another run may have added its knees to the folder meanwhile.
    index = _read_index(output)
    index.update({labelled.knee.name: _entry(labelled) for labelled in knees})
    staged.write_text(json.dumps(index, indent=1), encoding="utf-8")
    with transfer() as moves:
        moves.make_folder(bones)
        for labelled in knees:
            moves.move(stage / "bones" / labelled.knee.name, bones / labelled.knee.name)
        for path in sorted(stage.glob("case_*.npz")):
            moves.move(path, output / path.name)
        moves.replace(staged, bones / "index.json")


def _entry(labelled: LabelledKnee) -> dict[str, Any]:
    """What the index of bones says of a knee."""
    return {
        "side": labelled.knee.side.value,
        "bones": [bone.key for bone in Bone],
        "source": "labelled CT",
        "licence": "the user's own",
    }
