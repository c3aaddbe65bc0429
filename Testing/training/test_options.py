"""What ``xrayto3d train --list-settings`` shows: every setting, its default and its meaning."""

from __future__ import annotations

import sys
from dataclasses import fields, is_dataclass

import pytest

from XRayTo3DLib import cli
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.reconstruction.networks import NetworkSettings
from XRayTo3DLib.training.options import setting_names, settings_from
from XRayTo3DLib.training.settings import TrainingSettings

FIELDS = [
    *(f.name for f in fields(TrainingSettings) if f.name != "network"),
    *(f"network.{f.name}" for f in fields(NetworkSettings)),
]


@pytest.fixture(scope="module")
def meanings() -> dict[str, str]:
    """What is said after each ``name=default``, in one line."""
    found: dict[str, str] = {}
    for line in setting_names():
        if line.startswith(" "):
            last = list(found)[-1]
            found[last] = f"{found[last]} {line.strip()}".strip()
        else:
            found[line] = ""
    return found


def test_every_setting_is_listed_once_in_order(meanings: dict[str, str]) -> None:
    assert [line.partition("=")[0] for line in meanings] == FIELDS
    assert is_dataclass(TrainingSettings().network)


@pytest.mark.parametrize("name", FIELDS)
def test_every_setting_has_a_meaning(meanings: dict[str, str], name: str) -> None:
    """A setting without an entry in the docstring of its class would have none."""
    (meaning,) = (text for line, text in meanings.items() if line.partition("=")[0] == name)
    assert len(meaning) > 5
    assert meaning.endswith(".")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("surface_width=2.0", "mm over which that fades."),
        ("film_ramp=1000", "0 has it whole at once."),
        ("network.film_spacing=0.68", "mm between pixels, at the isocentre."),
        ("network.lifting=encode", "``latent``: through one vector without regard to geometry"),
        ("network.silhouettes=false", "is estimated and lifted as well"),
    ],
)
def test_units_and_second_lines_are_shown(meanings: dict[str, str], line: str, said: str) -> None:
    assert said in meanings[line]


def test_what_is_listed_can_be_set(meanings: dict[str, str]) -> None:
    """Every line is a pair that ``--set`` takes, and is the default."""
    settings = settings_from("encode", [*meanings])
    assert settings == TrainingSettings()


@pytest.mark.parametrize("text", ["8", "yes", "0.5", "[]"])
def test_a_switch_is_true_or_false(text: str) -> None:
    sentence = r"^network\.silhouettes must be true or false, not "
    with pytest.raises(XRayTo3DError, match=sentence):
        settings_from("encode", [f"network.silhouettes={text}"])


def test_the_command_shows_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["xrayto3d", "train", "--list-settings"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    shown = capsys.readouterr().out.splitlines()
    assert shown == setting_names()
    assert max(map(len, shown)) <= 96
