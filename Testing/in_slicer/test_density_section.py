"""The section "Density (research)": its description, and what its widgets do to a real scene."""

from __future__ import annotations

import importlib
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, get_args, get_type_hints

import pytest
import slicer
import torch
from panel_stand_ins import MODULE, Choice, WithinRange, module_file
from test_panel_ui import INTERACTIVE, text_of

from XRayTo3DLib.slicer.density_nodes import densities_in
from XRayTo3DLib.slicer.density_rendering import Preset, preset_of
from XRayTo3DLib.slicer.layout import FREE
from XRayTo3DLib.slicer.nodes import nodes_of
from XRayTo3DLib.slicer.rerendered import rerendered_in
from XRayTo3DLib.slicer.work import load_samples
from XRayTo3DLib.tomography.density_network import DensityNetwork, DensityNetworkSettings
from XRayTo3DLib.tomography.density_weights import save_density_weights

UI = MODULE.parent / "Resources" / "UI" / "XRayTo3DDensity.ui"
CODE = MODULE.parent / "XRayTo3DPanel" / "density_section.py"


@pytest.fixture(scope="module")
def section_file() -> Iterator[ModuleType]:
    with module_file():
        yield importlib.import_module("XRayTo3DPanel.density_section")


@pytest.fixture(scope="module")
def widgets() -> dict[str, ElementTree.Element]:
    found = list(ElementTree.parse(UI).getroot().iter("widget"))
    names = [widget.get("name") for widget in found]
    assert len(set(names)) == len(names)
    return dict(zip(names, found, strict=True))


def usable(widgets: dict[str, ElementTree.Element]) -> list[str]:
    return [name for name, widget in widgets.items() if widget.get("class") in INTERACTIVE]


def test_no_name_is_used_in_both_descriptions(widgets: dict) -> None:
    panel = ElementTree.parse(MODULE.parent / "Resources" / "UI" / "XRayTo3D.ui").getroot()
    others = {widget.get("name") for widget in panel.iter("widget")}
    assert not others & set(widgets)


def test_every_widget_that_the_code_names_exists(section_file: ModuleType, widgets: dict) -> None:
    named = set(re.findall(r"\bui\.(\w+)", CODE.read_text(encoding="utf-8")))
    assert len(named) >= 6
    assert not named - set(widgets)
    assert not set(section_file.SHOWN) - set(widgets)


def test_every_bound_parameter_suits_its_widget(section_file: ModuleType, widgets: dict) -> None:
    kind = section_file.DensityParameterNode
    hints, defaults = get_type_hints(kind, include_extras=True), vars(kind)
    bound = {
        text_of(widget, "SlicerParameterName"): widget
        for widget in widgets.values()
        if text_of(widget, "SlicerParameterName")
    }
    assert set(bound) == set(hints) - {"densityWeights"}
    for name, widget in bound.items():
        extras = get_args(hints[name])[1:]
        if widget.get("class") == "QComboBox":
            (choice,) = (extra for extra in extras if isinstance(extra, Choice))
            items = [text_of(item, "text") for item in widget.findall("item")]
            assert items == choice.choices
            assert defaults[name] in items
        elif widget.get("class") == "ctkSliderWidget":
            (limits,) = (extra for extra in extras if isinstance(extra, WithinRange))
            ends = [float(text_of(widget, end)) for end in ("minimum", "value", "maximum")]
            assert ends == [limits.minimum, defaults[name], limits.maximum]
        else:
            assert (widget.get("class"), hints[name]) == ("QCheckBox", bool)


def test_widgets_say_what_they_do_and_come_in_order(widgets: dict) -> None:
    for name in usable(widgets):
        assert len(text_of(widgets[name], "toolTip") or "") > 8, name
    stops = [stop.text for stop in ElementTree.parse(UI).getroot().iter("tabstop")]
    assert stops == usable(widgets)
    buddies = {text_of(widget, "buddy") for widget in widgets.values()} - {None}
    assert buddies and not buddies - set(widgets)


class Widget:
    """A widget as far as the section uses it."""

    def __init__(self) -> None:
        self.enabled, self.text, self.toolTip, self.currentPath = False, "", "", ""
        self.pressed: Callable[..., None] = lambda *_: None

    def connect(self, _signal: str, then: Callable[..., None]) -> None:
        self.pressed = then


class Parameters:
    """A parameter node as the wrapper makes it; a change tells of itself."""

    def __init__(self, node: Any, defaults: dict[str, Any]) -> None:
        self.__dict__.update(defaults, _node=node)

    def connectGui(self, _ui: object) -> int:  # noqa: N802 - Slicer's own name
        return 1

    def disconnectGui(self, _tag: int) -> None:  # noqa: N802
        pass

    def __setattr__(self, name: str, value: Any) -> None:
        self.__dict__[name] = value
        self._node.Modified()


class Desktop:
    """The section in a window that handles what waits when it is told to."""

    def __init__(self, file: ModuleType, scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.films: tuple[Any, Any] = (None, None)
        self.said: list[str] = []
        self.waiting: list[Callable[[], None]] = []
        names = {widget.get("name") for widget in ElementTree.parse(UI).getroot().iter("widget")}
        self.ui = SimpleNamespace(**{name: Widget() for name in names})
        defaults = {
            name: value for name, value in vars(file.DensityParameterNode).items() if name[0] != "_"
        }
        timer = SimpleNamespace(singleShot=lambda _ms, then: self.waiting.append(then))
        monkeypatch.setattr(file, "qt", SimpleNamespace(QTimer=timer))
        monkeypatch.setattr(file, "DensityParameterNode", lambda node: Parameters(node, defaults))
        monkeypatch.setattr(slicer.util, "loadUI", lambda path: Path(path), raising=False)
        monkeypatch.setattr(
            slicer.util, "childWidgetVariables", lambda _widget: self.ui, raising=False
        )
        manager = SimpleNamespace(layoutManager=lambda: None)
        monkeypatch.setattr(slicer, "app", manager, raising=False)
        self.cancelled = False
        self.section = file.DensitySection(
            file.Host(
                films=lambda: self.films,
                device=lambda: "cpu",
                sentences=self.sentences,
                start=lambda: self.section.refresh(True),
                end=lambda: self.section.refresh(False),
                pump=lambda stage, fraction: None,
                cancelled=lambda: self.cancelled,
                cancel=lambda: setattr(self, "cancelled", True),
            )
        )
        self.node = scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")
        self.section.follow(self.node)

    @contextmanager
    def sentences(self) -> Iterator[None]:
        from XRayTo3DLib.errors import XRayTo3DError

        try:
            yield
        except XRayTo3DError as error:
            self.said.append(str(error))

    @property
    def parameters(self) -> Any:
        return self.section._parameters

    def idle(self) -> int:
        now, self.waiting = self.waiting, []
        for then in now:
            then()
        return len(now)


@pytest.fixture
def desktop(
    section_file: ModuleType, scene: slicer.vtkMRMLScene, monkeypatch: pytest.MonkeyPatch
) -> Desktop:
    return Desktop(section_file, scene, monkeypatch)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    settings = DensityNetworkSettings(size=16, base=2, levels=2, film_base=2, film_features=2)
    path = tmp_path_factory.mktemp("weights") / "untrained.safetensors"
    save_density_weights(DensityNetwork(settings), path, {})
    return path


def test_estimate_says_why_it_cannot_work(
    desktop: Desktop, scene: slicer.vtkMRMLScene, weights: Path, tmp_path: Path
) -> None:
    button = desktop.ui.densityEstimateButton
    assert not button.enabled
    assert "AP film" in button.toolTip
    desktop.films = (load_samples(scene)[0], None)
    desktop.parameters.densityFilms = "AP film alone"
    desktop.ui.densityWeightsPathLineEdit.pressed(str(tmp_path / "none.safetensors"))
    assert not button.enabled
    assert "none.safetensors" in desktop.ui.densityStageLabel.text
    desktop.ui.densityWeightsPathLineEdit.pressed(str(weights))
    assert button.enabled
    desktop.section.refresh(True)
    assert not button.enabled
    assert not desktop.ui.densitySaveButton.enabled
    desktop.section.follow(None)
    assert not button.enabled


def test_from_a_film_to_a_saved_density(
    desktop: Desktop, scene: slicer.vtkMRMLScene, weights: Path, tmp_path: Path
) -> None:
    desktop.films = load_samples(scene)
    desktop.parameters.densityFilms = "AP film alone"
    desktop.parameters.densityWeights = str(weights)
    desktop.ui.densityEstimateButton.pressed(True)
    assert desktop.said == []
    (density,) = densities_in(scene)
    assert density.films == desktop.films[:1]
    assert "untrained" in desktop.ui.densityFactsLabel.text
    assert desktop.ui.densityTurnSlider.enabled
    assert desktop.idle() == 1  # the first picture
    picture = rerendered_in(scene)
    pixels = slicer.util.arrayFromVolume(picture).copy()

    for turn in range(1, 41):
        desktop.parameters.densityTurn = float(turn)
    assert len(desktop.waiting) == 1  # sliding never queues up
    desktop.idle()
    assert (slicer.util.arrayFromVolume(picture) != pixels).any()
    desktop.parameters.densityPreset = "Bone"
    assert preset_of(density.rendering) is Preset.BONE
    desktop.parameters.densityUncertainty = True
    composites = nodes_of(scene, "vtkMRMLSliceCompositeNode")
    (free,) = (node for node in composites if node.GetLayoutName() == FREE)
    assert free.GetForegroundVolumeID() == density.deviation.GetID()
    assert desktop.waiting == []  # the viewpoint is as it was
    desktop.parameters.densityStereo = True
    desktop.idle()
    assert picture.GetImageData().GetDimensions() == (520, 256, 1)

    desktop.section.save(tmp_path / "density.nrrd")
    assert "density.nrrd" in desktop.ui.densityStageLabel.text
    written = (tmp_path / "density.nrrd").read_bytes()
    asked: list[str] = []
    slicer.util.confirmOkCancelDisplay, before = asked.append, slicer.util.confirmOkCancelDisplay
    try:
        desktop.section.save(tmp_path / "density.nrrd")
    finally:
        slicer.util.confirmOkCancelDisplay = before
    assert len(asked) == 1
    assert (tmp_path / "density.nrrd").read_bytes() == written


def test_cancel_leaves_the_scene_as_it_was(
    desktop: Desktop, scene: slicer.vtkMRMLScene, weights: Path
) -> None:
    desktop.films = load_samples(scene)
    desktop.parameters.densityWeights = str(weights)
    before = scene.GetNumberOfNodes()
    desktop.ui.densityCancelButton.pressed(True)
    desktop.ui.densityEstimateButton.pressed(True)
    assert scene.GetNumberOfNodes() == before
    assert "Cancelled" in desktop.ui.densityStageLabel.text
    assert desktop.ui.densityEstimateButton.enabled
