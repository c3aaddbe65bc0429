"""A hand and a chest, drawn: mm of bone and flesh along rays, of anatomy in rough outline."""

from __future__ import annotations

import numpy as np
import torch

from XRayTo3DLib.imaging.film import simulate_film
from XRayTo3DLib.imaging.film_settings import FilmSettings
from XRayTo3DLib.imaging.materials import Material

STEP = 0.8
"""mm between pixels."""

_FINGERS = (
    (-32.0, -14.0, 0.75),
    (-16.0, -6.0, 0.9),
    (0.0, 0.0, 1.0),
    (15.0, 5.0, 0.93),
    (29.0, 12.0, 0.75),
)
"""Right of the middle finger's root, mm; lean, degrees; length beside the middle finger's."""

_BONES = ((-60.0, 58.0, 4.2), (4.0, 42.0, 4.0), (50.0, 26.0, 3.4), (80.0, 18.0, 2.8))
"""Of a finger: start above the root and length, mm; radius in the middle of the shaft, mm."""


def _capsule(
    down: np.ndarray,
    right: np.ndarray,
    start: np.ndarray,
    end: np.ndarray,
    radius: float,
    ends: float,
) -> np.ndarray:
    """mm through a round bone from start to end (down, right), thicker by ``ends`` at both."""
    run = end - start
    share = ((down - start[0]) * run[0] + (right - start[1]) * run[1]) / (run @ run)
    inside = np.clip(share, 0.0, 1.0)
    away = np.hypot(down - start[0] - inside * run[0], right - start[1] - inside * run[1])
    wide = radius * (1.0 + ends * (2.0 * inside - 1.0) ** 4)
    return 2.0 * np.sqrt(np.maximum(wide**2 - away**2, 0.0))


def _shelled(outer: np.ndarray, wall: float, paths: np.ndarray) -> None:
    """Add a bone with a wall of cortex, given mm through all of it."""
    inner = np.maximum(outer - 2.0 * wall, 0.0) * 0.9
    paths[Material.CORTEX] += outer - inner
    paths[Material.SPONGIOSA] += inner


def hand(size: int = 320) -> np.ndarray:
    """``(4, size, size)`` mm of each material: five rays of bones, carpals, two forearm bones."""
    down, right = np.mgrid[:size, :size] * STEP
    down, right = down - 150.0, right - size * STEP / 2
    paths = np.zeros((len(Material), size, size))
    flesh = np.zeros((size, size))
    for place, lean, length in _FINGERS:
        along = np.array([-np.cos(np.radians(lean)), np.sin(np.radians(lean))])
        root = np.array([20.0, place])
        for begin, long, radius in _BONES:
            start = root + along * begin * length
            _shelled(
                _capsule(down, right, start, start + along * long * length * 0.92, radius, 0.7),
                1.4,
                paths,
            )
        tip = root + along * 104.0 * length
        flesh = np.maximum(flesh, _capsule(down, right, root, tip, 9.0, 0.0))
    for number in range(8):
        middle = np.array([78.0 + 13.0 * (number // 4), -20.0 + 13.5 * (number % 4)])
        _shelled(_capsule(down, right, middle, middle + 4.0, 6.5, 0.0), 1.0, paths)
    for place in (-13.0, 14.0):
        start, end = np.array([106.0, place]), np.array([190.0, place * 0.9])
        _shelled(_capsule(down, right, start, end, 7.0, 0.6), 2.0, paths)
    palm = np.hypot((down - 50.0) / 62.0, right / 42.0)
    flesh = np.maximum(flesh, 28.0 * np.sqrt(np.maximum(1.0 - palm**2, 0.0)))
    arm = np.where(down > 90.0, 2.0 * np.sqrt(np.maximum(28.0**2 - right**2, 0.0)), 0.0)
    bone = paths[Material.CORTEX] + paths[Material.SPONGIOSA]
    paths[Material.MUSCLE] = np.maximum(np.maximum(flesh, arm) - bone, 0.0)
    return paths.astype(np.float32)


def chest(size: int = 420) -> np.ndarray:
    """``(4, size, size)`` mm of each material: ribs, spine, clavicles, heart, lungs of air."""
    down, right = np.mgrid[:size, :size] * STEP
    down, right = down - size * STEP / 2, right - size * STEP / 2
    paths = np.zeros((len(Material), size, size))
    trunk = np.hypot(right / 150.0, np.maximum(-down - 100.0, 0.0) / 60.0)
    flesh = 200.0 * np.sqrt(np.maximum(1.0 - trunk**2, 0.0))
    for side in (-1.0, 1.0):
        lung = np.hypot((right - side * 70.0) / 52.0, (down + 10.0) / 115.0)
        flesh -= 130.0 * np.sqrt(np.maximum(1.0 - lung**2, 0.0))
        for number in range(9):
            middle = -115.0 + 24.0 * number
            for tilt, radius in ((0.35, 4.0), (-0.55, 3.5)):  # behind and before
                angle = np.linspace(0.0, np.pi, 12)
                points = np.column_stack(
                    [
                        middle + tilt * 60.0 * np.sin(angle / 2) ** 2,
                        side * (20.0 + 105.0 * np.sin(angle / 2)),
                    ]
                )
                rib = np.zeros((size, size))
                for start, end in zip(points[:-1], points[1:], strict=True):
                    rib = np.maximum(rib, _capsule(down, right, start, end, radius, 0.0))
                _shelled(rib, 0.9, paths)
        _shelled(
            _capsule(
                down,
                right,
                np.array([-135.0, side * 8.0]),
                np.array([-150.0, side * 120.0]),
                5.5,
                0.4,
            ),
            1.5,
            paths,
        )
    for number in range(13):
        middle = -150.0 + 24.0 * number
        inside = (np.abs(down - middle) < 10.5) & (np.abs(right) < 16.0)
        _shelled(30.0 * inside, 1.2, paths)
    heart = np.hypot((right - 22.0) / 55.0, (down - 50.0) / 60.0)
    flesh = np.maximum(flesh, 0.0) + 60.0 * np.sqrt(np.maximum(1.0 - heart**2, 0.0))
    paths[Material.MUSCLE] = flesh
    return paths.astype(np.float32)


def filmed(paths: np.ndarray, seed: int) -> np.ndarray:
    """``(rows, columns)`` 0-1, bone bright: a film as a knee's is made at random."""
    settings = FilmSettings.random(np.random.default_rng(seed), 0.7)
    generator = torch.Generator().manual_seed(seed)
    return simulate_film(torch.from_numpy(paths), STEP, settings, generator).numpy()
