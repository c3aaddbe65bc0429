"""Where the volume ends the leg goes on: a long cylinder, of which the volume holds the middle."""

from __future__ import annotations

import numpy as np
import torch

from XRayTo3DLib.imaging.geometry import view_geometry
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.projector import project
from XRayTo3DLib.imaging.radiograph import Side, View
from XRayTo3DLib.tomography.consistency import MeasuredView, made_consistent
from XRayTo3DLib.tomography.leg_ends import continued, cut_off

WATER, RADIUS = 0.02, 60.0
GRID = VolumeGrid((40, 48, 48), 4.0)
LONG = VolumeGrid((80, 48, 48), 4.0)
AP = view_geometry(View.AP, Side.RIGHT, sid=1000, sod=880, spacing=(4.0, 4.0), shape=(60, 60))


def cylinder(grid: VolumeGrid) -> torch.Tensor:
    x, y, _ = grid.axes()
    inside = np.hypot(y[:, None], x) < RADIUS
    return torch.from_numpy(np.broadcast_to(WATER * inside, grid.shape).astype(np.float32).copy())


def test_what_was_continued_is_cut_off_again() -> None:
    volume = torch.rand(GRID.shape, generator=torch.Generator().manual_seed(1))
    longer, grid = continued(volume, GRID)
    assert grid.shape == tuple(longer.shape) and len(longer) > len(volume)
    torch.testing.assert_close(longer[0], volume[0])
    torch.testing.assert_close(longer[-1], volume[-1])
    torch.testing.assert_close(cut_off(longer, GRID), volume)
    # Each voxel stays where it was.
    inner = grid.axes()[2][(len(longer) - len(volume)) // 2 :][: len(volume)]
    np.testing.assert_allclose(inner, GRID.axes()[2])


def test_its_ends_are_as_dense_as_its_middle() -> None:
    with torch.no_grad():
        film = project(cylinder(LONG), LONG, AP)
    measured = [MeasuredView(AP, film, torch.ones(film.shape, dtype=torch.bool))]
    guess, core = 0.9 * cylinder(GRID), cylinder(GRID)[0] > 0

    def ends_over_middle(made: torch.Tensor) -> float:
        middle = made[15:25][:, core].mean()
        return float(max(made[0][core].max(), made[-1][core].max()) / middle)

    longer, grid = continued(guess, GRID)
    made = cut_off(made_consistent(longer, longer.square(), grid, measured), GRID)
    assert ends_over_middle(made) < 1.05
    # Without it the ends make up for what lies beyond them.
    assert ends_over_middle(made_consistent(guess, guess.square(), GRID, measured)) > 1.2
