"""Telling two knees of one scan apart, where the files do not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from XRayTo3DLib.anatomy.bones import Bone

_SPECK = 0.02
"""Share of a bone's largest part below which another part is an error of the segmentation."""

_LEG_TO_LEG = 70.0
"""mm to the side by which two parts of one kind of bone belong to two legs; a knee is wider."""


@dataclass(frozen=True)
class _Part:
    """A connected part of a mask: its number, its middle in RAS mm, and its voxels."""

    number: int
    middle: np.ndarray
    size: int


def separate_knees(
    masks: Mapping[str, Mapping[Bone, sitk.Image]],
) -> dict[str, dict[Bone, sitk.Image]]:
    """Give every bone that is not said to be left or right to the leg in which it lies.

    TotalSegmentator, for one, names two femora but has both tibiae in one mask.

    Args:
        masks: binary masks under ``"left"``, ``"right"`` and ``""`` (not said).

    Returns:
        the masks, cropped and freed of specks: under ``""`` when there is but one leg whose side
        is not said, else under its side. The leg further to the patient's right is the right one.
    """
    sided = {said: dict(masks[said]) for said in ("left", "right") if masks.get(said)}
    loose = masks.get("", {})
    parts = {bone: _parts(mask) for bone, mask in loose.items()}
    middle = _between_legs(sided, parts)
    legs: dict[str, dict[Bone, sitk.Image]] = {
        said: {bone: _only(*_parts(mask)) for bone, mask in bones.items()}
        for said, bones in sided.items()
    }
    for bone, (numbered, found) in parts.items():
        for said in _legs_of_loose(sided, middle):
            kept = [part for part in found if middle is None or _side(part, middle) == said]
            if kept:
                legs.setdefault(said, {}).setdefault(bone, _only(numbered, kept))
    return legs


def centre_of(mask: sitk.Image) -> np.ndarray:
    """Middle of a mask, RAS mm."""
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.Execute(sitk.Cast(mask != 0, sitk.sitkUInt8))
    return np.array(shape.GetCentroid(1)) * (-1.0, -1.0, 1.0)


def _legs_of_loose(sided: Mapping[str, object], middle: float | None) -> list[str]:
    if middle is not None:
        return ["left", "right"]
    return list(sided) or [""]


def _between_legs(
    sided: Mapping[str, Mapping[Bone, sitk.Image]],
    parts: Mapping[Bone, tuple[sitk.Image, list[_Part]]],
) -> float | None:
    """RAS x between two legs, mm; None when there is one."""
    for bone in (Bone.FEMUR, Bone.TIBIA):
        if all(bone in sided.get(said, {}) for said in ("left", "right")):
            return float(sum(centre_of(sided[said][bone])[0] for said in ("left", "right")) / 2)
        found = parts[bone][1] if bone in parts else []
        if len(found) < 2:
            continue
        left, right = (choose(found, key=lambda p: p.middle[0]) for choose in (min, max))
        apart = np.abs(right.middle - left.middle)
        if apart[0] > max(_LEG_TO_LEG, apart[2]):
            return float((left.middle[0] + right.middle[0]) / 2)
    return None


def _side(part: _Part, middle: float) -> str:
    return "right" if part.middle[0] > middle else "left"


def _parts(mask: sitk.Image) -> tuple[sitk.Image, list[_Part]]:
    """The mask, cropped, with its connected parts numbered; and those that are no specks."""
    shape = sitk.LabelShapeStatisticsImageFilter()
    binary = sitk.Cast(mask != 0, sitk.sitkUInt8)
    shape.Execute(binary)
    box = shape.GetBoundingBox(1)
    numbered = sitk.ConnectedComponent(sitk.RegionOfInterest(binary, box[3:], box[:3]), True)
    shape.Execute(numbered)
    parts = [
        _Part(
            number,
            np.array(shape.GetCentroid(number)) * (-1.0, -1.0, 1.0),
            shape.GetNumberOfPixels(number),
        )
        for number in shape.GetLabels()
    ]
    largest = max(part.size for part in parts)
    return numbered, [part for part in parts if part.size >= _SPECK * largest]


def _only(numbered: sitk.Image, parts: list[_Part]) -> sitk.Image:
    """Binary mask of some parts."""
    kept = np.isin(sitk.GetArrayViewFromImage(numbered), [part.number for part in parts])
    mask = sitk.GetImageFromArray(kept.astype(np.uint8))
    mask.CopyInformation(numbered)
    return mask
