"""Masks drawn on films: kinds of files, turned with their film, refused where they do not fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.errors import InputFileError
from XRayTo3DLib.evaluation.film_masks import mask_files_in, read_masks
from XRayTo3DLib.imaging.radiograph import Origin, Radiograph, Side, Sourced, View

SHAPE = (40, 30)


def film(shape=SHAPE, orientation=("L", "F")) -> Radiograph:
    user = Origin.USER
    return Radiograph(
        pixels=np.zeros(shape, dtype=np.float32),
        spacing=Sourced((1.0, 1.0), user),
        sid=Sourced(1100.0, user),
        sod=Sourced(1000.0, user),
        view=Sourced(View.AP, user),
        side=Sourced(Side.RIGHT, user),
        orientation=Sourced(orientation, user),
        inverted=Sourced(False, user),
    )


def labels() -> np.ndarray:
    drawn = np.zeros(SHAPE, dtype=np.uint8)
    drawn[2:18, 5:20] = Bone.FEMUR
    drawn[22:38, 6:18] = Bone.TIBIA
    drawn[8:14, 10:15] = Bone.PATELLA
    return drawn


def save(path: Path, values: np.ndarray) -> Path:
    if path.suffix in (".png", ".tif"):
        Image.fromarray(values).save(path)
    else:
        sitk.WriteImage(sitk.GetImageFromArray(values), str(path))
    return path


@pytest.mark.parametrize("suffix", [".png", ".tif", ".nrrd", ".mha", ".nii.gz"])
def test_label_images_of_every_kind(tmp_path: Path, suffix: str) -> None:
    drawn = labels()
    found = read_masks(save(tmp_path / f"labels{suffix}", drawn), film())
    assert set(found) == {Bone.FEMUR, Bone.TIBIA, Bone.PATELLA}
    for bone, one in found.items():
        assert np.array_equal(one.mask, drawn == bone)


def test_a_volume_of_one_slice_and_a_palette(tmp_path: Path) -> None:
    drawn = labels()
    volume = read_masks(save(tmp_path / "volume.nii.gz", drawn[None]), film())
    picture = Image.fromarray(drawn, mode="P")
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 0, 255, 0, 255, 0])
    picture.save(tmp_path / "palette.png")
    palette = read_masks(tmp_path / "palette.png", film())
    for bone in volume:
        assert np.array_equal(volume[bone].mask, palette[bone].mask)
        assert np.array_equal(volume[bone].mask, drawn == bone)


def test_under_another_bone_a_label_image_says_nothing(tmp_path: Path) -> None:
    found = read_masks(save(tmp_path / "labels.png", labels()), film())
    femur = found[Bone.FEMUR]
    assert not femur.judged[8:14, 10:15].any()  # the patella lies over it
    assert not femur.judged[25, 10]
    assert femur.judged[3, 6] and femur.judged[0, 0]


def test_what_nobody_could_tell_is_not_judged(tmp_path: Path) -> None:
    drawn = labels()
    drawn[:, 24:] = 255
    found = read_masks(save(tmp_path / "labels.png", drawn), film())
    assert not any(one.judged[:, 22:].any() for one in found.values())
    assert all(one.judged[20, 21] for one in found.values())


def test_masks_of_single_bones_may_overlap(tmp_path: Path) -> None:
    folder = tmp_path / "masks"
    folder.mkdir()
    femur, patella = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    femur[2:20], patella[10:15] = 255, 1
    save(folder / "femur.png", femur)
    save(folder / "patella.nrrd", patella)
    files = mask_files_in(folder)
    assert set(files) == {Bone.FEMUR, Bone.PATELLA}
    found = read_masks(files, film())
    assert np.array_equal(found[Bone.FEMUR].mask, femur > 0)
    assert np.array_equal(found[Bone.PATELLA].mask, patella > 0)
    assert found[Bone.FEMUR].judged.all()


@pytest.mark.parametrize(
    ("orientation", "as_in_file"),
    [
        (("L", "F"), lambda upright: upright),
        (("R", "F"), np.fliplr),
        (("L", "H"), np.flipud),
        (("R", "H"), lambda upright: np.rot90(upright, 2)),
        (("F", "L"), np.transpose),
        # Rows run to the head, columns to the left: the upright picture turned clockwise.
        (("H", "L"), lambda upright: np.rot90(upright, -1)),
    ],
)
def test_masks_are_turned_upright_with_their_film(tmp_path, orientation, as_in_file) -> None:
    drawn = labels()
    path = save(tmp_path / "labels.png", np.ascontiguousarray(as_in_file(drawn)))
    found = read_masks(path, film(orientation=orientation))
    for bone, one in found.items():
        assert np.array_equal(one.mask, drawn == bone)


def test_masks_that_cannot_be_used(tmp_path: Path) -> None:
    grey = np.zeros(SHAPE, np.uint8)
    grey[3:9] = 7
    ramp = np.tile(np.arange(SHAPE[1], dtype=np.uint8), (SHAPE[0], 1))
    (tmp_path / "broken.png").write_bytes(b"\x89PNG, no more")
    Image.fromarray(labels()).convert("RGB").save(tmp_path / "colour.png")
    Image.fromarray(labels()).save(tmp_path / "lossy.jpg")
    cases = [
        (save(tmp_path / "seven.png", grey), r"seven\.png: holds the label 7; use 1 femur"),
        (
            save(tmp_path / "small.png", labels()[:30]),
            r"small\.png: has 30 × 30 pixels, but its film 40 × 30",
        ),
        (tmp_path / "broken.png", r"broken\.png: is not a mask that can be read"),
        (tmp_path / "colour.png", r"colour\.png: is in colour"),
        (tmp_path / "lossy.jpg", r"lossy\.jpg: is not a mask that can be read"),
        (tmp_path / "absent.png", r"absent\.png: does not exist"),
        (
            save(tmp_path / "deep.nrrd", np.stack([labels()] * 3)),
            r"deep\.nrrd: is of the shape \(3, 40, 30\)",
        ),
        ({Bone.FEMUR: save(tmp_path / "ramp.png", ramp)}, r"ramp\.png: holds 30 values"),
    ]
    for files, sentence in cases:
        with pytest.raises(InputFileError, match=sentence):
            read_masks(files, film())
    (tmp_path / "none").mkdir()
    with pytest.raises(InputFileError, match=r"none: holds no mask; name them femur\.png"):
        mask_files_in(tmp_path / "none")
    with pytest.raises(InputFileError, match="does not exist"):
        mask_files_in(tmp_path / "absent.png")


def test_a_film_of_another_view_keeps_its_masks_as_they_are_shown(tmp_path: Path) -> None:
    """Where the header's directions are of another view, the film is taken as it is shown."""
    drawn = labels()
    lateral = replace(film(), orientation=Sourced(("P", "F"), Origin.ASSUMED))
    found = read_masks(save(tmp_path / "labels.png", drawn), lateral)
    assert np.array_equal(found[Bone.TIBIA].mask, drawn == Bone.TIBIA)
