"""Film by gVirtualXRay: in its place, repeatable, of the stated look."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.surface import Surface, read_surface
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.evaluation import gvxr_film as film_module
from XRayTo3DLib.evaluation import gvxr_paths as paths_module
from XRayTo3DLib.evaluation.gvxr_film import ForeignFilmSettings, Manufacturer, gvxr_film
from XRayTo3DLib.evaluation.gvxr_leg import LegShape, leg_surfaces
from XRayTo3DLib.evaluation.gvxr_paths import _worker, path_lengths
from XRayTo3DLib.imaging.geometry import ViewGeometry, view_geometry
from XRayTo3DLib.imaging.radiograph import Side, View

AP, PA, LATERAL = View.AP, View.PA, View.LATERAL
LEFT, RIGHT = Side.LEFT, Side.RIGHT
ROUNDING = 0.01
"""mm that gVirtualXRay may leave on a ray that only grazes a surface."""


@pytest.fixture(scope="module", autouse=True)
def _gvxr_or_skip(toy_knee: dict[Bone, Surface]) -> None:
    try:
        path_lengths({"patella": toy_knee[Bone.PATELLA]}, detector())
    except XRayTo3DError as reason:
        pytest.skip(str(reason))


def detector(view: View = AP, side: Side = RIGHT, angle: float = 0.0) -> ViewGeometry:
    return view_geometry(
        view, side, sid=1100.0, sod=980.0, spacing=(1.0, 1.2), shape=(200, 160), angle=angle
    )


def drawn_silhouette(surface: Surface, geometry: ViewGeometry) -> np.ndarray:
    """Pixels that any projected triangle covers: ViewGeometry.project, filled in by VTK."""
    flat = geometry.project(surface.vertices)[:, ::-1]
    polydata = Surface(np.column_stack([flat, np.zeros(len(flat))]), surface.faces).to_vtk()
    rows, columns = geometry.shape
    renderer = vtk.vtkRenderer()
    mapper = vtk.vtkPolyDataMapper()
    mapper.SetInputData(polydata)
    actor = vtk.vtkActor()
    actor.SetMapper(mapper)
    actor.GetProperty().LightingOff()
    renderer.AddActor(actor)
    camera = renderer.GetActiveCamera()
    camera.ParallelProjectionOn()
    camera.SetParallelScale(rows / 2)
    # Rows grow downwards: look from below the page with the rows' end at the bottom.
    camera.SetPosition((columns - 1) / 2, (rows - 1) / 2, -100)
    camera.SetFocalPoint((columns - 1) / 2, (rows - 1) / 2, 0)
    camera.SetViewUp(0, -1, 0)
    window = vtk.vtkRenderWindow()
    window.SetOffScreenRendering(1)
    window.SetMultiSamples(0)
    window.SetSize(columns, rows)
    window.AddRenderer(renderer)
    window.Render()
    grab = vtk.vtkWindowToImageFilter()
    grab.SetInput(window)
    grab.Update()
    pixels = vtk_to_numpy(grab.GetOutput().GetPointData().GetScalars()).reshape(rows, columns, -1)
    return pixels[::-1, :, 0] > 0


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.mark.parametrize("side", [RIGHT, LEFT])
@pytest.mark.parametrize(("view", "angle"), [(AP, 0.0), (PA, 8.0), (LATERAL, 0.0), (LATERAL, 25.0)])
def test_shadow_falls_where_the_geometry_says(
    view: View, side: Side, angle: float, toy_knee: dict[Bone, Surface]
) -> None:
    geometry = detector(view, side, angle)
    paths = path_lengths({bone.key: surface for bone, surface in toy_knee.items()}, geometry)
    for bone, surface in toy_knee.items():
        assert dice(paths[bone.key] > ROUNDING, drawn_silhouette(surface, geometry)) > 0.98, bone


@pytest.mark.parametrize("view", [AP, LATERAL])
def test_shadow_of_a_real_femur(view: View, shared_bones) -> None:
    femur = read_surface(shared_bones / "lhdl_right" / "femur.ply")
    geometry = detector(view)
    path = path_lengths({"femur": femur}, geometry)["femur"]
    assert dice(path > ROUNDING, drawn_silhouette(femur, geometry)) > 0.98


def test_path_lengths_of_a_ball_in_mm() -> None:
    source = vtk.vtkSphereSource()
    source.SetRadius(30.0)
    source.SetThetaResolution(200)
    source.SetPhiResolution(200)
    source.Update()
    geometry = detector()
    path = path_lengths({"ball": Surface.from_vtk(source.GetOutput())}, geometry)["ball"]
    ray = geometry.pixel_positions() - geometry.source
    ray /= np.linalg.norm(ray, axis=-1, keepdims=True)
    miss = np.linalg.norm(np.cross(ray, -geometry.source), axis=-1)
    within = miss < 27
    np.testing.assert_allclose(
        path[within], 2 * np.sqrt(30.0**2 - miss[within] ** 2), atol=0.005 * 60
    )
    assert path[miss > 30.1].max() < ROUNDING


def test_degenerate_and_empty_surfaces(toy_knee: dict[Bone, Surface]) -> None:
    patella = toy_knee[Bone.PATELLA]
    slivers = np.repeat(patella.faces[:, :1], 3, axis=1)
    with_slivers = Surface(patella.vertices, np.concatenate([patella.faces, slivers]))
    nothing = Surface(np.zeros((0, 3)), np.zeros((0, 3), dtype=np.int64))
    paths = path_lengths(
        {"whole": patella, "slivers": with_slivers, "nothing": nothing}, detector()
    )
    np.testing.assert_array_equal(paths["slivers"], paths["whole"])
    assert not paths["nothing"].any()


@pytest.mark.parametrize("seed", [0, 1])
def test_surfaces_of_the_leg_are_nested(seed: int, toy_knee: dict[Bone, Surface]) -> None:
    shape = LegShape(cortex=4.0, subchondral=1.0, soft_tissue=22.0, fat=7.0)
    leg = leg_surfaces(toy_knee, shape, np.random.default_rng(seed))
    for bone, surface in toy_knee.items():
        assert 0.3 * surface.volume < leg[f"{bone.key}/inside"].volume < surface.volume
    bones = sum(surface.volume for surface in toy_knee.values())
    assert bones < leg["muscle"].volume < leg["skin"].volume
    locate = vtk.vtkImplicitPolyDataDistance()
    locate.SetInput(leg["muscle"].to_vtk())
    for surface in toy_knee.values():
        distances = [locate.EvaluateFunction(point) for point in surface.vertices[::20]]
        assert max(distances) < 0, "a bone sticks out of the muscle"


def test_thicker_cortex_at_the_shaft(toy_knee: dict[Bone, Surface]) -> None:
    shape = LegShape(cortex=5.0, subchondral=1.0, soft_tissue=22.0, fat=7.0)
    inside = leg_surfaces(toy_knee, shape, np.random.default_rng(3))["femur/inside"]
    moved = np.linalg.norm(inside.vertices - toy_knee[Bone.FEMUR].vertices, axis=1)
    height = toy_knee[Bone.FEMUR].vertices[:, 2]
    assert np.median(moved[height > 100]) > 2 * np.median(moved[height < 30])


@pytest.mark.parametrize("manufacturer", Manufacturer)
@pytest.mark.parametrize("view", [AP, LATERAL])
def test_film(view: View, manufacturer: Manufacturer, toy_knee: dict[Bone, Surface]) -> None:
    geometry = detector(view)
    settings = ForeignFilmSettings(manufacturers=(manufacturer,))
    film = gvxr_film(toy_knee, geometry, settings, seed=5)
    assert film.shape == geometry.shape
    assert film.dtype == np.float32
    assert 0.0 <= film.min() < 0.1 and 0.8 < film.max() <= 1.0
    femur = drawn_silhouette(toy_knee[Bone.FEMUR], geometry)
    around = ~femur & (np.abs(np.arange(geometry.shape[1]) - np.argwhere(femur)[:, 1].mean()) < 60)
    rows = np.argwhere(femur)[:, 0]
    around &= (np.arange(geometry.shape[0]) <= np.percentile(rows, 80))[:, None]
    assert film[femur].mean() > film[around].mean() + 0.1, "bone is not bright"


def test_seed_makes_the_film(toy_knee: dict[Bone, Surface]) -> None:
    geometry = detector(LATERAL)
    first = gvxr_film(toy_knee, geometry, seed=1)
    gvxr_film(toy_knee, detector(AP, LEFT), seed=9)
    np.testing.assert_array_equal(first, gvxr_film(toy_knee, geometry, seed=1))
    assert np.abs(first - gvxr_film(toy_knee, geometry, seed=2)).mean() > 0.02


@pytest.mark.parametrize(
    ("change", "statistic"),
    [
        ({"quanta": (2e2, 2e2)}, "noise"),
        ({"detector_blur": (2.0, 2.0)}, "sharpness"),
        ({"scatter_ratio": (4.0, 4.0)}, "contrast"),
    ],
)
def test_each_defect_shows(
    change: dict[str, tuple[float, float]], statistic: str, toy_knee: dict[Bone, Surface]
) -> None:
    clean = ForeignFilmSettings(
        quanta=(1e8, 1e8), scatter_ratio=(0.0, 0.0), manufacturers=(Manufacturer.A,)
    )
    geometry = detector()
    best = gvxr_film(toy_knee, geometry, clean, seed=4)
    worse = gvxr_film(toy_knee, geometry, replace(clean, **change), seed=4)
    femur = drawn_silhouette(toy_knee[Bone.FEMUR], geometry)
    measure = {
        "noise": lambda film: -np.abs(np.diff(film, 2, axis=0))[femur[1:-1]].mean(),
        "sharpness": lambda film: np.abs(np.diff(film, axis=1)).max(),
        "contrast": lambda film: film[femur].mean() - np.median(film[film > 0.02]),
    }[statistic]
    assert measure(worse) < measure(best) - 0.2 * abs(measure(best))


def test_harder_beam_is_weakened_less() -> None:
    soft, soft_weights = film_module._spectrum(60.0, 2.5)
    hard, hard_weights = film_module._spectrum(75.0, 4.5)
    assert soft_weights.sum() == pytest.approx(1.0)
    assert 35 < soft @ soft_weights < hard @ hard_weights < 60


def test_attenuation_of_water_is_that_of_nist() -> None:
    # NIST XCOM, μ/ρ of liquid water at 60 keV: 0.2059 cm²/g.
    water = {"H": 0.1119, "O": 0.8881}
    assert film_module._attenuation(water, np.array([60.0])) == pytest.approx(0.2059, rel=0.005)


def test_no_bone_is_refused() -> None:
    with pytest.raises(XRayTo3DError, match="at least one bone"):
        gvxr_film({}, detector())


def test_any_thread_at_any_time(toy_knee: dict[Bone, Surface]) -> None:
    surfaces = {"patella": toy_knee[Bone.PATELLA]}
    views = [detector(), detector(LATERAL)] * 4
    expected = [path_lengths(surfaces, view)["patella"] for view in views]
    # VTK makes its own OpenGL context the current one.
    drawn_silhouette(toy_knee[Bone.PATELLA], detector())
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda view: path_lengths(surfaces, view)["patella"], views))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_forked_process_has_its_own() -> None:
    with multiprocessing.get_context("fork").Pool(1) as pool:
        theirs = pool.apply(_worker_process)
    assert theirs != _worker_process() == _worker_process()


def _worker_process() -> int:
    return _worker()._process.pid


def test_error_in_the_worker_is_told_and_survived(toy_knee: dict[Bone, Surface]) -> None:
    patella = toy_knee[Bone.PATELLA]
    with pytest.raises(XRayTo3DError, match="cannot be used"):
        _worker().answer("path_lengths", {"surfaces": {"patella": "not a mesh"}})
    assert path_lengths({"patella": patella}, detector())["patella"].max() > 20


def test_absence_is_explained(monkeypatch, tmp_path, toy_knee: dict[Bone, Surface]) -> None:
    (tmp_path / "gvxrPython3.py").write_text("raise ImportError('no such thing here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(paths_module, "_workers", {})
    with pytest.raises(XRayTo3DError, match="no such thing here.*pip install.*apt-get install"):
        path_lengths({"patella": toy_knee[Bone.PATELLA]}, detector())
