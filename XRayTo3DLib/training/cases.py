"""A training case: the truth on the network's grid and what X-rays make of it.

A case stores the lengths of each material along the rays of both views, not films: with them a
polychromatic film is a matter of milliseconds, so that every step of training can see the same
knee on another film.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.knee import Knee
from XRayTo3DLib.anatomy.tissue import (
    Tissues,
    TissueVariation,
    bone_silhouettes,
    extended,
    make_tissues,
    material_paths,
)
from XRayTo3DLib.errors import InputFileError
from XRayTo3DLib.imaging.geometry import BiplanarGeometry, view_geometry
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.projector import projection_matrices
from XRayTo3DLib.imaging.radiograph import Side, View

FILM_SIZE = 256
FILM_SPACING = 0.68
"""Pixels a side, and mm between them at the isocentre, of the films that the networks see."""

NETWORK_GRID = VolumeGrid.cube(128, 153.6)
"""Where cases hold their truth (1.2 mm); networks may work on coarser grids of the same cube."""

_DEPTH_STEP = 0.05
"""mm per unit of the stored depth: ±6.35 mm in 8 bits."""


@dataclass(frozen=True)
class Case:
    """One knee seen in two views.

    Attributes:
        nearest: ``(z, y, x)`` uint8, label of the bone whose surface is nearest (1–4).
        depth: ``(z, y, x)`` float32, mm below that surface, positive inside, clipped.
        paths: ``(2, 4, rows, columns)`` float32, mm of each material, frontal and lateral.
        matrices: ``(2, 3, 4)`` float32, the projections; a header may state others
            (:mod:`XRayTo3DLib.training.misstatement`).
        silhouettes: ``(2, 4, rows / 2, columns / 2)`` float32, 0 to 1, of each bone on the films.
    """

    nearest: np.ndarray
    depth: np.ndarray
    paths: np.ndarray
    matrices: np.ndarray
    silhouettes: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        """``(z, y, x)`` uint8: 0 outside, else the bone."""
        return np.where(self.depth > 0, self.nearest, 0).astype(np.uint8)

    def save(self, path: Path) -> None:
        """Write to ``path`` (.npz, compressed, about 0.7 MB)."""
        limit = 127 * _DEPTH_STEP
        depth = np.round(np.clip(self.depth, -limit, limit) / _DEPTH_STEP).astype(np.int8)
        np.savez_compressed(
            path,
            nearest=self.nearest,
            depth=depth,
            paths=self.paths.astype(np.float16),
            matrices=self.matrices,
            silhouettes=np.round(self.silhouettes * 255).astype(np.uint8),
        )

    @classmethod
    def load(cls, path: Path) -> Case:
        """Read what :meth:`save` wrote.

        Raises:
            InputFileError: the file is not a case.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                return cls(
                    nearest=file["nearest"],
                    depth=file["depth"].astype(np.float32) * _DEPTH_STEP,
                    paths=file["paths"].astype(np.float32),
                    matrices=file["matrices"],
                    silhouettes=file["silhouettes"].astype(np.float32) / 255,
                )
        except (OSError, KeyError, ValueError, EOFError, BadZipFile) as error:
            raise InputFileError(path, "is not a training case; generate it again.") from error


@dataclass(frozen=True)
class GeometryVariation:
    """How the stand of the X-ray machine varies from case to case.

    Attributes:
        sid: mm, range of the source–image distance.
        object_to_image: mm, range of the distance from the isocentre to the detector.
        angle: degrees, deviation of the lateral from 90° (standard deviation).
    """

    sid: tuple[float, float] = (900.0, 1500.0)
    object_to_image: tuple[float, float] = (50.0, 220.0)
    angle: float = 3.0


def random_geometry(rng: np.random.Generator, vary: GeometryVariation) -> BiplanarGeometry:
    """Where sources and detectors stand for two views of a right knee."""
    views = []
    for view in (View.AP, View.LATERAL):
        sid = rng.uniform(*vary.sid)
        sod = sid - rng.uniform(*vary.object_to_image)
        spacing = FILM_SPACING * sid / sod
        stand = view_geometry(
            view,
            Side.RIGHT,
            sid=sid,
            sod=sod,
            spacing=(spacing, spacing),
            shape=(FILM_SIZE, FILM_SIZE),
            angle=rng.normal() * vary.angle * float(view is View.LATERAL),
        )
        views.append(stand)
    return BiplanarGeometry(*views)


def case_from_tissues(tissues: Tissues, geometry: BiplanarGeometry) -> Case:
    """Project tissues and keep the part of their truth that the networks' grid covers."""
    margins = np.subtract(tissues.bone_grid.shape, NETWORK_GRID.shape) // 2
    inner = tuple(slice(m, m + n) for m, n in zip(margins, NETWORK_GRID.shape, strict=True))
    depth = tissues.depth[(slice(None), *inner)]
    nearest = depth.argmax(axis=0)
    with torch.no_grad():
        paths = torch.stack([material_paths(tissues, view) for view in geometry.views])
        silhouettes = torch.stack([bone_silhouettes(tissues, v.binned(2)) for v in geometry.views])
    return Case(
        nearest=(nearest + 1).astype(np.uint8),
        depth=np.take_along_axis(depth, nearest[None], axis=0)[0],
        paths=paths.numpy(),
        matrices=projection_matrices(geometry.views),
        silhouettes=silhouettes.numpy(),
    )


def make_case(
    knee: Knee,
    seed: int,
    geometry: GeometryVariation | None = None,
    tissue: TissueVariation | None = None,
) -> Case:
    """A right knee, wrapped and projected at random; the same seed gives the same case."""
    if set(knee.surfaces) != set(Bone):
        raise ValueError(f"{knee.name} lacks a bone")
    rng = np.random.default_rng([seed, 11])
    tissues = make_tissues(knee, extended(NETWORK_GRID), rng, tissue)
    return case_from_tissues(tissues, random_geometry(rng, geometry or GeometryVariation()))
