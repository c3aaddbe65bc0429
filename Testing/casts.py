"""Plaster and fibreglass about a simulated leg, by the library's own physics.

A cast is a shell about the skin. Its attenuation is that of a mixture of cortical bone and muscle
(basis materials: Alvarez and Macovski, Phys. Med. Biol. 21, 1976): without an absorption edge
between 15 and 150 keV, two materials make up any third. The shares are least squares of the mass
attenuation coefficients of NIST Standard Reference Database 126, from 20 to 150 keV, and are within
0.3 % there.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
import torch
from scipy import ndimage

from XRayTo3DLib.anatomy.tissue import Tissues, smooth_noise
from XRayTo3DLib.imaging.film_settings import FilmSettings
from XRayTo3DLib.imaging.geometry import ViewGeometry
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.materials import Material
from XRayTo3DLib.imaging.projector import project

_ROOM = 36.0
"""mm about the leg's own voxels in which a cast finds room."""


class Plaster(Enum):
    """What a cast is made of: its mass in cortical bone and in muscle, g/g."""

    PLASTER = (1.2398, -0.2315)
    """Gypsum, CaSO4 · 2 H2O."""
    FIBREGLASS = (0.4067, 0.5543)
    """E-glass (SiO2 54 %, CaO 17.5 %, Al2O3 14 %, B2O3 8 %, MgO 4.5 %) in as much polyurethane."""


@dataclass(frozen=True)
class Cast:
    """A cast about the whole leg.

    Attributes:
        material: what it is made of.
        thickness: mm.
        gap: mm of padding between skin and cast.
        density: g/cm³.
    """

    material: Plaster
    thickness: float
    gap: float
    density: float

    @classmethod
    def random(cls, material: Plaster, rng: np.random.Generator) -> Cast:
        """An ordinary one: plaster is thick, fibreglass thin and light."""
        if material is Plaster.PLASTER:
            thickness, density = rng.uniform(4.0, 10.0), rng.uniform(0.8, 1.3)
        else:
            thickness, density = rng.uniform(3.0, 6.0), rng.uniform(0.8, 1.2)
        return cls(material, float(thickness), float(rng.uniform(5.0, 20.0)), float(density))

    def mm_along(
        self, tissues: Tissues, view: ViewGeometry, rng: np.random.Generator
    ) -> torch.Tensor:
        """mm of cast along every ray of a view, ``(rows, columns)``.

        Args:
            tissues: of the leg in it.
            view: source and detector.
            rng: of its unevenness; the same state for both views gives the same cast.
        """
        coarse = tissues.soft_grid
        pad = int(np.ceil(_ROOM / coarse.spacing))
        leg = np.pad(tissues.soft.sum(dim=0).numpy(), ((0, 0), (pad, pad), (pad, pad)))
        shape = (leg.shape[0], leg.shape[1], leg.shape[2])
        grid = VolumeGrid(shape, coarse.spacing, coarse.centre)
        body = np.stack([ndimage.binary_fill_holes(layer > 0.5) for layer in leg])
        away = ndimage.distance_transform_edt(~body, sampling=grid.spacing)
        # Bandage bridges hollows of the skin.
        away = ndimage.gaussian_filter(away, 5.0 / grid.spacing)
        inner = self.gap * (1.0 + 0.25 * smooth_noise(rng, grid, 50.0))
        outer = inner + self.thickness * np.clip(1.0 + 0.2 * smooth_noise(rng, grid, 25.0), 0.4, 2)
        share = _beyond(away, inner, grid) - _beyond(away, outer, grid)
        return project(torch.from_numpy(share.astype(np.float32))[None], grid, view)[0]


def _beyond(away: np.ndarray, from_skin: np.ndarray, grid: VolumeGrid) -> np.ndarray:
    return np.clip(0.5 + (away - from_skin) / grid.spacing, 0.0, 1.0)


def with_cast(
    paths: torch.Tensor, cast: Cast, along: torch.Tensor, settings: FilmSettings
) -> torch.Tensor:
    """Path images of a leg in a cast.

    Args:
        paths: ``(4, rows, columns)`` of the leg, mm, in the order of the materials.
        cast: about it.
        along: mm of it along each ray, ``(rows, columns)``.
        settings: of the film; what it does to the patient's bone and muscle it does not to a cast.

    Returns:
        as ``paths``.
    """
    bone, muscle = (
        share * cast.density / material.density / scale
        for share, material, scale in (
            (cast.material.value[0], Material.CORTEX, settings.cortex_density),
            (cast.material.value[1], Material.MUSCLE, settings.muscle_scale),
        )
    )
    added = torch.zeros_like(paths)
    added[Material.CORTEX], added[Material.MUSCLE] = bone * along, muscle * along
    return paths + added
