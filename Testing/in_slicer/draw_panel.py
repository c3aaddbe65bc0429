"""The panel as Qt lays it out, drawn off screen with plain stand-ins for Slicer's own widgets.

Run as a script, it writes the picture of the documentation:
``QT_QPA_PLATFORM=offscreen python Testing/in_slicer/draw_panel.py Resources/Screenshots/panel.png``
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import get_type_hints

from panel_stand_ins import Choice, module_file
from PySide6.QtCore import QFile, QSize, Qt
from PySide6.QtGui import QPixmap
from PySide6.QtUiTools import QUiLoader
from PySide6.QtWidgets import (
    QApplication,
    QComboBox,
    QDoubleSpinBox,
    QGroupBox,
    QLabel,
    QLineEdit,
    QSlider,
    QVBoxLayout,
    QWidget,
)

from XRayTo3DLib.imaging.radiograph import View
from XRayTo3DLib.imaging.reading import read_radiograph
from XRayTo3DLib.resources import resource_path
from XRayTo3DLib.slicer.panel_texts import origin_text
from XRayTo3DLib.slicer.sample_films import SAMPLES

UI = Path(__file__).resolve().parents[2] / "XRayTo3D" / "Resources" / "UI" / "XRayTo3D.ui"
WIDTH = 560


class Loader(QUiLoader):
    """Makes something of the same size and look in place of what only Slicer has."""

    def createWidget(self, class_name, parent=None, name=""):  # noqa: N802 - Qt's name
        widget = _stand_in(class_name, parent)
        if widget is None:
            return super().createWidget(class_name, parent, name)
        widget.setObjectName(name)
        return widget


def _stand_in(class_name: str, parent: QWidget) -> QWidget | None:
    if class_name == "qMRMLWidget":
        return QWidget(parent)
    if class_name == "ctkCollapsibleButton":
        return QGroupBox(parent)
    if class_name == "qMRMLNodeComboBox":
        return QComboBox(parent)
    if class_name == "ctkPathLineEdit":
        return QLineEdit(parent)
    if class_name == "ctkSliderWidget":
        return QSlider(Qt.Orientation.Horizontal, parent)
    if class_name in ("qMRMLSegmentsTableView", "qMRMLSegmentEditorWidget"):
        box = QLabel(f"({class_name})", parent)
        box.setMinimumSize(QSize(200, 90))
        box.setAlignment(Qt.AlignmentFlag.AlignCenter)
        box.setStyleSheet("border: 1px solid #999; color: #555;")
        return box
    return None


def load_panel() -> QWidget:
    """The panel; needs a ``QApplication``."""
    file = QFile(str(UI))
    file.open(QFile.OpenModeFlag.ReadOnly)
    panel = Loader().load(file)
    for group in panel.findChildren(QGroupBox):
        group.setTitle(str(group.property("text") or group.title()))
    return panel


def offer_choices(panel: QWidget) -> None:
    """Fill the combo boxes of parameters as Slicer does, with the default chosen."""
    with module_file() as module:
        parameters = get_type_hints(module.XRayTo3DParameterNode, include_extras=True)
        defaults = dict(vars(module.XRayTo3DParameterNode))
    for box in panel.findChildren(QComboBox):
        name = box.property("SlicerParameterName")
        for extra in getattr(parameters.get(name), "__metadata__", ()):
            if isinstance(extra, Choice):
                box.clear()
                box.addItems(extra.choices)
                box.setCurrentText(defaults[name])


def fill(panel: QWidget) -> None:
    """What the panel shows of the sample radiographs once they are loaded."""
    for prefix, view in (("ap", View.AP), ("lateral", View.LATERAL)):
        film = read_radiograph(resource_path("SampleData", SAMPLES[view]), fallback_view=view)
        panel.findChild(QComboBox, f"{prefix}FilmSelector").addItem(f"{view.value} film")
        shown = {"Spacing": film.spacing.value[0], "Sid": film.sid.value, "Sod": film.sod.value}
        for name, value in shown.items():
            panel.findChild(QDoubleSpinBox, f"{prefix}{name}SpinBox").setValue(value)
        for name, fact in {
            "View": film.view,
            "Spacing": film.spacing,
            "Sid": film.sid,
            "Sod": film.sod,
            "Polarity": film.inverted,
            "Mirror": film.orientation,
        }.items():
            panel.findChild(QLabel, f"{prefix}{name}OriginLabel").setText(origin_text(fact))
        panel.findChild(QComboBox, "sideComboBox").setCurrentText(film.side.value.value)
        panel.findChild(QLabel, "sideOriginLabel").setText(origin_text(film.side))


def draw(path: Path) -> QPixmap:
    """Draw the panel into a PNG."""
    app = QApplication.instance() or QApplication(sys.argv[:1])
    panel = load_panel()
    offer_choices(panel)
    fill(panel)
    panel.setFixedWidth(WIDTH)
    layout = panel.layout()
    assert isinstance(layout, QVBoxLayout)
    panel.resize(WIDTH, layout.totalSizeHint().height())
    panel.show()
    app.processEvents()
    picture = panel.grab()
    picture.save(str(path))
    return picture


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
