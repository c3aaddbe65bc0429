from __future__ import annotations

import pytest
from pydicom.sr.codedict import codes

from XRayTo3DLib.anatomy.bones import BACKGROUND, CLASS_COUNT, Bone


def test_label_values_are_those_of_every_file_written_so_far():
    assert {bone.key: int(bone) for bone in Bone} == {
        "femur": 1,
        "tibia": 2,
        "patella": 3,
        "fibula": 4,
    }


def test_labels_with_the_background_are_the_classes_of_a_network():
    assert sorted([BACKGROUND, *Bone]) == list(range(CLASS_COUNT))


@pytest.mark.parametrize("bone", Bone)
def test_snomed_code_is_the_one_pydicom_lists(bone: Bone):
    code = getattr(codes.SCT, bone.title)
    assert (bone.style.snomed_code, bone.style.snomed_meaning) == (code.value, code.meaning)


@pytest.mark.parametrize(
    ("bone", "channels"),
    [
        (Bone.FEMUR, {"red"}),
        (Bone.TIBIA, {"blue"}),
        (Bone.PATELLA, {"green"}),
        (Bone.FIBULA, {"red", "green"}),
    ],
)
def test_colour_is_the_one_of_the_paper(bone: Bone, channels: set[str]):
    rgb = dict(zip(("red", "green", "blue"), bone.style.rgb, strict=True))
    assert all(0 <= value <= 1 for value in rgb.values())
    strong = {name for name, value in rgb.items() if value > 0.6}
    assert strong == channels
