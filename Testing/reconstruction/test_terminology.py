"""The codes of a segment, against pydicom's copy of DICOM's context groups and of SNOMED CT."""

from __future__ import annotations

import pytest
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.imaging.radiograph import Side
from XRayTo3DLib.reconstruction.segmentation_file import terminology_entry


def serialised(code: Code) -> str:
    """As 3D Slicer writes a code."""
    return f"{code.scheme_designator}^{code.value}^{code.meaning}"


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("bone", Bone)
def test_bone_and_side_are_those_of_dicom(bone: Bone, side: Side) -> None:
    """CID 8134, Anatomic Structure, holds all four bones; CID 244 is Laterality."""
    _, _, kind, modifier, *_ = terminology_entry(bone, side).split("~")
    assert kind == serialised(getattr(codes.cid8134, bone.title))
    assert modifier == serialised(getattr(codes.cid244, side.value.capitalize()))


def test_category_is_the_body_structure_of_snomed() -> None:
    """3D Slicer calls it "Anatomical Structure"; SNOMED CT, "Body structure (body structure)"."""
    category = terminology_entry(Bone.FEMUR, Side.LEFT).split("~")[1]
    assert category == f"SCT^{codes.SCT.BodyStructure.value}^Anatomical Structure"
