"""The panel's description and the code that binds it fit together."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from panel_stand_ins import MODULE, Choice, WithinRange, module_file

UI = MODULE.parent / "Resources" / "UI" / "XRayTo3D.ui"
INTERACTIVE = {
    "QPushButton",
    "QComboBox",
    "QCheckBox",
    "QDoubleSpinBox",
    "QTableWidget",
    "ctkPathLineEdit",
    "ctkSliderWidget",
    "qMRMLNodeComboBox",
    "qMRMLSegmentsTableView",
    "qMRMLSegmentEditorWidget",
}


@pytest.fixture(scope="module")
def root() -> ElementTree.Element:
    return ElementTree.parse(UI).getroot()


@pytest.fixture(scope="module")
def widgets(root: ElementTree.Element) -> dict[str, ElementTree.Element]:
    found = list(root.iter("widget"))
    names = [widget.get("name") for widget in found]
    assert len(set(names)) == len(names)
    return dict(zip(names, found, strict=True))


def text_of(widget: ElementTree.Element, name: str) -> str | None:
    for entry in widget.findall("property"):
        if entry.get("name") == name:
            return "".join(entry.itertext()).strip()
    return None


def test_every_class_is_qts_own_or_declared(root: ElementTree.Element, widgets: dict) -> None:
    declared = {entry.findtext("class") for entry in root.iter("customwidget")}
    for name, widget in widgets.items():
        kind = widget.get("class")
        assert kind.startswith("Q") or kind in declared, name


def named_in_code() -> set[str]:
    """Widgets that the code reaches, also those whose names it puts together."""
    code = MODULE.read_text(encoding="utf-8")
    names = set(re.findall(r"(?:self\.|\b)ui\.(\w+)", code)) - {"setMRMLScene"}
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name == "FilmWidgets":
            inner = ast.unparse(node)
            parts = set(re.findall(r"self\['(\w+)'\]", inner))
            parts |= set(re.findall(r"'(\w+(?:SpinBox|ComboBox|Button))'", inner))
            origins = re.search(r"facts = \{(.*?)\}", inner, re.DOTALL).group(1)
            parts |= {f"{key}OriginLabel" for key in re.findall(r"'(\w+)':", origins)}
            names |= {prefix + part for prefix in ("ap", "lateral") for part in parts}
    return names


def test_every_widget_that_the_code_names_exists(widgets: dict) -> None:
    named = named_in_code()
    assert len(named) > 50
    assert not named - set(widgets)


def test_every_button_does_something(widgets: dict) -> None:
    buttons = {name for name, widget in widgets.items() if widget.get("class") == "QPushButton"}
    assert not buttons - named_in_code()


def test_every_bound_parameter_exists_and_suits_its_widget(widgets: dict) -> None:
    with module_file() as module:
        parameters = get_type_hints(module.XRayTo3DParameterNode, include_extras=True)
        defaults = vars(module.XRayTo3DParameterNode)
    bound = {
        text_of(widget, "SlicerParameterName"): widget.get("class")
        for widget in widgets.values()
        if text_of(widget, "SlicerParameterName")
    }
    assert len(bound) >= 10
    for name, kind in bound.items():
        assert name in parameters, name
        extras = get_args(parameters[name])[1:]
        if kind == "QComboBox":
            (choice,) = (extra for extra in extras if isinstance(extra, Choice))
            assert defaults[name] in choice.choices
        elif kind == "ctkSliderWidget":
            (limits,) = (extra for extra in extras if isinstance(extra, WithinRange))
            assert limits.minimum <= defaults[name] <= limits.maximum
        elif kind == "QCheckBox":
            assert parameters[name] is bool
        else:
            assert kind == "qMRMLNodeComboBox", name
            assert parameters[name].__name__ == "vtkMRMLScalarVolumeNode"


def test_whatever_can_be_used_says_what_it_does(widgets: dict) -> None:
    for name, widget in widgets.items():
        if widget.get("class") in INTERACTIVE:
            assert len(text_of(widget, "toolTip") or "") > 8, name


def test_the_tabulator_visits_every_widget_once_in_the_order_of_the_panel(
    root: ElementTree.Element, widgets: dict
) -> None:
    stops = [stop.text for stop in root.iter("tabstop")]
    usable = [name for name, widget in widgets.items() if widget.get("class") in INTERACTIVE]
    assert stops == usable


def test_the_scene_reaches_every_widget_that_needs_it(
    root: ElementTree.Element, widgets: dict
) -> None:
    receivers = {entry.findtext("receiver") for entry in root.iter("connection")}
    wanting = {
        name
        for name, widget in widgets.items()
        if widget.get("class").startswith("qMRML") and name != "XRayTo3D"
    }
    assert receivers == wanting


def test_buddies_exist(widgets: dict) -> None:
    buddies = {text_of(widget, "buddy") for widget in widgets.values()} - {None}
    assert buddies
    assert not buddies - set(widgets)


def test_the_module_opens_where_only_slicers_own_packages_are() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import slicer\n"
        "absent = 'torch skimage matplotlib safetensors typer rich'.split()\n"
        "sys.modules.update(dict.fromkeys(absent))\n"
        "from panel_stand_ins import module_file\n"
        "with module_file(): pass"
    )
    folder = str(Path(__file__).parent)
    done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_panel_can_be_drawn_and_nothing_is_cut_off(tmp_path: Path) -> None:
    pytest.importorskip("PySide6.QtWidgets", exc_type=ImportError)
    script = Path(__file__).with_name("draw_panel.py")
    picture = tmp_path / "panel.png"
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    done = subprocess.run(
        [sys.executable, str(script), str(picture)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    import numpy as np
    from PIL import Image

    pixels = np.asarray(Image.open(picture).convert("L"))
    assert pixels.shape[1] == 560
    assert pixels.shape[0] > 1000
    # Text, frames and buttons everywhere: no stretch of 150 rows is empty.
    busy = pixels.std(axis=1) > 1.0
    quiet = np.diff(np.flatnonzero(np.concatenate([[True], busy, [True]])))
    assert quiet.max() < 150
