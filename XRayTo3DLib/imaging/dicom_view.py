"""Which view and which knee a DICOM header says it is."""

from __future__ import annotations

import re
from pathlib import Path

from pydicom.dataset import Dataset

from XRayTo3DLib.imaging.dicom_values import items_of, text_of, texts_of
from XRayTo3DLib.imaging.orientation import Orientation, parse_orientation, shows_lateral
from XRayTo3DLib.imaging.radiograph import Origin, Side, Sourced, View

# View Position (0018,5101), PS3.3 C.8.7.2 and C.8.11.5, and what machines write besides.
_POSITIONS = {
    View.AP: ("AP", "ANTEROPOSTERIOR", "FRONTAL"),
    View.PA: ("PA", "POSTEROANTERIOR"),
    View.LATERAL: (
        *("LL", "RL", "LLO", "RLO", "LAT", "LATERAL", "ML", "LM", "LLAT", "RLAT"),
        *("MEDIOLATERAL", "LATEROMEDIAL", "MEDIALLATERAL", "LATERALMEDIAL", "SAGITTAL"),
    ),
}
# CID 4010 "DX View": SNOMED CT, and the same in SNOMED-RT style as older files have it.
_CODES = {
    "399348003": View.AP,
    "R-10206": View.AP,
    "399033003": View.AP,
    "R-10202": View.AP,
    "272479007": View.PA,
    "R-40888": View.PA,
    "399067008": View.LATERAL,
    "R-102CD": View.LATERAL,
    "399173006": View.LATERAL,
    "R-10236": View.LATERAL,
    "399198007": View.LATERAL,
    "R-10232": View.LATERAL,
    "399260004": View.LATERAL,
    "R-10224": View.LATERAL,
    "399352003": View.LATERAL,
    "R-10228": View.LATERAL,
    "30730003": View.LATERAL,
    "G-A145": View.LATERAL,
}
_SIDE_CODES = {
    "24028007": Side.RIGHT,
    "G-A100": Side.RIGHT,
    "7771000": Side.LEFT,
    "G-A101": Side.LEFT,
}
_SIDES = {"R": Side.RIGHT, "L": Side.LEFT, "RIGHT": Side.RIGHT, "LEFT": Side.LEFT}
_LATEROMEDIAL = ("LM", "LATEROMEDIAL", "LATERALMEDIAL")
_OBLIQUE = ("LLO", "RLO")
_DESCRIPTIONS = ("SeriesDescription", "ProtocolName", "AcquisitionDeviceProcessingDescription")
_WORDS: tuple[tuple[View, str], ...] = (
    (View.LATERAL, r"LAT|LATERAL|ML|LM|LATERALE"),
    (View.PA, r"PA|P\.A\."),
    (View.AP, r"AP|A\.P\.|FRONTAL"),
)
_SIDE_WORDS: tuple[tuple[Side, str], ...] = (
    (Side.LEFT, r"LEFT|LT|L"),
    (Side.RIGHT, r"RIGHT|RT|R"),
)


def stated_view(dataset: Dataset, path: Path) -> tuple[Sourced[View] | None, tuple[str, ...]]:
    """The view, from the surest attribute to the weakest, and warnings.

    View Position, View Code Sequence, the directions of Patient Orientation, and as an assumption
    the words of the description.
    """
    position = re.sub(r"[^A-Z]", "", text_of(dataset, "ViewPosition"))
    for view, names in _POSITIONS.items():
        if position in names:
            note = f"ViewPosition (0018,5101) {position}"
            return Sourced(view, Origin.HEADER, note), _unlike_a_lateral(position, path)
    warnings: tuple[str, ...] = ()
    if position:
        warnings = (
            f"{path.name}: its ViewPosition is neither frontal nor lateral; a reconstruction needs "
            "an AP (or PA) and a lateral film.",
        )
    for item in items_of(dataset, "ViewCodeSequence"):
        view_of_code = _CODES.get(text_of(item, "CodeValue"))
        if view_of_code is not None:
            note = f"ViewCodeSequence (0054,0220) {text_of(item, 'CodeValue')}"
            return Sourced(view_of_code, Origin.HEADER, note), warnings
    view_of_rows = _view_of_directions(stated_orientation(dataset))
    if view_of_rows is not None:
        return view_of_rows, warnings
    return _described(dataset, _WORDS), warnings


def _unlike_a_lateral(position: str, path: Path) -> tuple[str, ...]:
    if position in _LATEROMEDIAL:
        return (
            f"{path.name}: the beam entered at the outer side (ViewPosition {position}); it is "
            "treated as a mediolateral film, which misplaces the bones a little.",
        )
    if position in _OBLIQUE:
        return (
            f"{path.name}: ViewPosition {position} is an oblique film; it is treated as a true "
            "lateral: check the angle between the films.",
        )
    return ()


def _view_of_directions(orientation: Sourced[Orientation] | None) -> Sourced[View] | None:
    if orientation is None:
        return None
    lateral = shows_lateral(orientation.value)
    if lateral is None:
        return None
    return Sourced(View.LATERAL if lateral else View.AP, Origin.HEADER, orientation.note)


def stated_side(dataset: Dataset, path: Path) -> tuple[Sourced[Side] | None, tuple[str, ...]]:
    """Left or right, from the surest attribute to the weakest, and warnings."""
    both: tuple[str, ...] = ()
    for keyword, tag, text in _lateralities(dataset):
        if text in _SIDES:
            return Sourced(_SIDES[text], Origin.HEADER, f"{keyword} {tag} {text}"), both
        if text == "B":
            both = (
                f"{path.name}: {keyword} {tag} says that both legs are shown; crop the film to one "
                "knee and say which with --side.",
            )
    for item in items_of(dataset, "AnatomicRegionSequence"):
        for modifier in items_of(item, "AnatomicRegionModifierSequence"):
            side = _SIDE_CODES.get(text_of(modifier, "CodeValue"))
            if side is not None:
                note = "AnatomicRegionModifierSequence (0008,2220)"
                return Sourced(side, Origin.HEADER, note), both
    position = text_of(dataset, "ViewPosition")
    if position in ("LL", "RL"):
        note = f"ViewPosition (0018,5101) {position}, the side at the detector"
        return Sourced(_SIDES[position[0]], Origin.ASSUMED, note), both
    return _described(dataset, _SIDE_WORDS), both


def _lateralities(dataset: Dataset) -> list[tuple[str, str, str]]:
    holders = [dataset]
    for shared in items_of(dataset, "SharedFunctionalGroupsSequence"):
        holders.extend(items_of(shared, "FrameAnatomySequence"))
    return [
        (keyword, tag, text_of(holder, keyword))
        for keyword, tag in (
            ("ImageLaterality", "(0020,0062)"),
            ("FrameLaterality", "(0020,9072)"),
            ("Laterality", "(0020,0060)"),
        )
        for holder in holders
    ]


def stated_orientation(dataset: Dataset) -> Sourced[Orientation] | None:
    """The directions of Patient Orientation, or None where it is absent or senseless."""
    texts = texts_of(dataset, "PatientOrientation")
    orientation = parse_orientation(texts)
    if orientation is None:
        return None
    note = "PatientOrientation (0020,0020) " + "\\".join(texts)
    return Sourced(orientation, Origin.HEADER, note)


def _described(dataset: Dataset, words: tuple) -> Sourced | None:
    for keyword in _DESCRIPTIONS:
        text = text_of(dataset, keyword)
        found = [
            value for value, names in words if re.search(rf"(?<![A-Z])({names})(?![A-Z])", text)
        ]
        if len(found) == 1:
            return Sourced(found[0], Origin.ASSUMED, f"a word of {keyword}")
    return None
