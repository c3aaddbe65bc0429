"""Knees of labelled CTs against capsules whose distance is known in closed form."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.labelled_ct import (
    CT_ENERGY_KEV,
    labelled_knee,
    read_masks,
    read_volume,
    side_by_fibula,
    tissues_of,
)
from XRayTo3DLib.anatomy.tissue import extended, material_paths
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.geometry import view_geometry
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.materials import Material, from_hounsfield, linear_attenuation
from XRayTo3DLib.imaging.radiograph import Side, View

# The capsules of the toy knee: bottom, top, radius.
CAPSULES = {
    Bone.FEMUR: ((0, 0, 30), (0, 0, 100), 25),
    Bone.TIBIA: ((0, 0, -100), (0, 0, -30), 22),
    Bone.PATELLA: ((0, 42, 28), (0, 42, 36), 12),
    Bone.FIBULA: ((36, -12, -100), (36, -12, -40), 8),
}
LABELS = {bone: int(bone) for bone in Bone}
SPACING = (1.1, 1.2, 1.4)
SIZE = (118, 110, 182)
STRAIGHT = np.diag([-1.0, -1.0, 1.0])
OBLIQUE = Rotation.from_euler("zyx", [160, 8, -6], degrees=True).as_matrix()


def depth_of(bone: Bone, ras: np.ndarray) -> np.ndarray:
    """Exact depth below a capsule's surface, mm, of RAS points ``(..., 3)``."""
    bottom, top, radius = CAPSULES[bone]
    nearest = np.stack(
        [
            np.full(ras.shape[:-1], float(bottom[0])),
            np.full(ras.shape[:-1], float(bottom[1])),
            np.clip(ras[..., 2], bottom[2], top[2]),
        ],
        axis=-1,
    )
    return radius - np.linalg.norm(ras - nearest, axis=-1)


def scan(direction: np.ndarray, side: Side, middle_x: float = 0.0) -> tuple[sitk.Image, sitk.Image]:
    """Labels and CT of the capsules in a leg, with the leg's axis at RAS x ``middle_x``."""
    labels = sitk.Image(SIZE, sitk.sitkUInt8)
    labels.SetSpacing(SPACING)
    labels.SetDirection(direction.ravel())
    half = direction @ ((np.array(SIZE) - 1) * SPACING) / 2
    labels.SetOrigin(tuple(np.array((-middle_x, 0.0, 0.0)) - half))
    k, j, i = np.meshgrid(*(np.arange(n) for n in SIZE[::-1]), indexing="ij")
    lps = np.stack([i, j, k], axis=-1) * SPACING @ direction.T + labels.GetOrigin()
    ras = lps * (-1.0, -1.0, 1.0) - (middle_x, 0.0, 0.0)
    if side is Side.LEFT:
        ras[..., 0] *= -1
    depth = np.stack([depth_of(bone, ras) for bone in Bone])
    deepest = depth.max(axis=0)
    marked = np.where(deepest > 0, depth.argmax(axis=0) + 1, 0).astype(np.uint8)
    radius = np.hypot(ras[..., 0], ras[..., 1] - 5.0)
    units = np.where(radius < 48, 50.0, np.where(radius < 58, -100.0, -1000.0))
    units = np.where(deepest > 0, np.where(deepest < 4, 1500.0, 300.0), units)
    images = [sitk.GetImageFromArray(array) for array in (marked, units.astype(np.float32))]
    for image in images:
        image.CopyInformation(labels)
    return images[0], images[1]


def masks_of(labels: sitk.Image) -> dict[Bone, sitk.Image]:
    return {bone: labels == int(bone) for bone in Bone}


@pytest.fixture(scope="module")
def oblique() -> tuple[sitk.Image, sitk.Image]:
    return scan(OBLIQUE, Side.RIGHT, middle_x=20.0)


@pytest.mark.parametrize(
    ("direction", "side", "middle_x"),
    [(STRAIGHT, Side.RIGHT, 0.0), (OBLIQUE, Side.RIGHT, 90.0), (OBLIQUE, Side.LEFT, -90.0)],
)
def test_depths_are_those_of_the_capsules(
    direction: np.ndarray, side: Side, middle_x: float
) -> None:
    labels, ct = scan(direction, side, middle_x)
    masks = masks_of(labels)
    assert side_by_fibula(masks) is side
    labelled = labelled_knee(masks, side, "x")
    grid = VolumeGrid((128, 96, 96), 1.2)
    tissues = tissues_of(ct, labelled, grid)
    points = grid.to_ras(np.moveaxis(np.indices(grid.shape), 0, -1))
    if side is Side.LEFT:
        points[..., 0] *= -1
    back = np.linalg.inv(labelled.placing)
    ras = points @ back[:3, :3].T + back[:3, 3] - (middle_x, 0.0, 0.0)
    if side is Side.LEFT:
        ras[..., 0] *= -1
    for number, bone in enumerate(Bone):
        truth = depth_of(bone, ras)
        near = np.abs(truth) < 2.5
        off = np.abs(tissues.depth[number] - truth)[near]
        assert off.mean() < 0.25 * grid.spacing, bone
        assert np.percentile(off, 95) < 0.5 * grid.spacing, bone


@pytest.mark.parametrize("view", [View.AP, View.LATERAL])
def test_the_projection_is_that_of_the_hounsfield_units(
    oblique: tuple[sitk.Image, sitk.Image], view: View
) -> None:
    labels, ct = oblique
    labelled = labelled_knee(masks_of(labels), Side.RIGHT, "x")
    tissues = tissues_of(ct, labelled, extended(VolumeGrid((96, 96, 96), 1.2)))
    # A film smaller than what was scanned: both volumes hold all of each ray that is not in air.
    stand = view_geometry(
        view, Side.RIGHT, sid=1150.0, sod=1000.0, spacing=(4.0, 4.0), shape=(30, 30)
    )
    paths = material_paths(tissues, stand).numpy()
    mu = np.array([linear_attenuation(material, CT_ENERGY_KEV) for material in Material])
    ours = np.einsum("m,mrc->rc", mu, paths)
    # The same rays through the CT as it was scanned.
    pixels = stand.pixel_positions().reshape(-1, 3)
    length = np.linalg.norm(pixels - stand.source, axis=1)
    step = 0.5
    along = np.arange(800.0, 1200.0, step)
    share = along / length[:, None]
    points = stand.source + share[..., None] * (pixels - stand.source)[:, None]
    back = np.linalg.inv(labelled.placing)
    lps = (points @ back[:3, :3].T + back[:3, 3]) * (-1.0, -1.0, 1.0)
    direction = np.array(ct.GetDirection()).reshape(3, 3)
    index = (lps - ct.GetOrigin()) @ direction / ct.GetSpacing()
    units = map_coordinates(
        sitk.GetArrayFromImage(ct), np.moveaxis(index, -1, 0)[::-1], order=1, cval=-1000.0
    )
    truth = (from_hounsfield(units, CT_ENERGY_KEV).sum(axis=1) * step).reshape(stand.shape)
    assert truth.max() > 2.0
    assert ours.mean() == pytest.approx(truth.mean(), rel=0.005)
    assert np.abs(ours - truth).mean() < 0.02 * truth.mean()
    assert np.corrcoef(ours.ravel(), truth.ravel())[0, 1] > 0.998


def two_legs() -> dict[Side, sitk.Image]:
    """Labels of a right and a left knee on one grid."""
    right, left = (scan(STRAIGHT, s, x)[0] for s, x in ((Side.RIGHT, 75.0), (Side.LEFT, -75.0)))
    reference = sitk.ConstantPad(right, (150, 0, 0), (0, 0, 0))
    return {
        side: sitk.Resample(image, reference, sitk.Transform(), sitk.sitkNearestNeighbor)
        for side, image in ((Side.RIGHT, right), (Side.LEFT, left))
    }


def test_two_legs_in_one_label_map_are_told_apart(tmp_path: Path) -> None:
    legs = two_legs()
    path = tmp_path / "labels.nrrd"
    sitk.WriteImage(legs[Side.RIGHT] + legs[Side.LEFT], str(path))
    found = read_masks(path, LABELS)
    assert set(found) == {"left", "right"}
    for side in Side:
        for bone in Bone:
            expected = (sitk.GetArrayFromImage(legs[side]) == bone).sum()
            assert sitk.GetArrayFromImage(found[side.value][bone]).sum() == expected
        labelled_knee(found[side.value], side, "x")


def test_femora_named_by_side_and_the_other_bones_not(tmp_path: Path) -> None:
    # So it is with TotalSegmentator: femur_left of "total", tibia of "appendicular_bones".
    legs = two_legs()
    for side in Side:
        sitk.WriteImage(legs[side] == int(Bone.FEMUR), str(tmp_path / f"femur_{side.value}.nii.gz"))
    for bone in (Bone.TIBIA, Bone.PATELLA, Bone.FIBULA):
        both = (legs[Side.RIGHT] == int(bone)) + (legs[Side.LEFT] == int(bone))
        sitk.WriteImage(both, str(tmp_path / f"{bone.key}.nii.gz"))
    found = read_masks(tmp_path, LABELS)
    assert {said: side_by_fibula(masks).value for said, masks in found.items()} == {
        "left": "left",
        "right": "right",
    }


def test_specks_and_what_lies_far_from_the_joint_are_left_out(tmp_path: Path) -> None:
    labels, _ = scan(STRAIGHT, Side.RIGHT)
    values = sitk.GetArrayFromImage(labels)
    clean = labelled_knee(masks_of(labels), Side.RIGHT, "x")
    values[2:5, 2:5, 2:5] = Bone.FEMUR
    specked = sitk.GetImageFromArray(values)
    specked.CopyInformation(labels)
    path = tmp_path / "labels.mha"
    sitk.WriteImage(specked, str(path))
    found = labelled_knee(read_masks(path, LABELS)[""], Side.RIGHT, "x")
    np.testing.assert_allclose(found.placing, clean.placing, atol=1e-6)
    # Twice as long in z, the bones reach beyond 180 mm.
    labels.SetSpacing((*SPACING[:2], 2 * SPACING[2]))
    long = labelled_knee(masks_of(labels), Side.RIGHT, "x").knee.surfaces
    assert long[Bone.FEMUR].vertices[:, 2].max() == pytest.approx(180.0, abs=2 * SPACING[2])
    assert long[Bone.TIBIA].vertices[:, 2].min() == pytest.approx(-180.0, abs=2 * SPACING[2])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda units: (units + 1000.0) / 3000.0, "Hounsfield"),
        (lambda units: units + 1024.0, "Hounsfield"),
        (lambda units: units * 0.0, "Hounsfield"),
    ],
)
def test_other_units_are_refused(
    oblique: tuple[sitk.Image, sitk.Image], change: Callable[[sitk.Image], sitk.Image], said: str
) -> None:
    labels, ct = oblique
    labelled = labelled_knee(masks_of(labels), Side.RIGHT, "anna_right")
    with pytest.raises(XRayTo3DError, match=f"anna_right: .*{said}"):
        tissues_of(change(ct), labelled, VolumeGrid((96, 80, 80), 1.6))


def test_labels_of_another_place_are_refused(oblique: tuple[sitk.Image, sitk.Image]) -> None:
    labels, ct = oblique
    labelled = labelled_knee(masks_of(labels), Side.RIGHT, "anna_right")
    moved = sitk.Image(ct)
    moved.SetOrigin(tuple(np.add(ct.GetOrigin(), (0.0, 0.0, 400.0))))
    with pytest.raises(XRayTo3DError, match="100% of the labelled bones lie outside the CT"):
        tissues_of(moved, labelled, VolumeGrid((96, 80, 80), 1.6))


def test_the_wrong_side_is_refused(oblique: tuple[sitk.Image, sitk.Image]) -> None:
    with pytest.raises(XRayTo3DError, match="should be a left knee"):
        labelled_knee(masks_of(oblique[0]), Side.LEFT, "anna_left")


@pytest.mark.parametrize(
    ("kept", "said"), [(slice(60, 102), "of the femur"), (slice(40, 102), "of the femur")]
)
def test_a_short_field_is_refused(kept: slice, said: str) -> None:
    labels, _ = scan(STRAIGHT, Side.RIGHT)
    with pytest.raises(XRayTo3DError, match=said):
        labelled_knee(masks_of(labels[:, :, kept]), Side.RIGHT, "x")


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ({**LABELS, Bone.FEMUR: 0}, "femur=0"),
        ({**LABELS, Bone.FEMUR: 2}, "femur=2, tibia=2"),
        ({**LABELS, Bone.FEMUR: 9}, "labels.nrrd: .*femur=9.*found tibia, patella, fibula"),
    ],
)
def test_labels_that_cannot_be(
    oblique: tuple[sitk.Image, sitk.Image], tmp_path: Path, labels: dict[Bone, int], said: str
) -> None:
    path = tmp_path / "labels.nrrd"
    sitk.WriteImage(oblique[0], str(path))
    with pytest.raises(XRayTo3DError, match=said):
        read_masks(path, labels)


def test_folders_without_a_series_or_a_mask(tmp_path: Path) -> None:
    with pytest.raises(XRayTo3DError, match="holds no DICOM series"):
        read_volume(tmp_path)
    with pytest.raises(XRayTo3DError, match="found none"):
        read_masks(tmp_path, LABELS)
