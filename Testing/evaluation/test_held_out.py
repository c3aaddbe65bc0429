"""Who must not be measured."""

from __future__ import annotations

import pytest

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.evaluation.held_out import check_held_out


@pytest.mark.parametrize(
    "card",
    [
        {"people": ["jia", "lhdl"]},
        {"knees": ["jia_left", "femora/lhdl_right"]},
        {"radiographs": {"people": ["lhdl", "jia"]}},
        {"radiographs": {"people": ["jia"]}, "drrs": {"knees": ["femora/lhdl_right"]}},
    ],
)
def test_nobody_is_measured_who_was_learnt_from(card: dict) -> None:
    with pytest.raises(XRayTo3DError, match="The weights mine were trained on lhdl;"):
        check_held_out(["lhdl", "vhf"], [("others", {}), ("mine", card)])
    check_held_out(["vhf"], [("others", {}), ("mine", card)])


def test_weights_of_one_name_do_not_hide_each_other() -> None:
    with pytest.raises(XRayTo3DError, match="trained on lhdl;"):
        check_held_out(["lhdl"], [("weights", {"people": ["lhdl"]}), ("weights", {})])
