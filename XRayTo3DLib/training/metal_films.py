"""Films of knees with metal, and with what must not be taken for it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path as Outline
from matplotlib.textpath import TextPath
from scipy import ndimage
from torch import Tensor

from XRayTo3DLib.imaging.collimation import exposed_field
from XRayTo3DLib.imaging.drr import AIR_MM
from XRayTo3DLib.imaging.film import simulate_film
from XRayTo3DLib.imaging.film_settings import FilmSettings
from XRayTo3DLib.imaging.materials import Material
from XRayTo3DLib.reconstruction.implant_network import as_seen
from XRayTo3DLib.training.cases import FILM_SPACING
from XRayTo3DLib.training.metal_materials import Metal, cortex_for
from XRayTo3DLib.training.metal_shapes import implant
from XRayTo3DLib.training.metal_solids import Sheet

_METALS = {Metal.STEEL: 0.45, Metal.COBALT_CHROME: 0.1, Metal.TITANIUM: 0.45}

_SEEN, _UNSEEN = 5.0, 1.5
"""mm of cortical bone as which metal counts for certain, and up to which it does not count; what is
in between nobody could tell."""

_PLASTER_MASS = {"plaster": (1.24, -0.23), "fibreglass": (0.41, 0.55)}
"""g/g of cortical bone and of muscle that attenuate as gypsum, and as glass in polyurethane, do."""

_TEXTS = ("R", "L", "RT", "LT", "DX", "SX", "D", "S", "AP", "LAT", "WB", "12", "7", "KNEE", "R JW")


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
    shape = (paths.shape[1], paths.shape[2])
    sheet = Sheet.of(shape, FILM_SPACING)
    settings = FilmSettings.random(rng, strength)
    if rng.random() < 0.6:
        paths = _crisp(paths, rng)
    bone = np.zeros(shape, dtype=np.float32)  # that stands for metal
    kinds = []
    if rng.random() < share:
        for _ in range(int(rng.choice([1, 2], p=[0.85, 0.15]))):
            drawn = implant(sheet, bones, lateral, rng)
            if drawn is not None:
                metal = list(_METALS)[rng.choice(len(_METALS), p=list(_METALS.values()))]
                kinds.append(drawn[0])
                bone += cortex_for(drawn[1], metal, settings)
    if rng.random() < 0.1:
        bone += cortex_for(_beside(sheet, paths.sum(axis=0) > AIR_MM, rng), Metal.STEEL, settings)
    added = np.zeros_like(paths)
    added[Material.CORTEX] = bone
    if rng.random() < 0.12:
        added += _cast(sheet, paths.sum(axis=0) > AIR_MM, settings, rng)
    if rng.random() < 0.12:
        added[Material.CORTEX] += _dense_bone(sheet, bones, rng)
    if rng.random() < 0.25:
        lead = cortex_for(rng.uniform(0.4, 3.0) * np.ones(1), Metal.COBALT_CHROME, settings)
        added[Material.CORTEX] += float(lead[0]) * _letters(sheet, rng)
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    film = simulate_film(torch.from_numpy(paths + added).float(), FILM_SPACING, settings, generator)
    if rng.random() < 0.1:  # text on the picture
        mask = torch.from_numpy(_letters(sheet, rng)).float()
        film = torch.lerp(film, film.new_tensor(float(rng.choice([0.0, 1.0, 1.0]))), mask)
    exposed = exposed_field(film, settings.collimation)
    shown = torch.ones_like(film) if exposed is None else (exposed > 0.9).float()
    marks = torch.from_numpy(bone)
    metal = ((marks - _UNSEEN) / (_SEEN - _UNSEEN)).clamp(0.0, 1.0)
    sure = ((marks <= _UNSEEN) | (marks >= _SEEN)).float() * (0.15 + 0.85 * shown)
    counts = sure * torch.where(shown > 0, 1.0, (marks <= _UNSEEN).float())
    stack = torch.stack([film, metal * shown, counts])
    stack = _moved(stack, rng) if moved else stack
    return MetalSample(as_seen(stack[0]), stack[1:2], stack[2:3], " + ".join(kinds))


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


def _beside(sheet: Sheet, body: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """mm of a ball for calibration, of buttons or of a zip, where the leg is not."""
    places = np.argwhere(~ndimage.binary_dilation(body, iterations=4))
    if not len(places):
        return np.zeros_like(sheet.along)
    row, column = places[rng.integers(len(places))]
    at = (float(sheet.along[row, column]), float(sheet.across[row, column]))
    lying = sheet.at(at, rng.uniform(0.0, np.pi))
    kind = rng.choice(["ball", "button", "zip"])
    if kind == "ball":
        radius = rng.uniform(5.0, 15.0)
        away = np.hypot(lying.along, lying.across)
        return 2 * np.sqrt(np.maximum(radius**2 - away**2, 0.0))
    if kind == "button":
        size = rng.uniform(8.0, 20.0)
        ring = lying.ellipse(size, size) - lying.ellipse(0.5 * size, 0.5 * size) * (
            rng.random() < 0.5
        )
        return ring * rng.uniform(0.8, 3.0)
    teeth = np.mod(lying.along, 2.8) < 1.6
    return lying.box(rng.uniform(30, 100), rng.uniform(3, 6)) * teeth * rng.uniform(0.8, 2.0)


def _cast(
    sheet: Sheet, body: np.ndarray, settings: FilmSettings, rng: np.random.Generator
) -> np.ndarray:
    """mm of bone and muscle that stand for a cast: in each row, a ring about a round leg."""
    added = np.zeros((len(Material), *body.shape), dtype=np.float32)
    rows = np.flatnonzero(body.any(axis=1))
    if not len(rows):
        return added
    left = np.interp(np.arange(len(body)), rows, [sheet.across[0, body[r]].min() for r in rows])
    right = np.interp(np.arange(len(body)), rows, [sheet.across[0, body[r]].max() for r in rows])
    width = 25.0 / sheet.step
    left, right = ndimage.gaussian_filter1d(left, width), ndimage.gaussian_filter1d(right, width)
    kind = str(rng.choice(list(_PLASTER_MASS)))
    inner = (right - left) / 2 + rng.uniform(4.0, 20.0)
    wall = rng.uniform(3.0, 6.0) if kind == "fibreglass" else rng.uniform(4.0, 10.0)
    away = sheet.across - ((left + right) / 2)[:, None]
    wall_there = wall * (1.0 + 0.2 * _rough(body.shape, 25.0 / sheet.step, rng))
    outer_chord, inner_chord = (
        2 * np.sqrt(np.maximum(radius**2 - away**2, 0.0))
        for radius in (inner[:, None] + np.maximum(wall_there, 1.0), inner[:, None])
    )
    density = rng.uniform(0.8, 1.3)
    for material, mass in zip((Material.CORTEX, Material.MUSCLE), _PLASTER_MASS[kind], strict=True):
        added[material] = (outer_chord - inner_chord) * mass * density / material.density
    added[Material.MUSCLE] /= max(settings.muscle_scale, 0.1)
    return added


def _rough(shape: tuple[int, ...], width: float, rng: np.random.Generator) -> np.ndarray:
    field = ndimage.gaussian_filter(rng.normal(size=shape), width)
    return field / max(float(field.std()), 1e-6)


def _dense_bone(sheet: Sheet, bones: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """mm of cortical bone of islands and sclerosis, soft about their edges, on the bones."""
    places = np.argwhere(bones.max(axis=0) > 0.5)
    dense = np.zeros_like(sheet.along)
    for _ in range(rng.integers(1, 5) if len(places) else 0):
        row, column = places[rng.integers(len(places))]
        at = (float(sheet.along[row, column]), float(sheet.across[row, column]))
        lying = sheet.at(at, rng.uniform(0.0, np.pi))
        long, wide = rng.uniform(3.0, 25.0), rng.uniform(2.0, 8.0)
        radius = np.hypot(lying.along / long, lying.across / wide)
        dense += rng.uniform(3.0, 25.0) * np.exp(-0.5 * radius ** rng.uniform(2.0, 6.0))
    return dense


def _letters(sheet: Sheet, rng: np.random.Generator) -> np.ndarray:
    """Share of each pixel under letters, anywhere on the film."""
    bitmap = torch.from_numpy(_text(str(rng.choice(_TEXTS)), bool(rng.random() < 0.5)))
    height = rng.uniform(5.0, 22.0)
    half_down, half_right = -float(sheet.along[0, 0]), -float(sheet.across[0, 0])
    at = (rng.uniform(-half_down, half_down), rng.uniform(-half_right, half_right))
    lying = sheet.at(at, rng.normal(0.0, 0.5) if rng.random() < 0.5 else 0.0)
    mirror = -1.0 if rng.random() < 0.2 else 1.0
    width = height * bitmap.shape[1] / bitmap.shape[0]
    places = np.stack([mirror * lying.across / (width / 2), lying.along / (height / 2)], axis=-1)
    grid = torch.from_numpy(places).float()[None]
    return F.grid_sample(bitmap[None, None], grid, align_corners=False)[0, 0].numpy()


@lru_cache(maxsize=64)
def _text(text: str, bold: bool) -> np.ndarray:
    """Letters, 40 pixels high, with room about them."""
    path = TextPath((0, 0), text, size=40, prop=FontProperties(weight="bold" if bold else "normal"))
    (left, bottom), (right, top) = path.get_extents().get_points()
    row, column = np.mgrid[top + 4 : bottom - 4 : -1, left - 4 : right + 4]
    # Even-odd over the outlines, as the holes of letters are outlines of their own.
    inside = np.zeros(row.size, dtype=int)
    for polygon in path.to_polygons():
        inside += Outline(polygon).contains_points(np.column_stack([column.ravel(), row.ravel()]))
    return (inside % 2).reshape(row.shape).astype(np.float32)
