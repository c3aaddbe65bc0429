"""The projector beside closed formulas, RTK (voxels) and gVirtualXRay (surfaces)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import torch
import vtk
from scipy.ndimage import gaussian_filter
from vtk.util.numpy_support import vtk_to_numpy

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.surface import Surface, read_surface
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.evaluation.gvxr_paths import path_lengths
from XRayTo3DLib.evaluation.rtk_projection import rtk_projection
from XRayTo3DLib.imaging.geometry import ViewGeometry, view_geometry
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.projector import project
from XRayTo3DLib.imaging.radiograph import Side, View

AP, PA, LATERAL = View.AP, View.PA, View.LATERAL
VIEWS = [
    pytest.param(AP, 0.0, id="AP"),
    pytest.param(PA, -12.0, id="PA-turned"),
    pytest.param(LATERAL, 0.0, id="lateral"),
    pytest.param(LATERAL, 33.0, id="oblique"),
    pytest.param(AP, 45.0, id="diagonal"),
]


def cone(view: View, angle: float = 0.0, tilt: float = 0.0, **changes) -> ViewGeometry:
    """A short, wide cone, off centre, with pixels that are not square; tilted about x (degrees)."""
    settings = dict(sid=800.0, sod=620.0, spacing=(1.1, 1.3), shape=(120, 100), centre=(52.0, 57.0))
    geometry = view_geometry(view, Side.RIGHT, angle=angle, **(settings | changes))
    c, s = np.cos(np.radians(tilt)), np.sin(np.radians(tilt))
    return geometry.moved(np.array([[1, 0, 0], [0, c, -s], [0, s, c]]), (1.0, -2.0, 3.0))


def rays(geometry: ViewGeometry) -> np.ndarray:
    """Unit direction of the ray to each pixel, ``(rows, columns, 3)``."""
    towards = geometry.pixel_positions() - geometry.source
    return towards / np.linalg.norm(towards, axis=-1, keepdims=True)


def distance_from(geometry: ViewGeometry, point: np.ndarray) -> np.ndarray:
    """mm by which each ray misses a point."""
    return np.linalg.norm(np.cross(rays(geometry), point - geometry.source), axis=-1)


def sample(grid: VolumeGrid, function, parts: int = 1) -> torch.Tensor:
    """Mean of a function of RAS over each voxel, from ``parts``³ points in each."""
    offsets = ((np.arange(parts) + 0.5) / parts - 0.5) * grid.spacing
    axes = grid.axes()
    total = np.zeros(grid.shape)
    for dz in offsets:
        for dy in offsets:
            for dx in offsets:
                total += function(
                    (axes[0] + dx)[None, None, :],
                    (axes[1] + dy)[None, :, None],
                    (axes[2] + dz)[:, None, None],
                )
    return torch.as_tensor(total / parts**3)


# --- Closed formulas ----------------------------------------------------------------------------


RADIUS = 28.0


@lru_cache(maxsize=2)
def ball(centre: tuple[float, float, float]) -> tuple[torch.Tensor, VolumeGrid]:
    """Share of each voxel within a ball."""
    grid = VolumeGrid.cube(104, 83.2)

    def inside(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        squared = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2
        return squared <= RADIUS**2

    return sample(grid, inside, parts=4), grid


@pytest.mark.parametrize("centre", [(0.0, 0.0, 0.0), (9.0, -7.0, 11.0)], ids=["centred", "off"])
@pytest.mark.parametrize(("view", "angle"), VIEWS)
def test_chord_of_a_ball(view: View, angle: float, centre: tuple[float, float, float]) -> None:
    inside, grid = ball(centre)
    geometry = cone(view, angle, tilt=7.0)
    ours = project(inside, grid, geometry).numpy()
    miss = distance_from(geometry, np.array(centre))
    chord = 2 * np.sqrt(np.clip(RADIUS**2 - miss**2, 0, None))
    # The chord's slope is infinite at the outline, which no voxel can follow.
    within = miss < 0.8 * RADIUS
    assert within.sum() > 500
    assert np.abs(ours - chord)[within].max() < 0.005 * 2 * RADIUS
    assert np.mean(ours[within] / chord[within]) == pytest.approx(1.0, abs=0.001)
    assert np.all(ours[miss > RADIUS + 2 * grid.spacing] == 0)


@pytest.mark.parametrize(("view", "angle"), VIEWS)
def test_path_through_a_box(view: View, angle: float) -> None:
    grid = VolumeGrid.cube(64, 64.0)
    low, high = np.array([-20.0, -14.0, -25.0]), np.array([12.0, 19.0, 8.0])
    inside = sample(
        grid,
        lambda x, y, z: (
            ((x > low[0]) & (x < high[0]))
            * ((y > low[1]) & (y < high[1]))
            * ((z > low[2]) & (z < high[2]))
        ),
    )
    geometry = cone(view, angle, tilt=5.0)
    ours = project(inside, grid, geometry).numpy()
    direction = rays(geometry)
    with np.errstate(divide="ignore"):
        bounds = np.stack([(face - geometry.source) / direction for face in (low, high)])
    length = bounds.max(axis=0).min(axis=-1) - bounds.min(axis=0).max(axis=-1)
    expected = np.clip(length, 0, None)
    error = np.abs(ours - expected) / expected.max()
    assert error.mean() < 0.003
    assert np.percentile(error, 95) < 0.02
    assert ours.sum() == pytest.approx(expected.sum(), rel=0.005)


@pytest.mark.parametrize(("view", "angle"), VIEWS)
@pytest.mark.parametrize("far", [False, True], ids=["cone", "nearly-parallel"])
def test_integral_of_a_gaussian(view: View, angle: float, far: bool) -> None:
    grid = VolumeGrid((96, 112, 104), 1.0, (4.0, -3.0, 2.0))
    centre, width = np.array([8.0, -6.0, 5.0]), 9.0
    blob = sample(
        grid,
        lambda x, y, z: np.exp(
            -((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2) / (2 * width**2)
        ),
    )
    geometry = cone(view, angle, tilt=-9.0, **({"sid": 1.0e5, "sod": 9.9e4} if far else {}))
    ours = project(blob, grid, geometry).numpy()
    miss = distance_from(geometry, centre)
    expected = np.sqrt(2 * np.pi) * width * np.exp(-(miss**2) / (2 * width**2))
    assert np.abs(ours - expected).max() < 0.005 * expected.max()


def test_channels_are_projected_one_by_one() -> None:
    grid = VolumeGrid((20, 22, 24), 2.0)
    volumes = torch.rand(3, *grid.shape, generator=torch.Generator().manual_seed(1))
    geometry = cone(LATERAL, 20.0)
    together = project(volumes, grid, geometry)
    assert together.shape == (3, *geometry.shape)
    for volume, picture in zip(volumes, together, strict=True):
        torch.testing.assert_close(project(volume, grid, geometry), picture)


# --- Gradient -----------------------------------------------------------------------------------


@pytest.mark.parametrize("angle", [0.0, 30.0, 45.0])
def test_gradcheck(angle: float) -> None:
    grid = VolumeGrid((4, 5, 6), 3.0, (0.5, 0.2, -0.7))
    geometry = cone(LATERAL, angle, tilt=4.0, spacing=(5.0, 6.0), shape=(5, 4), centre=None)
    volume = torch.rand(2, *grid.shape, dtype=torch.float64, requires_grad=True)
    assert project(volume, grid, geometry).detach().abs().sum() > 0
    assert torch.autograd.gradcheck(lambda v: project(v, grid, geometry), (volume,))


@pytest.mark.parametrize(("view", "angle"), VIEWS)
def test_backward_is_the_adjoint(view: View, angle: float) -> None:
    generator = torch.Generator().manual_seed(2)
    grid, geometry = VolumeGrid((30, 34, 28), 2.5), cone(view, angle, tilt=6.0)
    volume = torch.rand(grid.shape, generator=generator, dtype=torch.float64)
    picture = torch.rand(geometry.shape, generator=generator, dtype=torch.float64)
    elsewhere = torch.zeros(grid.shape, dtype=torch.float64, requires_grad=True)
    project(elsewhere, grid, geometry).backward(picture)
    forward = (project(volume, grid, geometry) * picture).sum()
    torch.testing.assert_close((volume * elsewhere.grad).sum(), forward, rtol=1e-9, atol=0)


# --- RTK ----------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # itk's bindings, on being loaded
@pytest.mark.parametrize(("view", "angle"), VIEWS)
@pytest.mark.parametrize("tilt", [0.0, 11.0])
def test_agrees_with_rtk(view: View, angle: float, tilt: float) -> None:
    grid = VolumeGrid((52, 64, 58), 1.7, (5.0, -8.0, 3.0))
    generator = np.random.default_rng(3)
    volume = np.zeros(grid.shape, dtype=np.float32)
    # Air at the border: there RTK leaves half a voxel out, and ours does not.
    inner = (slice(3, -3),) * 3
    volume[inner] = gaussian_filter(generator.random(grid.shape), 1.0)[inner]
    geometry = cone(view, angle, tilt)
    try:
        theirs = rtk_projection(volume, grid, geometry)
    except XRayTo3DError as reason:
        pytest.skip(str(reason))
    ours = project(torch.as_tensor(volume), grid, geometry).numpy()
    assert np.ptp(theirs) > 10
    assert np.abs(ours - theirs).max() < 0.005 * theirs.max()


# --- gVirtualXRay -------------------------------------------------------------------------------


FINE = {"spacing": (0.6, 0.7), "shape": (220, 190), "centre": None}


@pytest.fixture(scope="module")
def paths(toy_knee: dict[Bone, Surface]):
    """gVirtualXRay's path lengths, where its OpenGL works."""
    try:
        path_lengths({"patella": toy_knee[Bone.PATELLA]}, cone(AP))
    except XRayTo3DError as reason:
        pytest.skip(str(reason))
    return path_lengths


@pytest.mark.parametrize(("view", "angle"), VIEWS)
def test_agrees_with_gvxr_on_a_made_bone(
    view: View, angle: float, paths, toy_knee: dict[Bone, Surface]
) -> None:
    bones = {bone.key: toy_knee[bone] for bone in (Bone.PATELLA, Bone.FIBULA)}
    assert_agree_on_surfaces(bones, cone(view, angle, tilt=5.0, **FINE), paths)


@pytest.mark.parametrize(("view", "angle"), VIEWS)
def test_agrees_with_gvxr_on_a_real_bone(view: View, angle: float, paths, shared_bones) -> None:
    bones = {"tibia": read_surface(shared_bones / "vsd_z013_right" / "tibia.ply")}
    assert_agree_on_surfaces(bones, cone(view, angle, tilt=5.0, **FINE), paths)


def assert_agree_on_surfaces(bones: dict[str, Surface], geometry: ViewGeometry, paths) -> None:
    theirs = paths(bones, geometry)
    for name, bone in bones.items():
        volume, grid = voxels_of(bone, 0.7)
        ours = project(torch.as_tensor(volume), grid, geometry).numpy()
        difference = np.abs(ours - theirs[name])
        shadow = theirs[name] > 0
        assert shadow.sum() > 400
        assert difference[shadow].mean() < 0.2
        # What VTK's stencil puts into the voxels beyond the bone's volume is not the projector's.
        excess = volume.sum() * grid.spacing**3 / bone.volume
        assert excess == pytest.approx(1.0, abs=0.006)
        assert ours.sum() / excess == pytest.approx(theirs[name].sum(), rel=0.003)


def voxels_of(surface: Surface, spacing: float, parts: int = 3) -> tuple[np.ndarray, VolumeGrid]:
    """Share of each voxel within a surface, by VTK's stencil at ``parts``³ points a voxel."""
    low, high = surface.vertices.min(axis=0), surface.vertices.max(axis=0)
    shape = tuple(int(n) for n in np.ceil((high - low)[::-1] / spacing).astype(int) + 4)
    grid = VolumeGrid(shape, spacing, tuple(float(value) for value in (low + high) / 2))
    fine = VolumeGrid(tuple(n * parts for n in shape), spacing / parts, grid.centre)
    blank = vtk.vtkImageData()
    blank.SetDimensions(*fine.shape[::-1])
    blank.SetSpacing(*(fine.spacing,) * 3)
    blank.SetOrigin(*fine.first)
    blank.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    blank.GetPointData().GetScalars().Fill(0)
    to_stencil = vtk.vtkPolyDataToImageStencil()
    to_stencil.SetInputData(surface.to_vtk())
    to_stencil.SetOutputOrigin(*fine.first)
    to_stencil.SetOutputSpacing(*(fine.spacing,) * 3)
    to_stencil.SetOutputWholeExtent(blank.GetExtent())
    stencil = vtk.vtkImageStencil()
    stencil.SetInputData(blank)
    stencil.SetStencilConnection(to_stencil.GetOutputPort())
    stencil.ReverseStencilOn()
    stencil.SetBackgroundValue(1)
    stencil.Update()
    inside = vtk_to_numpy(stencil.GetOutput().GetPointData().GetScalars()).reshape(fine.shape)
    blocks = inside.reshape(shape[0], parts, shape[1], parts, shape[2], parts)
    return blocks.mean(axis=(1, 3, 5)).astype(np.float32), grid
