"""Sentences of the library, which name options of the command line, in the panel's words."""

from __future__ import annotations

_IN_THE_PANEL = {
    "say --side left or --side right": "choose the side",
    "or say --side if a header is wrong": "or choose the side if a header is wrong",
    "say --flip-ap if it is mirrored": "press Mirror if it is mirrored",
    "say --flip-lateral if it is mirrored": "press Mirror if it is mirrored",
    "--no-check-films leaves the film as it was": "the facts under the film can be changed back",
    "or say --accept-any-film": "or tick Accept any film",
    "say --inverted or --no-inverted": "change Bone in the file",
    "give the AP film first, then the lateral, or say --no-check-films": (
        "untick Check the films and press Swap films"
    ),
    "say --no-search if it leant as the film shows it": (
        "untick Find the joint on the films if it leant as the film shows it"
    ),
    "or do without --refine": "or choose Never at Fit to the films",
    "say --no-refine": "choose Never at Fit to the films",
    "Give the pixel of the joint yourself": "Press Find the knee and move the box",
    "give the pixel yourself": "move the box of Find the knee",
    "--inverted": "Bone in the file",
    "--spacing": "Pixel spacing",
    "--side": "Side",
    "--flip-ap": "Mirror",
    "--flip-lateral": "Mirror",
    "--ap-dark": "Bone in the file",
    "--ap-bright": "Bone in the file",
    "--lateral-dark": "Bone in the file",
    "--lateral-bright": "Bone in the file",
    "--sid": "SID",
    "--sod": "SOD",
    "--weights": "Weights",
}


def in_panel_words(sentence: str) -> str:
    """The sentence with names of the panel's controls in place of options."""
    for option, control in _IN_THE_PANEL.items():
        sentence = sentence.replace(option, control)
    return sentence
