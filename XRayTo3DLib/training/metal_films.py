"""Films of knees with metal, and with what must not be taken for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from XRayTo3DLib.imaging.collimation import exposed_field
from XRayTo3DLib.imaging.drr import AIR_MM
from XRayTo3DLib.imaging.film import simulate_film
from XRayTo3DLib.imaging.film_settings import FilmSettings
from XRayTo3DLib.imaging.materials import Material
from XRayTo3DLib.reconstruction.implant_network import as_seen
from XRayTo3DLib.training.cases import FILM_SPACING
from XRayTo3DLib.training.metal_lookalikes import cast, dense_bone, letters, metal_beside
from XRayTo3DLib.training.metal_materials import Metal, cortex_for
from XRayTo3DLib.training.metal_shapes import implant
from XRayTo3DLib.training.metal_solids import Sheet

_METALS = {Metal.STEEL: 0.45, Metal.COBALT_CHROME: 0.1, Metal.TITANIUM: 0.45}

_SEEN, _UNSEEN = 5.0, 1.5
"""mm of cortical bone as which metal counts for certain, and up to which it does not count; what is
in between nobody could tell."""


@dataclass(frozen=True)
class MetalSample:
    """What a step of training sees of a film, or of a batch of them.

    Attributes:
        film: ``(2, rows, columns)`` as the network sees it.
        metal: ``(1, rows, columns)``, 0–1: how much of each pixel is metal.
        counts: the same shape, 0–1: by how much each pixel counts.
        kind: what was put on the bones; empty for nothing.
    """

    film: Tensor
    metal: Tensor
    counts: Tensor
    kind: str = ""


def metal_sample(
    paths: np.ndarray,
    bones: np.ndarray,
    lateral: bool,
    seed: list[int],
    strength: float,
    share: float = 0.5,
    moved: bool = True,
) -> MetalSample:
    """A film of a knee, with metal or without.

    Args:
        paths: ``(4, rows, columns)`` mm of each material.
        bones: ``(4, rows, columns)`` silhouettes in label order.
        lateral: whether it is a lateral view.
        seed: of all that is random.
        strength: of the film's randomisation, 0–1.
        share: of the films that show an implant.
        moved: whether the film is turned, scaled and shifted at random.
    """
    rng = np.random.default_rng(seed)
    sheet = Sheet.of((paths.shape[1], paths.shape[2]), FILM_SPACING)
    settings = FilmSettings.random(rng, strength)
    if rng.random() < 0.6:
        paths = _crisp(paths, rng)
    body = paths.sum(axis=0) > AIR_MM
    metal, kind = _metal(sheet, bones, body, lateral, settings, share, rng)
    added = _others(sheet, bones, body, settings, rng)
    added[Material.CORTEX] += metal
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    film = simulate_film(torch.from_numpy(paths + added).float(), FILM_SPACING, settings, generator)
    if rng.random() < 0.1:  # text on the picture
        mask = torch.from_numpy(letters(sheet, rng)).float()
        film = torch.lerp(film, film.new_tensor(float(rng.choice([0.0, 1.0, 1.0]))), mask)
    stack = torch.stack([film, *_truth(torch.from_numpy(metal), film, settings)])
    stack = _moved(stack, rng) if moved else stack
    return MetalSample(as_seen(stack[0]), stack[1:2], stack[2:3], kind)


def _metal(
    sheet: Sheet,
    bones: np.ndarray,
    body: np.ndarray,
    lateral: bool,
    settings: FilmSettings,
    share: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, str]:
    """mm of cortical bone that stand for metal, and what is on the bones."""
    metal, kinds = np.zeros(body.shape, dtype=np.float32), []
    if rng.random() < share:
        for _ in range(int(rng.choice([1, 2], p=[0.85, 0.15]))):
            drawn = implant(sheet, bones, lateral, rng)
            if drawn is not None:
                alloy = list(_METALS)[rng.choice(len(_METALS), p=list(_METALS.values()))]
                kinds.append(drawn[0])
                metal += cortex_for(drawn[1], alloy, settings)
    if rng.random() < 0.1:
        metal += cortex_for(metal_beside(sheet, body, rng), Metal.STEEL, settings)
    return metal, " + ".join(kinds)


def _others(
    sheet: Sheet,
    bones: np.ndarray,
    body: np.ndarray,
    settings: FilmSettings,
    rng: np.random.Generator,
) -> np.ndarray:
    """mm of each material of what is no metal, or of lead letters."""
    added = np.zeros((len(Material), *body.shape), dtype=np.float32)
    if rng.random() < 0.12:
        added += cast(sheet, body, settings, rng)
    if rng.random() < 0.12:
        added[Material.CORTEX] += dense_bone(sheet, bones, rng)
    if rng.random() < 0.25:
        lead = cortex_for(rng.uniform(0.4, 3.0) * np.ones(1), Metal.COBALT_CHROME, settings)
        added[Material.CORTEX] += float(lead[0]) * letters(sheet, rng)
    return added


def _truth(metal: Tensor, film: Tensor, settings: FilmSettings) -> tuple[Tensor, Tensor]:
    """How much of each pixel is metal, and by how much it counts."""
    exposed = exposed_field(film, settings.collimation)
    shown = torch.ones_like(film) if exposed is None else (exposed > 0.9).float()
    marked = ((metal - _UNSEEN) / (_SEEN - _UNSEEN)).clamp(0.0, 1.0)
    sure = ((metal <= _UNSEEN) | (metal >= _SEEN)).float() * (0.15 + 0.85 * shown)
    counts = sure * torch.where(shown > 0, 1.0, (metal <= _UNSEEN).float())
    return marked * shown, counts


def _crisp(paths: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same leg with sharper bones: voxels blur what a film shows as fine bright lines."""
    width, strength = rng.uniform(0.8, 2.5) / FILM_SPACING, rng.uniform(0.3, 3.0)
    crisp = paths.copy()
    for material in (Material.CORTEX, Material.SPONGIOSA):
        lines = paths[material] - ndimage.gaussian_filter(paths[material], width)
        crisp[material] = np.maximum(paths[material] + strength * lines, 0.0)
    return crisp


def _moved(stack: Tensor, rng: np.random.Generator) -> Tensor:
    """Film, metal and weights mirrored and, mostly, turned, scaled and shifted together."""
    if rng.random() < 0.5:
        stack = stack.flip(-1)
    if rng.random() < 0.15:
        stack = stack.flip(-2)
    if rng.random() < 0.4:
        return stack
    turn, scale = np.radians(rng.normal(0.0, 8.0)), np.exp(rng.uniform(-0.25, 0.3))
    cosine, sine = np.cos(turn) * scale, np.sin(turn) * scale
    shift = rng.uniform(-0.15, 0.15, 2)
    matrix = torch.tensor([[[cosine, -sine, shift[0]], [sine, cosine, shift[1]]]]).float()
    grid = F.affine_grid(matrix, [1, *stack.shape], align_corners=False)
    # Beside the film it is dark, there is no metal, and that is to be known.
    offset = stack.new_tensor([float(stack[0].min()), 0.0, 1.0])[:, None, None]
    return F.grid_sample((stack - offset)[None], grid, align_corners=False)[0] + offset
