"""What lies about a knee on a film and must not be taken for an implant.

Metal beside the leg is metal that does not count; casts, dense bone and letters are none.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path as Outline
from matplotlib.textpath import TextPath
from scipy import ndimage

from XRayTo3DLib.imaging.film_settings import FilmSettings
from XRayTo3DLib.imaging.materials import Material
from XRayTo3DLib.training.metal_solids import Sheet

_PLASTER_MASS = {"plaster": (1.24, -0.23), "fibreglass": (0.41, 0.55)}
"""g/g of cortical bone and of muscle that attenuate as gypsum, and as glass in polyurethane, do."""

_TEXTS = ("R", "L", "RT", "LT", "DX", "SX", "D", "S", "AP", "LAT", "WB", "12", "7", "KNEE", "R JW")


def metal_beside(sheet: Sheet, body: np.ndarray, rng: np.random.Generator) -> np.ndarray:
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


def cast(
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


def dense_bone(sheet: Sheet, bones: np.ndarray, rng: np.random.Generator) -> np.ndarray:
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


def letters(sheet: Sheet, rng: np.random.Generator) -> np.ndarray:
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
