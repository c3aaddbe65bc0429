"""How densely each bone fills its shape, and how that varies: shape models with intensity.

A statistical shape and intensity model gives every place of a mean bone an attenuation, so that a
radiograph of any bone of the model can be made and laid over a film (Whitmarsh, Humbert, De Craene,
Del Rio Barquero and Frangi, IEEE TMI 30(12), 2011; Klima et al., Med. Image Anal. 34, 2016).

The bones that shapes are learnt from are surfaces without intensity. So intensity is learnt from
the tissues with which this program fills generated knees: they are drawn many times in the mean
shapes, where places already correspond, and their principal components are taken. What those
tissues vary (thickness of the cortex, where marrow begins, how dense spongy bone is) is what the
model knows.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.npyio import NpzFile

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.knee import Knee
from XRayTo3DLib.anatomy.shape_model import MODEL_LICENCE, ShapeModel, principal_modes
from XRayTo3DLib.anatomy.tissue import Tissues, make_tissues
from XRayTo3DLib.errors import InputFileError, XRayTo3DError
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.materials import Material, linear_attenuation
from XRayTo3DLib.imaging.radiograph import Side
from XRayTo3DLib.progress import Progress, silent
from XRayTo3DLib.resources import named_model

DRAWS = 40
"""Tissues from which intensity is learnt."""

MODES = 3
"""Modes of intensity that are kept."""

ENERGY_KEV = 60.0
"""Photon energy at which attenuation is stated."""

_FORMAT = "XRayTo3D intensity model 1"
_SHAPE_NAMES = {"mean": "points", "modes": "shape_modes", "shares": "shape_shares"}
"""What the file calls parts of the shape, beside the parts of the density."""

SPACING = 2.0
"""mm between the voxels of a model."""

_HALF_HEIGHT = 104.0
"""mm above and below the joint line that the model fills: more than a film of a knee shows."""

_HALF_WIDTH = 72.0
_MARGIN = 10.0
"""mm around each mean bone that its grid keeps free, into which larger bones of the model grow."""

_RIM = 1.0
"""mm outside a surface at which a voxel may still hold some of the bone."""


@dataclass(frozen=True)
class IntensityModel:
    """Shape and intensity of one bone of right knees.

    Attributes:
        shape: its shapes.
        grid: about the mean shape, in the frame of the shape model.
        mean: ``(z, y, x)`` float32, attenuation above that of muscle at 60 keV, 1/mm: what a bone
            adds to a film by standing where muscle would be. Marrow is less than 0.
        modes: ``(K, z, y, x)`` float32, 1/mm for one standard deviation, by falling variance.
        shares: ``(K,)`` of the variance that each mode explains.
    """

    shape: ShapeModel
    grid: VolumeGrid
    mean: np.ndarray
    modes: np.ndarray
    shares: np.ndarray

    @property
    def bone(self) -> Bone:
        """Which bone."""
        return self.shape.bone


@dataclass(frozen=True)
class KneeModel:
    """Models of the four bones, in the frame of one right knee.

    Attributes:
        bones: by bone.
        name: file name without its ending, or "unsaved".
        sha256: of the file, hexadecimal, or "".
        licence: of the model.
    """

    bones: dict[Bone, IntensityModel]
    name: str = "unsaved"
    sha256: str = ""
    licence: str = MODEL_LICENCE

    @property
    def people(self) -> frozenset[str]:
        """Whose bones the shapes were learnt from."""
        return frozenset(name for model in self.bones.values() for name in model.shape.people)

    def save(self, path: str | Path) -> None:
        """Write one compressed ``.npz`` without pickled objects; modes in half precision."""
        arrays: dict[str, Any] = {"format": np.array(_FORMAT), "licence": np.array(self.licence)}
        for bone, model in self.bones.items():
            arrays.update({f"{bone.key}.{name}": value for name, value in _packed(model).items()})
        unfinished = Path(path).with_suffix(".part")
        with unfinished.open("wb") as file:
            np.savez_compressed(file, **arrays)
        unfinished.replace(path)

    @classmethod
    def load(cls, path: str | Path) -> KneeModel:
        """Read what :meth:`save` wrote; nothing in the file is ever executed.

        Args:
            path: of a file, or the name of a model that comes with the program (``knee-ssim``).

        Raises:
            InputFileError: it is missing, or is not such a model.
        """
        path = named_model(path, ".npz")
        if not path.is_file():
            raise InputFileError(
                path,
                "does not exist; make a model with xrayto3d intensity, or use knee-ssim, which "
                "comes with the program.",
            )
        try:
            with np.load(path, allow_pickle=False) as content:
                if not isinstance(content, NpzFile) or str(content["format"]) != _FORMAT:
                    raise ValueError("another format")
                bones = {bone: _unpacked(bone, content) for bone in Bone}
                licence = str(content["licence"])
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise InputFileError(
                path, "is not a shape and intensity model; make one with xrayto3d intensity."
            ) from error
        return cls(bones, path.stem, hashlib.sha256(path.read_bytes()).hexdigest(), licence)


def _packed(model: IntensityModel) -> dict[str, np.ndarray]:
    shape = {_SHAPE_NAMES.get(name, name): part for name, part in model.shape.packed().items()}
    return {
        **shape,
        "spacing": np.array(model.grid.spacing),
        "centre": np.array(model.grid.centre),
        # Half precision holds no number as small as these in 1/mm; in 1/m it does.
        "density": (1000.0 * model.mean).astype(np.float16),
        "density_modes": (1000.0 * model.modes).astype(np.float16),
        "density_shares": model.shares.astype(np.float32),
    }


def _unpacked(bone: Bone, content: NpzFile) -> IntensityModel:
    part = {
        name.partition(".")[2]: content[name] for name in content if name.startswith(f"{bone.key}.")
    }
    named = {name: part[other] for name, other in _SHAPE_NAMES.items()}
    shape = ShapeModel.unpacked(bone, {"licence": content["licence"], **part, **named})
    density = part["density"].astype(np.float32) / 1000.0
    density_modes = part["density_modes"].astype(np.float32) / 1000.0
    if density_modes.shape[1:] != density.shape:
        raise ValueError("arrays that do not fit together")
    x, y, z = (float(value) for value in part["centre"])
    size = density.shape
    grid = VolumeGrid((size[0], size[1], size[2]), float(part["spacing"]), (x, y, z))
    return IntensityModel(shape, grid, density, density_modes, part["density_shares"].astype(float))


def learn_intensity(
    shapes: Mapping[Bone, ShapeModel],
    *,
    draws: int = DRAWS,
    modes: int = MODES,
    spacing: float = SPACING,
    seed: int = 0,
    progress: Progress = silent,
) -> KneeModel:
    """Mean and modes of the attenuation within the mean shapes.

    Args:
        shapes: of all four bones, as one population gave them: their means lie as in one knee.
        draws: how often tissues are drawn.
        modes: how many are kept of each bone.
        spacing: mm between the voxels.
        seed: of the draws.
        progress: told of every draw.

    Raises:
        XRayTo3DError: a bone is missing, or there are too few draws for the modes.
    """
    if missing := [bone.key for bone in Bone if bone not in shapes]:
        raise XRayTo3DError(f"There is no shape model of the {', '.join(missing)}; add it.")
    if draws <= modes:
        raise XRayTo3DError(f"{modes} modes need more than {draws} draws of tissues.")
    knee = Knee("mean", "nobody", Side.RIGHT, {bone: shapes[bone].mean_surface for bone in Bone})
    whole = _grid_of_all(spacing)
    parts = {bone: _part_about(shapes[bone], whole) for bone in Bone}
    found: dict[Bone, list[np.ndarray]] = {bone: [] for bone in Bone}
    for draw in range(draws):
        progress("Intensity", draw / draws)
        tissues = make_tissues(knee, whole, np.random.default_rng([seed, 23, draw]))
        contrast = _contrast(tissues)
        for bone in Bone:
            own = np.where(_belongs(tissues.depth, bone), contrast, 0.0)
            found[bone].append(own[parts[bone]].astype(np.float32))
    progress("Intensity", 1.0)
    return KneeModel(
        {
            bone: _learnt(shapes[bone], _grid_of(whole, parts[bone]), found[bone], modes)
            for bone in Bone
        },
        licence=shapes[Bone.FEMUR].licence,
    )


def _contrast(tissues: Tissues) -> np.ndarray:
    """Attenuation above that of muscle, 1/mm, of what lies within the bones, ``(z, y, x)``."""
    attenuation = {
        material: float(linear_attenuation(material, ENERGY_KEV)) for material in Material
    }
    muscle = attenuation[Material.MUSCLE]
    cortex, spongy = tissues.bone.numpy()
    inside = np.clip(0.5 + tissues.depth.max(axis=0) / tissues.bone_grid.spacing, 0.0, 1.0)
    marrow = np.clip(inside - cortex - spongy, 0.0, 1.0)
    return (
        cortex * (attenuation[Material.CORTEX] - muscle)
        + spongy * (attenuation[Material.SPONGIOSA] - muscle)
        + marrow * (attenuation[Material.FAT] - muscle)
    )


def _belongs(depth: np.ndarray, bone: Bone) -> np.ndarray:
    """Voxels ``(z, y, x)`` in or at a bone, and in no other one more deeply."""
    own = depth[bone - 1]
    return (own > -_RIM) & (depth.argmax(axis=0) == bone - 1)


def _grid_of_all(spacing: float) -> VolumeGrid:
    """The grid of all bones: an even number of voxels along each axis, as tissues need it."""
    height, width = (2 * int(np.ceil(half / spacing)) for half in (_HALF_HEIGHT, _HALF_WIDTH))
    return VolumeGrid((height, width, width), spacing)


def _part_about(shape: ShapeModel, whole: VolumeGrid) -> tuple[slice, slice, slice]:
    """The part of the whole grid that a mean bone and its margin take up."""
    low = np.floor(whole.to_index(shape.mean.min(axis=0) - _MARGIN)).astype(int)
    high = np.ceil(whole.to_index(shape.mean.max(axis=0) + _MARGIN)).astype(int) + 1
    low, high = np.maximum(low, 0), np.minimum(high, whole.shape)
    # Even, so that the voxels can be taken two by two.
    high -= (high - low) % 2
    z, y, x = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return z, y, x


def _grid_of(whole: VolumeGrid, part: tuple[slice, slice, slice]) -> VolumeGrid:
    first, stop = (np.array([getattr(s, end) for s in part]) for end in ("start", "stop"))
    x, y, z = whole.to_ras((first + stop - 1) / 2)
    size = stop - first
    return VolumeGrid((int(size[0]), int(size[1]), int(size[2])), whole.spacing, (x, y, z))


def _learnt(
    shape: ShapeModel, grid: VolumeGrid, volumes: list[np.ndarray], modes: int
) -> IntensityModel:
    stack = np.stack(volumes)
    mean = stack.mean(axis=0)
    kept, shares = principal_modes((stack - mean) / np.sqrt(len(stack) - 1), modes)
    # More of a mode is more bone.
    kept *= np.where(kept.sum(axis=(1, 2, 3)) < 0, -1.0, 1.0)[:, None, None, None]
    return IntensityModel(shape, grid, mean, kept.astype(np.float32), shares)
