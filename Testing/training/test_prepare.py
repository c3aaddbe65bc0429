"""Labelled CTs of a knee that is known: files, sides, frames, attenuation, and bad input."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from XRayTo3DLib import cli
from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.distance import inside_mask
from XRayTo3DLib.anatomy.knee import load_knees
from XRayTo3DLib.anatomy.labelled_ct import CT_ENERGY_KEV, labelled_knee, read_masks, tissues_of
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.evaluation.metrics import surface_distances
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.materials import Material, from_hounsfield, linear_attenuation
from XRayTo3DLib.imaging.radiograph import Side
from XRayTo3DLib.training.cases import Case
from XRayTo3DLib.training.prepare import label_values

GRID = VolumeGrid((140, 80, 80), 1.6, (4.0, 0.0, 0.0))
LABELS = {bone: int(bone) for bone in Bone}


@pytest.fixture(scope="module")
def phantom(toy_knee: dict[Bone, Surface]) -> tuple[np.ndarray, np.ndarray]:
    """Labels and Hounsfield units ``(z, y, x)`` of the toy knee in a leg of muscle and fat."""
    labels = np.zeros(GRID.shape, np.uint8)
    for bone, surface in toy_knee.items():
        labels[inside_mask(surface, GRID)] = bone
    x, y, _ = GRID.axes()
    radius = np.hypot(x[None, :], y[:, None])[None]
    units = np.where(radius < 45, 50.0, np.where(radius < 55, -100.0, -1000.0))
    units = np.broadcast_to(units, GRID.shape).copy()
    units[labels > 0] = 300.0
    units[labels == Bone.FIBULA] = 1400.0
    return labels, units.astype(np.float32)


def images(phantom: tuple[np.ndarray, np.ndarray], mirrored: bool = False) -> list[sitk.Image]:
    made = [GRID.image(array) for array in phantom]
    if mirrored:
        for image in made:
            origin, direction = image.GetOrigin(), list(image.GetDirection())
            image.SetOrigin((-origin[0], *origin[1:]))
            direction[0] = -direction[0]
            image.SetDirection(direction)
    return made


def written(folder: Path, pair: list[sitk.Image], suffix: str) -> tuple[Path, Path]:
    paths = folder / f"labels{suffix}", folder / f"ct{suffix}"
    for image, path in zip(pair, paths, strict=True):
        sitk.WriteImage(image, str(path))
    return paths


def call(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["xrayto3d", "prepare", *map(str, words)])
    try:
        cli.main()
    except SystemExit as stopped:
        return int(stopped.code or 0)
    return 0


@pytest.mark.parametrize(
    ("suffix", "mirrored", "side"),
    [(".nii.gz", False, Side.RIGHT), (".nrrd", True, Side.LEFT)],
)
def test_the_surfaces_are_those_of_the_phantom(
    phantom: tuple[np.ndarray, np.ndarray],
    toy_knee: dict[Bone, Surface],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    suffix: str,
    mirrored: bool,
    side: Side,
) -> None:
    labels, ct = written(tmp_path, images(phantom, mirrored), suffix)
    out = tmp_path / "out"
    assert call(monkeypatch, ct, labels, "-o", out, "--person", "anna", "--views", 1) == 0
    (knee,) = load_knees(out / "bones")
    assert knee.side is side
    (path,) = out.glob("case_*.npz")
    assert path.name == f"case_anna_{side.value}_000.npz"
    shown = knee.mirrored() if mirrored else knee
    # The knee was moved as for films: compare after undoing that by the patella's middle.
    truth = toy_knee[Bone.PATELLA]
    moved = shown.surfaces[Bone.PATELLA]
    shift = np.eye(4)
    shift[:3, 3] = truth.vertices.mean(axis=0) - moved.vertices.mean(axis=0)
    distances = surface_distances(moved.transformed(shift), truth)
    assert distances.assd < 0.5 * GRID.spacing
    assert moved.volume == pytest.approx(truth.volume, rel=0.05)
    case = Case.load(path)
    assert set(np.unique(case.labels)) == {0, *Bone}
    patella = (case.labels == Bone.PATELLA).sum() * 1.2**3
    assert patella == pytest.approx(truth.volume, rel=0.08)


def test_attenuation_is_that_of_the_hounsfield_units(
    phantom: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    labels, ct = images(phantom)
    path = tmp_path / "labels.nrrd"
    sitk.WriteImage(labels, str(path))
    (masks,) = read_masks(path, LABELS).values()
    labelled = labelled_knee(masks, Side.RIGHT, "x_right")
    grid = VolumeGrid((100, 120, 120), 1.6)
    tissues = tissues_of(ct, labelled, grid)
    mu = [float(linear_attenuation(material, CT_ENERGY_KEV)) for material in Material]
    bone = sum(m * float(share.sum()) for m, share in zip(mu[:2], tissues.bone, strict=True)) * (
        grid.spacing**3
    )
    soft = sum(m * float(share.sum()) for m, share in zip(mu[2:], tissues.soft, strict=True)) * (
        tissues.soft_grid.spacing**3
    )
    # The same slab of the phantom, summed by itself.
    units = phantom[1]
    z = GRID.axes()[2] + labelled.placing[2, 3]
    slab = np.abs(z) < 79.2
    expected = from_hounsfield(units[slab], CT_ENERGY_KEV).clip(0).sum() * GRID.spacing**3
    assert bone + soft == pytest.approx(float(expected), rel=0.03)


def test_a_folder_of_masks_with_both_knees(
    phantom: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    for side, mirrored in (("right", False), ("left", True)):
        labels = images(phantom, mirrored)[0]
        for bone in Bone:
            path = tmp_path / f"{bone.key}_{side}.nii.gz"
            sitk.WriteImage(labels == int(bone), str(path))
    found = read_masks(tmp_path, LABELS)
    assert set(found) == {"left", "right"}
    knee = labelled_knee(found["left"], Side.LEFT, "x_left").knee
    assert knee.surfaces[Bone.FIBULA].vertices[:, 0].mean() < -20


def test_a_dicom_series(
    phantom: tuple[np.ndarray, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels, ct = images(phantom)
    series, path = tmp_path / "series", tmp_path / "labels.nii.gz"
    series.mkdir()
    sitk.WriteImage(labels, str(path))
    stack = sitk.Cast(ct, sitk.sitkInt16)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for number in range(stack.GetDepth()):
        plane = stack[:, :, number]
        position = stack.TransformIndexToPhysicalPoint((0, 0, number))
        tags = {
            "0008|0060": "CT",
            "0008|0016": "1.2.840.10008.5.1.4.1.1.2",
            "0008|0018": f"1.2.3.4.{number + 1}",
            "0020|000d": "1.2.3.1",
            "0020|000e": "1.2.3.2",
            "0020|0032": "\\".join(map(str, position)),
            "0020|0037": "-1\\0\\0\\0\\-1\\0",
            "0020|0013": str(number),
        }
        for tag, value in tags.items():
            plane.SetMetaData(tag, value)
        writer.SetFileName(str(series / f"{number:03d}.dcm"))
        writer.Execute(plane)
    out = tmp_path / "out"
    assert call(monkeypatch, series, path, "-o", out, "--person", "berta", "--views", 1) == 0
    assert (
        json.loads((out / "bones" / "index.json").read_text(encoding="utf-8"))["berta_right"][
            "side"
        ]
        == "right"
    )


def test_bad_input_writes_nothing(
    phantom: tuple[np.ndarray, np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    labels, ct = written(tmp_path, images(phantom), ".nrrd")
    scaled = tmp_path / "scaled.nrrd"
    sitk.WriteImage(GRID.image((phantom[1] + 1000) / 3000), str(scaled))
    (tmp_path / "text.nrrd").write_text("no volume")
    out = tmp_path / "out"
    tries = [
        ((ct, labels, "--person", "a b"), "--person"),
        ((ct, labels, "--person", "a", "--label", "femur=77"), "femur=77"),
        ((ct, labels, "--person", "a", "--label", "shin=1"), "shin=1"),
        ((ct, ct, "--person", "a"), "ct.nrrd"),
        ((scaled, labels, "--person", "a"), "Hounsfield"),
        ((tmp_path / "text.nrrd", labels, "--person", "a"), "text.nrrd"),
        ((tmp_path / "none.nrrd", labels, "--person", "a"), "none.nrrd"),
    ]
    for words, said in tries:
        assert call(monkeypatch, *words, "-o", out) == 2, words
        assert said in capsys.readouterr().err
        assert not out.exists()
    assert not list(tmp_path.glob(".out*"))


def test_label_words() -> None:
    assert label_values(["tibia=9"])[Bone.TIBIA] == 9
    assert label_values([])[Bone.FIBULA] == 4
