"""Sentences of the library, which name options of the command line, in the panel's words."""

from __future__ import annotations

_IN_THE_PANEL = {
    "say --side left or --side right": "choose the side",
    "or say --side if a header is wrong": "or choose the side if a header is wrong",
    "say --flip if it is mirrored": "press Mirror if it is mirrored",
    "say --inverted or --no-inverted": "change Bone in the file",
    "--inverted": "Bone in the file",
    "--spacing": "Pixel spacing",
    "--side": "Side",
    "--flip": "Mirror",
    "--sid": "SID",
    "--sod": "SOD",
    "--weights": "Weights",
}


def in_panel_words(sentence: str) -> str:
    """The sentence with names of the panel's controls in place of options."""
    for option, control in _IN_THE_PANEL.items():
        sentence = sentence.replace(option, control)
    return sentence
