"""What a translation is worth: who is measured, which ways there are, what a network sees."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.evaluation.style_evaluation import evaluate_style, shift_table, translations
from XRayTo3DLib.imaging.geometry import BiplanarGeometry, view_geometry
from XRayTo3DLib.imaging.radiograph import Side, View
from XRayTo3DLib.reconstruction.networks import NetworkSettings
from XRayTo3DLib.reconstruction.seeing import RightKnee
from XRayTo3DLib.style.outline_shift import OutlineShift
from XRayTo3DLib.style.style_weights import StyleModel, new_generator


def style(method: str = "curves", **card: object) -> StyleModel:
    generator = new_generator(method).eval()
    return StyleModel(
        generator, torch.linspace(0, 1, 129), method, "weights", "abcdef12", "none", card
    )


def test_ways_are_named_by_their_method() -> None:
    again = replace(style(), sha256="123456789")
    ways = translations([style(), style("cyclegan"), again])
    assert list(ways) == ["none", "histogram", "curves", "cyclegan", "curves 123456"]
    film = torch.rand(256, 256)
    assert torch.equal(ways["none"](film), film)
    assert list(translations([])) == ["none"]


def test_a_network_sees_translated_films() -> None:
    frontal, lateral = (
        view_geometry(view, Side.RIGHT, sid=1100, sod=1000, spacing=(0.5, 0.5), shape=(400, 400))
        for view in (View.AP, View.LATERAL)
    )
    rng = np.random.default_rng(0)
    pictures = (rng.random((400, 400)), rng.random((400, 400)))
    geometry, settings = BiplanarGeometry(frontal, lateral), NetworkSettings()
    plain, matrices = RightKnee(pictures, geometry, settings).inputs()
    styled, same = RightKnee(pictures, geometry, settings, lambda film: film**2).inputs()
    assert torch.allclose(styled, plain**2)
    assert torch.equal(same, matrices)


def test_the_table_of_shifts() -> None:
    shifts = np.array([0.1, -0.3, np.nan, 0.2])
    table = shift_table({"curves": OutlineShift.of(shifts)})
    assert table.splitlines()[-1] == "| curves | 0.200 | 0.29 | +0.000 | 25.0 % | 4 |"


def test_knees_without_all_bones_are_refused(tmp_path: Path) -> None:
    with pytest.raises(XRayTo3DError, match="has a knee with all four bones"):
        evaluate_style([], [], [], tmp_path / "result")
    assert not (tmp_path / "result").exists()
