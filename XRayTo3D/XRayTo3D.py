"""3D Slicer module: two radiographs of a knee in, its four bones out.

What is done to the scene is in XRayTo3DLib.slicer; here are the module's description, the widget
that binds the panel to it, the logic and the self-test.
"""

import logging
import sys
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

try:
    import XRayTo3DLib  # noqa: F401 - beside this file in a built extension
except ModuleNotFoundError:  # a plain checkout, whose library is one folder up
    sys.path.append(str(Path(__file__).resolve().parents[1]))

from XRayTo3DPanel.density_section import DensitySection, Host

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.radiograph import Side, View
from XRayTo3DLib.progress import Cancelled
from XRayTo3DLib.slicer import export, layout, work
from XRayTo3DLib.slicer.correction import correct, editor_node
from XRayTo3DLib.slicer.films import film_of, is_film, restate_film
from XRayTo3DLib.slicer.found_knee import (
    find_on_films,
    follow_film,
    found_on,
    look_at_films,
)
from XRayTo3DLib.slicer.knee_nodes import KneeNodes, knees_in
from XRayTo3DLib.slicer.outlines import LiveOutlines, remove_outlines
from XRayTo3DLib.slicer.panel_texts import agreement_grade, film_warnings, origin_text
from XRayTo3DLib.slicer.readiness import Readiness, readiness
from XRayTo3DLib.slicer.segments import volumes_of
from XRayTo3DLib.slicer.styled_films import show_styled, styled_films
from XRayTo3DLib.slicer.words import in_panel_words

EFFECTS = [
    "Paint",
    "Draw",
    "Erase",
    "Scissors",
    "Islands",
    "Smoothing",
    "Margin",
    "Logical operators",
]
"""Of the segment editor, in the order in which they are offered."""

OURS = ("XRayTo3DLib", "XRayTo3DPanel")
"""Packages that are reloaded with this file."""

REFINE = {"Where the knee is bent": None, "Always": True, "Never": False}
"""Choices of where bones are fitted to the films, as the library says them."""

GRADE_COLOURS = {"good": "#b7e1b0", "fair": "#ffe08a", "poor": "#f4a9a0"}
ORIGIN_COLOURS = {"assumed": "#b05a00", "user": "#1a5fb4", "header": "#2e7d32", "found": "#6a3d9a"}


class XRayTo3D(ScriptedLoadableModule):
    """What Slicer shows of the module before it is opened."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("XRayTo3D")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Orthopedics")]
        self.parent.dependencies = []
        self.parent.contributors = ["XRayTo3D contributors"]
        self.parent.helpText = _(
            "Reconstructs femur, tibia, patella and fibula in 3D from an AP and a lateral "
            "radiograph of a knee. Not for clinical use."
        )
        self.parent.acknowledgementText = _(
            "The method follows Kasten, Doktofsky and Kovler, End-To-End Convolutional Neural "
            "Network for 3D Reconstruction of Knee Bones From Bi-Planar X-Ray Images, 2020."
        )
        slicer.app.connect("startupCompleted()", registerSampleData)


def registerSampleData() -> None:
    """Offer the sample radiographs in Slicer's Sample Data module; no network is needed."""
    import SampleData

    def load(_source: Any) -> list:
        return list(work.load_samples(slicer.mrmlScene))

    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="XRayTo3D",
        sampleName="KneeRadiographs",
        uris="",
        fileNames="",
        nodeNames="KneeRadiographs",
        customDownloader=load,
        thumbnailFileName=str(
            Path(__file__).resolve().parent / "Resources" / "Icons" / "XRayTo3D.png"
        ),
    )


@parameterNodeWrapper
class XRayTo3DParameterNode:
    """What the panel keeps in the scene.

    apFilm - frontal radiograph.
    lateralFilm - lateral radiograph.
    weights - file of weights; those shipped when empty.
    device - where the network runs.
    findJoint - whether the joint is looked for on the films.
    refineWhere - where geometry and bones are fitted to the films.
    checkFilms - whether the films are looked at first.
    acceptAny - whether what is no knee is warned of instead of refused.
    translateStyle - whether the films' style is translated.
    styleWeights - file of weights of the translation; that shipped when empty.
    showTranslated - whether translated films are laid over the films.
    opacity - of the bones in 3D.
    fill - of the bones in slices.
    outlines - whether the outlines are drawn on the films.
    surfaceFormat - of exported surfaces.
    surfaceFrame - of exported surfaces.
    segmentationFormat - of the exported segmentation.
    folder - for exported files.
    """

    apFilm: slicer.vtkMRMLScalarVolumeNode
    lateralFilm: slicer.vtkMRMLScalarVolumeNode
    weights: str = ""
    device: Annotated[str, Choice(["auto", "cpu", "cuda"])] = "auto"
    findJoint: bool = True
    refineWhere: Annotated[str, Choice(list(REFINE))] = "Where the knee is bent"
    checkFilms: bool = True
    acceptAny: bool = False
    translateStyle: bool = False
    styleWeights: str = ""
    showTranslated: bool = True
    opacity: Annotated[float, WithinRange(0.0, 1.0)] = 1.0
    fill: Annotated[float, WithinRange(0.0, 1.0)] = 0.25
    outlines: bool = True
    surfaceFormat: Annotated[str, Choice(["stl", "obj", "ply"])] = "stl"
    surfaceFrame: Annotated[str, Choice(["LPS", "RAS"])] = "LPS"
    segmentationFormat: Annotated[str, Choice([".seg.nrrd", ".nii.gz"])] = ".seg.nrrd"
    folder: str = ""


class XRayTo3DWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Binds the panel to the logic."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self._parameterNode = None
        self._parameterNodeGuiTag = None
        self._outlines = None
        self._working = False
        self._cancelRequested = False
        self._updating = False

    # Life of the panel ----------------------------------------------------------------------

    def setup(self):
        """Build the panel; Slicer calls it once."""
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/XRayTo3D.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = XRayTo3DLogic()
        self._films = {
            View.AP: FilmWidgets(self.ui, "ap"),
            View.LATERAL: FilmWidgets(self.ui, "lateral"),
        }
        self._setUpDensity(uiWidget.layout())
        self._setUpTable()
        self._setUpEditor()
        self._connect()
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndImportEvent, self.onSceneEndImport)
        self.initializeParameterNode()

    def cleanup(self):
        """Let go of the scene; Slicer calls it before the panel is destroyed."""
        self._stopOutlines()
        self._leaveEditor()
        self.removeObservers()
        self.setParameterNode(None)

    def enter(self):
        """The user comes to the module."""
        self.initializeParameterNode()
        self.ui.segmentEditorWidget.setupViewObservations()
        self.ui.segmentEditorWidget.installKeyboardShortcuts()
        self._showReadiness()

    def exit(self):
        """The user leaves the module."""
        self._leaveEditor()
        self.ui.segmentEditorWidget.uninstallKeyboardShortcuts()
        self.setParameterNode(None)

    def onReload(self):
        """Reload the library as well as this file."""
        for name in [name for name in sys.modules if name.split(".")[0] in OURS]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    def onSceneStartClose(self, caller, event):
        """The scene goes: stop whatever holds on to it."""
        self._cancelRequested = True
        self._stopOutlines()
        self._leaveEditor()
        self.ui.segmentsTable.setSegmentationNode(None)
        self.setParameterNode(None)

    def onSceneEndClose(self, caller, event):
        """The scene is empty: the panel starts anew."""
        if self.parent.isEntered:
            self.initializeParameterNode()

    def onSceneEndImport(self, caller, event):
        """A scene was opened: the panel shows what was stored in it."""
        if self.parent.isEntered:
            self.initializeParameterNode()
            self._showKnee(arrange=True)

    def initializeParameterNode(self):
        """Bind the panel to the scene's parameters, and to the knee that is in it."""
        self.setParameterNode(self.logic.getParameterNode())
        self._showKnee()

    def setParameterNode(self, parameterNode):
        """Follow a parameter node, or none."""
        if self._parameterNode:
            self._parameterNode.disconnectGui(self._parameterNodeGuiTag)
            self.removeObserver(
                self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._onParametersChanged
            )
        self._parameterNode = parameterNode
        self._parameterNodeGuiTag = None
        if parameterNode:
            self._parameterNodeGuiTag = parameterNode.connectGui(self.ui)
            self.addObserver(parameterNode, vtk.vtkCommand.ModifiedEvent, self._onParametersChanged)
            self._onParametersChanged()
        self.density.follow(parameterNode.parameterNode if parameterNode else None)

    def _setUpDensity(self, sections):
        host = Host(
            films=self._bothFilms,
            device=lambda: self._parameterNode.device,
            sentences=self._sentences,
            start=self._startWork,
            end=self._endWork,
            pump=self._pump,
            cancelled=lambda: self._cancelRequested,
            cancel=self.onCancel,
        )
        self.density = DensitySection(host)
        sections.insertWidget(sections.count() - 1, self.density.widget)

    def _connect(self):
        ui = self.ui
        for view, widgets in self._films.items():
            widgets.connect(self, view)
        ui.apViewComboBox.connect("activated(int)", lambda _index: self._onView())
        ui.sideComboBox.connect("activated(int)", lambda _index: self._onSide())
        ui.sampleButton.connect("clicked(bool)", self.onSample)
        ui.dicomButton.connect("clicked(bool)", lambda _on: slicer.util.selectModule("DICOM"))
        ui.swapButton.connect("clicked(bool)", self.onSwap)
        ui.weightsPathLineEdit.connect("currentPathChanged(QString)", self._onWeights)
        ui.styleWeightsPathLineEdit.connect("currentPathChanged(QString)", self._onStyleWeights)
        ui.folderPathLineEdit.connect("currentPathChanged(QString)", self._onFolder)
        ui.installButton.connect("clicked(bool)", self.onInstall)
        ui.findKneeButton.connect("clicked(bool)", self.onFindKnee)
        ui.applyButton.connect("clicked(bool)", self.onApplyButton)
        ui.cancelButton.connect("clicked(bool)", self.onCancel)
        ui.layoutButton.connect("clicked(bool)", lambda _on: self._arrange())
        ui.surfacesButton.connect("clicked(bool)", self.onExportSurfaces)
        ui.segmentationButton.connect("clicked(bool)", self.onExportSegmentation)
        ui.reportButton.connect("clicked(bool)", self.onExportReport)
        ui.screenshotButton.connect("clicked(bool)", self.onScreenshot)
        ui.sceneButton.connect("clicked(bool)", self.onSaveScene)
        ui.dicomSegButton.connect("clicked(bool)", self.onDicomSeg)

    # 1. Radiographs -------------------------------------------------------------------------

    def onSample(self, _on=False):
        """Load the sample radiographs and choose them."""
        with self._sentences():
            frontal, lateral = work.load_samples(slicer.mrmlScene)
            self._choose(View.AP, frontal)
            self._choose(View.LATERAL, lateral)

    def onOpenFile(self, view: View):
        """Ask for a file and read it as one of the films."""
        title = _("AP radiograph") if view is View.AP else _("Lateral radiograph")
        path = qt.QFileDialog.getOpenFileName(slicer.util.mainWindow(), title)
        if path:
            with self._sentences():
                self._choose(view, work.load_film(slicer.mrmlScene, path, view))

    def onFilmChosen(self, view: View):
        """Read a volume that was loaded by Slicer as a film, and show its facts."""
        node = self._film(view)
        if self._parameterNode is None or node is None or is_film(node):
            return
        with self._sentences():
            try:
                database = getattr(slicer, "dicomDatabase", None)
                film = work.adopt_volume(slicer.mrmlScene, node, view, database)
            except XRayTo3DError:
                self._choose(view, None)
                raise
            self._choose(view, film)

    def onSwap(self, _on=False):
        """Exchange the films."""
        if self._parameterNode.apFilm is None and self._parameterNode.lateralFilm is None:
            return
        with self._sentences():
            frontal, lateral = work.swap_films(*self._bothFilms())
            self._choose(View.AP, frontal)
            self._choose(View.LATERAL, lateral)

    def onFact(self, view: View, **said):
        """The user corrects what is known of a film."""
        node = self._film(view)
        if self._updating or not is_film(node):
            return
        with self._sentences():
            restate_film(node, **said)
        self._showFacts()

    def _onView(self):
        self.onFact(View.AP, view=View(self.ui.apViewComboBox.currentText))

    def _onSide(self):
        films = [node for node in self._bothFilms() if is_film(node)]
        with self._sentences():
            work.set_side(films, Side(self.ui.sideComboBox.currentText))
        self._showFacts()

    def _film(self, view: View):
        if self._parameterNode is None:
            return None
        return self._parameterNode.apFilm if view is View.AP else self._parameterNode.lateralFilm

    def _bothFilms(self):
        return self._film(View.AP), self._film(View.LATERAL)

    def _choose(self, view: View, node):
        if view is View.AP:
            self._parameterNode.apFilm = node
        else:
            self._parameterNode.lateralFilm = node

    def _showFacts(self):
        """Side, view, scale, polarity of the films with their origins, and what is doubtful."""
        self._updating = True
        try:
            films = {}
            for view, widgets in self._films.items():
                node = self._film(view)
                films[view] = film_of(node) if is_film(node) else None
                widgets.show(films[view])
            known = films[View.AP] or films[View.LATERAL]
            self.ui.sideComboBox.enabled = known is not None
            if known is not None:
                self.ui.sideComboBox.currentText = known.side.value.value
            showOrigin(self.ui.sideOriginLabel, known.side if known else None)
            frontal = films[View.AP]
            self.ui.apViewComboBox.enabled = frontal is not None
            if frontal is not None:
                self.ui.apViewComboBox.currentText = frontal.view.value.value
            self.ui.swapButton.enabled = known is not None
            self._showFound()
            sentences = film_warnings(films[View.AP], films[View.LATERAL])
            self.ui.filmWarningsLabel.text = "\n".join(in_panel_words(line) for line in sentences)
        finally:
            self._updating = False
        self._checkCanApply()

    # 2. Reconstruct -------------------------------------------------------------------------

    def onFindKnee(self, _on=False):
        """Find the knee on the films that are chosen, and show where."""
        films = [node for node in self._bothFilms() if is_film(node)]
        self._startWork()
        try:
            with self._sentences():
                find_on_films(films, self._pump, lambda: self._cancelRequested)
                self.logic.showFilms(films)
                self.ui.stageLabel.text = ""
        except Cancelled:
            self.ui.stageLabel.text = _("Cancelled; the scene is as it was.")
        finally:
            self._endWork()
        self._showFacts()

    def _showFound(self):
        """How the knee stands on the films, where it was looked for; it goes with its film."""
        sentences = []
        for node in self._bothFilms():
            found = found_on(node)
            if found is not None:
                follow_film(node)
                sentences.append(in_panel_words(found.sentence))
        self.ui.foundLabel.text = "\n".join(sentences)

    def onApplyButton(self, _on=False):
        """Reconstruct the knee and show it; the panel stays alive and can cancel."""
        parameters = self._parameterNode
        settings = settingsOf(parameters)
        self._startWork()
        try:
            with self._sentences():
                self._stopOutlines()
                self._leaveEditor()
                work.reconstruct_films(
                    slicer.mrmlScene,
                    parameters.apFilm,
                    parameters.lateralFilm,
                    settings,
                    self._pump,
                    lambda: self._cancelRequested,
                )
                self.ui.bonesButton.collapsed = False
                self.ui.stageLabel.text = ""
        except Cancelled:
            self.ui.stageLabel.text = _("Cancelled; the scene is as it was.")
        finally:
            self._endWork()
        self._showKnee(arrange=True)
        self._showFacts()

    def onCancel(self, _on=False):
        """Ask the reconstruction to stop."""
        self._cancelRequested = True
        self.ui.stageLabel.text = _("Stopping…")

    def onInstall(self, _on=False):
        """Install what is missing, after asking."""
        with slicer.util.tryWithErrorDisplay(
            _("The packages could not be installed."), waitCursor=True
        ):
            self.logic.installMissing(self._readiness())
        self._showReadiness()

    def _pump(self, stage: str, fraction: float):
        if not self._cancelRequested:
            self.ui.stageLabel.text = stage
            self.ui.progressBar.value = round(100 * fraction)
        slicer.app.processEvents()

    def _startWork(self):
        self._working, self._cancelRequested = True, False
        self._enableSections(False)
        self.ui.cancelButton.enabled = True
        self.ui.progressBar.value = 0
        self.ui.progressBar.visible = True
        self._checkCanApply()

    def _endWork(self):
        self._working = False
        self._enableSections(True)
        self.ui.cancelButton.enabled = False
        self.ui.progressBar.visible = False
        self._checkCanApply()

    def _enableSections(self, on: bool):
        for section in ("radiographs", "bones", "correct", "export"):
            getattr(self.ui, f"{section}Button").enabled = on

    def _readiness(self) -> Readiness:
        weights = self._parameterNode.weights if self._parameterNode else ""
        return readiness(weights or None)

    def _showReadiness(self):
        state = self._readiness()
        self.ui.readinessLabel.text = in_panel_words(state.sentence)
        self.ui.installButton.visible = not state.torch or bool(state.packages)
        self._checkCanApply()

    def _checkCanApply(self):
        """Apply works only when it can; its tooltip says why not."""
        reason = self._whyNot()
        self.ui.applyButton.enabled = not reason
        self.ui.applyButton.toolTip = reason or _("Reconstruct the bones from these two films")
        films = any(is_film(node) for node in self._bothFilms())
        self.ui.findKneeButton.enabled = films and not self._working and self._readiness().ready
        self.density.refresh(self._working)

    def _whyNot(self) -> str:
        if self._working:
            return _("The reconstruction is running")
        if not is_film(self._film(View.AP)):
            return _("Choose an AP film first")
        if not is_film(self._film(View.LATERAL)):
            return _("Choose a lateral film first")
        if self._parameterNode.apFilm is self._parameterNode.lateralFilm:
            return _("The AP film and the lateral film are the same; choose two films")
        state = self._readiness()
        return "" if state.ready else in_panel_words(state.sentence)

    def _onWeights(self, path: str):
        if self._parameterNode:
            self._parameterNode.weights = path
        self._showReadiness()

    def _onStyleWeights(self, path: str):
        if self._parameterNode:
            self._parameterNode.styleWeights = path

    # 3. Bones -------------------------------------------------------------------------------

    def _setUpTable(self):
        table = self.ui.bonesTable
        table.setColumnCount(4)
        table.setRowCount(len(Bone))
        table.setHorizontalHeaderLabels(
            [_("Bone"), _("Volume, cm³"), _("On AP film"), _("On lateral film")]
        )
        table.verticalHeader().visible = False
        table.horizontalHeader().setStretchLastSection(True)

    def _knee(self) -> KneeNodes | None:
        films = set(self._bothFilms()) - {None}
        knees = [knee for knee in knees_in(slicer.mrmlScene) if set(knee.films) & films]
        return knees[-1] if knees else None

    def _showKnee(self, arrange: bool = False):
        """Show the knee of the chosen films, if there is one, in table, editor and views."""
        self._stopOutlines()
        knee = self._knee()
        self.ui.segmentsTable.setSegmentationNode(knee.segmentation if knee else None)
        for name in ("surfaces", "segmentation", "report", "scene", "screenshot"):
            getattr(self.ui, f"{name}Button").enabled = knee is not None
        self.ui.dicomSegButton.enabled = knee is not None and self.logic.hasDicomSegmentation()
        self.ui.layoutButton.enabled = knee is not None
        self.ui.showTranslatedCheckBox.enabled = bool(knee and styled_films(knee.films))
        self.ui.segmentEditorWidget.enabled = knee is not None
        self.ui.resultWarningsLabel.text = (
            "\n".join(in_panel_words(line) for line in knee.warnings) if knee else ""
        )
        if knee is None:
            self.ui.bonesTable.clearContents()
            return
        self.ui.segmentEditorWidget.setMRMLSegmentEditorNode(correct(knee))
        self._followKnee(knee)
        if arrange:
            self._arrange()

    def _followKnee(self, knee: KneeNodes):
        display = knee.segmentation.GetDisplayNode()
        display.SetOpacity3D(self._parameterNode.opacity)
        display.SetOpacity2DFill(self._parameterNode.fill)
        if self._parameterNode.outlines:
            self._outlines = LiveOutlines(knee, self._showAgreement)
            self._showAgreement(self._outlines.agreement)
        else:
            remove_outlines(slicer.mrmlScene)
            self._showAgreement({})

    def _showAgreement(self, agreement):
        knee = self._knee()
        if knee is None:
            return
        volumes = volumes_of(knee.segmentation)
        for row, bone in enumerate(Bone):
            cells = [bone.title, f"{volumes[bone]:.1f}"]
            self._setCell(row, 0, cells[0])
            self._setCell(row, 1, cells[1])
            for column, share in enumerate(agreement.get(bone, (None, None)), start=2):
                text = "" if share is None else f"{100 * share:.0f} %"
                self._setCell(row, column, text, agreement_grade(share))

    def _setCell(self, row: int, column: int, text: str, grade: str | None = None):
        item = qt.QTableWidgetItem(text)
        if grade:
            item.setBackground(qt.QBrush(qt.QColor(GRADE_COLOURS[grade])))
            item.setForeground(qt.QBrush(qt.QColor("#000000")))
        self.ui.bonesTable.setItem(row, column, item)

    def _stopOutlines(self):
        if self._outlines is not None:
            self._outlines.stop()
            self._outlines = None

    def _arrange(self):
        knee = self._knee()
        if knee is not None:
            self.logic.showInLayout(knee)
            show_styled(knee.films, self._parameterNode.showTranslated)

    def _onParametersChanged(self, caller=None, event=None):
        for view in self._films:
            self.onFilmChosen(view)
        if self._parameterNode is None:
            return
        if all(is_film(node) for node in self._bothFilms()):
            work.agree_on_side(*self._bothFilms())
        self.ui.weightsPathLineEdit.currentPath = self._parameterNode.weights
        self.ui.styleWeightsPathLineEdit.currentPath = self._parameterNode.styleWeights
        self.ui.folderPathLineEdit.currentPath = self._parameterNode.folder
        knee = self._knee()
        if knee is not None:
            display = knee.segmentation.GetDisplayNode()
            display.SetOpacity3D(self._parameterNode.opacity)
            display.SetOpacity2DFill(self._parameterNode.fill)
            if self._parameterNode.outlines is not (self._outlines is not None):
                self._showKnee()
            show_styled(knee.films, self._parameterNode.showTranslated)
        self._showFacts()

    # 4. Correct -----------------------------------------------------------------------------

    def _setUpEditor(self):
        editor = self.ui.segmentEditorWidget
        editor.setMaximumNumberOfUndoStates(10)
        editor.setEffectNameOrder(EFFECTS)
        editor.unorderedEffectsVisible = False
        editor.setMRMLSegmentEditorNode(editor_node(slicer.mrmlScene))

    def _leaveEditor(self):
        self.ui.segmentEditorWidget.setActiveEffect(None)
        self.ui.segmentEditorWidget.removeViewObservations()

    # 5. Export ------------------------------------------------------------------------------

    def onExportSurfaces(self, _on=False):
        """Write the bones as surfaces."""
        kind, frame = self._parameterNode.surfaceFormat, self._parameterNode.surfaceFrame

        def write(folder: Path, overwrite: bool) -> list[Path]:
            return export.export_surfaces(
                self._knee().segmentation, folder, kind, frame, overwrite=overwrite
            )

        self._export(write)

    def onExportSegmentation(self, _on=False):
        """Write the segments."""
        name = f"knee{self._parameterNode.segmentationFormat}"

        def write(folder: Path, overwrite: bool) -> list[Path]:
            path = folder / name
            return [
                export.export_segmentation(self._knee().segmentation, path, overwrite=overwrite)
            ]

        self._export(write)

    def onExportReport(self, _on=False):
        """Write the report."""
        agreement = self._outlines.agreement if self._outlines else {}

        def write(folder: Path, overwrite: bool) -> list[Path]:
            path = folder / "report.json"
            return [export.export_report(self._knee(), agreement, path, overwrite=overwrite)]

        self._export(write)

    def onScreenshot(self, _on=False):
        """Write a picture of the views."""
        self._export(lambda folder, overwrite: [self.logic.screenshot(folder, overwrite)])

    def onSaveScene(self, _on=False):
        """Write the whole scene."""

        def write(folder: Path, overwrite: bool) -> list[Path]:
            path = folder / "knee.mrb"
            return [export.save_scene(slicer.mrmlScene, path, overwrite=overwrite)]

        self._export(write)

    def onDicomSeg(self, _on=False):
        """Go to where Slicer exports DICOM segmentations."""
        slicer.util.selectModule("Data")
        slicer.util.infoDisplay(
            _("Right-click the segmentation in the list and choose Export to DICOM…")
        )

    def _export(self, write: Callable[[Path, bool], list[Path]]):
        """Write into the chosen folder; what is there is replaced only if the user says so."""
        if not self._parameterNode.folder:
            self.ui.exportLabel.text = _("Choose a folder first.")
            return
        folder = Path(self._parameterNode.folder)
        with self._sentences():
            try:
                written = write(folder, False)
            except export.FileThereError as error:
                if not slicer.util.confirmOkCancelDisplay(str(error)):
                    return
                written = write(folder, True)
            names = ", ".join(path.name for path in written)
            self.ui.exportLabel.text = _("Written: {names}").format(names=names)

    def _onFolder(self, path: str):
        if self._parameterNode:
            self._parameterNode.folder = path

    # Shared ---------------------------------------------------------------------------------

    @contextmanager
    def _sentences(self):
        """Bad input is told in one sentence; everything else as Slicer tells errors."""
        try:
            yield
        except XRayTo3DError as error:
            slicer.util.errorDisplay(in_panel_words(str(error)))
        except Cancelled:
            raise
        except Exception as error:
            logging.exception("XRayTo3D")
            slicer.util.errorDisplay(
                _("Something went wrong that should not: {error}").format(error=error)
            )


def settingsOf(parameters) -> work.Settings:
    """How the panel's parameters say that a knee is reconstructed."""
    style = Path(parameters.styleWeights) if parameters.styleWeights else work.SHIPPED_STYLE
    return work.Settings(
        weights=Path(parameters.weights) if parameters.weights else None,
        device=parameters.device,
        find_joint=parameters.findJoint,
        refine=REFINE[parameters.refineWhere],
        check_films=parameters.checkFilms,
        accept_any=parameters.acceptAny,
        style=style if parameters.translateStyle else None,
    )


class FilmWidgets:
    """The widgets of one film: its facts, each with who says so."""

    def __init__(self, ui, prefix: str):
        self._ui, self._prefix = ui, prefix

    def connect(self, panel: XRayTo3DWidget, view: View) -> None:
        """Tell the panel of what the user changes."""
        self["FileButton"].connect("clicked(bool)", lambda _on: panel.onOpenFile(view))
        self["MirrorButton"].connect("clicked(bool)", lambda _on: panel.onFact(view, mirror=True))
        self["SpacingSpinBox"].connect(
            "valueChanged(double)", lambda mm: panel.onFact(view, spacing=(mm, mm))
        )
        self["SidSpinBox"].connect("valueChanged(double)", lambda mm: panel.onFact(view, sid=mm))
        self["SodSpinBox"].connect("valueChanged(double)", lambda mm: panel.onFact(view, sod=mm))
        self["PolarityComboBox"].connect(
            "activated(int)", lambda index: panel.onFact(view, inverted=index == 1)
        )

    def show(self, film) -> None:
        """Show the facts of a film, or nothing."""
        for name in ("SpacingSpinBox", "SidSpinBox", "SodSpinBox", "PolarityComboBox"):
            self[name].enabled = film is not None
        self["MirrorButton"].enabled = film is not None
        if film is not None:
            self["SpacingSpinBox"].value = film.spacing.value[0]
            self["SidSpinBox"].value = film.sid.value
            self["SodSpinBox"].value = film.sod.value
            self["PolarityComboBox"].currentIndex = 1 if film.inverted.value else 0
        facts = {
            "View": "view",
            "Spacing": "spacing",
            "Sid": "sid",
            "Sod": "sod",
            "Polarity": "inverted",
            "Mirror": "orientation",
        }
        for name, fact in facts.items():
            showOrigin(self[f"{name}OriginLabel"], getattr(film, fact) if film else None)

    def __getitem__(self, name: str):
        return getattr(self._ui, self._prefix + name)


def showOrigin(label, fact) -> None:
    """Who says so, in colour; the tooltip names the tag or the rule."""
    label.text = origin_text(fact) if fact else ""
    label.toolTip = in_panel_words(fact.note) if fact else ""
    colour = ORIGIN_COLOURS[fact.origin.value] if fact else "#000000"
    label.styleSheet = f"color: {colour};"


class XRayTo3DLogic(ScriptedLoadableModuleLogic):
    """What needs the application and not only a scene."""

    def getParameterNode(self):
        """The parameters in the scene."""
        return XRayTo3DParameterNode(super().getParameterNode())

    def process(
        self,
        apFilm,
        lateralFilm,
        settings: work.Settings | None = None,
        pump: Callable[[str, float], None] = lambda stage, fraction: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> KneeNodes:
        """Reconstruct a knee from two films of the scene.

        Args:
            apFilm: frontal film, from :func:`XRayTo3DLib.slicer.work.load_film`.
            lateralFilm: lateral film.
            settings: how.
            pump: called many times a second meanwhile with the stage and the fraction done.
            cancelled: asked whether to stop.
        """
        return work.reconstruct_films(
            apFilm.GetScene(), apFilm, lateralFilm, settings or work.Settings(), pump, cancelled
        )

    def showInLayout(self, knee: KneeNodes) -> None:
        """Arrange the views around a knee."""
        manager = slicer.app.layoutManager()
        if manager is None:  # Slicer runs without its window
            return
        layout.register_layout(manager.layoutLogic().GetLayoutNode())
        manager.setLayout(layout.LAYOUT_ID)
        layout.show_in_layout(knee)
        view = layout.bones_view(slicer.mrmlScene)
        camera = slicer.modules.cameras.logic().GetViewActiveCameraNode(view)
        if camera is not None:
            layout.aim_camera(camera, knee.side)

    def showFilms(self, films: list) -> None:
        """Arrange the views around films."""
        manager = slicer.app.layoutManager()
        if manager is None:  # Slicer runs without its window
            return
        layout.register_layout(manager.layoutLogic().GetLayoutNode())
        manager.setLayout(layout.LAYOUT_ID)
        look_at_films(films)

    def installMissing(self, state: Readiness) -> None:
        """Install PyTorch and the other packages that are missing; the user is asked.

        Raises:
            XRayTo3DError: the user declined, or the extension PyTorch is not installed.
        """
        if not state.torch:
            try:
                import PyTorchUtils
            except ModuleNotFoundError as error:
                raise XRayTo3DError(
                    _("Install the extension PyTorch with the Extensions Manager first.")
                ) from error
            torch = PyTorchUtils.PyTorchUtilsLogic().installTorch(
                askConfirmation=True, torchVersionRequirement=">=2.4"
            )
            if torch is None:
                raise XRayTo3DError(_("PyTorch was not installed; nothing can be reconstructed."))
        if state.packages:
            self._installPackages(state.packages)

    def _installPackages(self, names) -> None:
        requirements = Path(__file__).resolve().parent / "Resources" / "requirements.txt"
        try:
            from slicer import packaging
        except ImportError:  # Slicer 5.10
            question = _("These Python packages will be installed: {names}. Go on?")
            if slicer.util.confirmOkCancelDisplay(question.format(names=", ".join(names))):
                slicer.util.pip_install(f'-r "{requirements}"')
            return
        packaging.pip_ensure(packaging.load_requirements(requirements), requester="XRayTo3D")

    def hasDicomSegmentation(self) -> bool:
        """Whether an extension exports DICOM segmentations here."""
        return "DICOMSegmentationPlugin" in getattr(slicer.modules, "dicomPlugins", {})

    def screenshot(self, folder: Path, overwrite: bool = False) -> Path:
        """A picture of the views as they are, ``views.png``."""
        import ScreenCapture

        path = folder / "views.png"
        capture = ScreenCapture.ScreenCaptureLogic()

        def write(target: Path) -> None:
            capture.showViewControllers(False)
            try:
                capture.captureImageFromView(None, str(target))
            finally:
                capture.showViewControllers(True)

        return export.write_one(path, write, overwrite=overwrite)


class XRayTo3DTest(ScriptedLoadableModuleTest):
    """The self-test inside Slicer: from the sample radiographs to exported bones and back."""

    def setUp(self):
        """Start from an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self):
        """Run every test."""
        self.setUp()
        self.test_sampleFilmsStandWhereTheirDetectorsStood()
        self.setUp()
        self.test_apartFromApply()
        if not readiness().ready:
            self.delayDisplay("Apply is not tested: " + readiness().sentence)
            return
        self.setUp()
        self.test_fromRadiographsToBonesAndBack()
        self.setUp()
        self.test_findTheKneeAndTranslateTheStyle()
        self.setUp()
        self.test_density()

    def test_sampleFilmsStandWhereTheirDetectorsStood(self):
        """A landmark falls on the pixel that the geometry says."""
        import numpy as np

        from XRayTo3DLib.imaging.geometry import film_geometry

        for node in work.load_samples(slicer.mrmlScene):
            geometry = film_geometry(film_of(node))
            row, column = geometry.project(np.array([10.0, -5.0, 20.0]))
            matrix = vtk.vtkMatrix4x4()
            node.GetIJKToRASMatrix(matrix)
            pixel = np.array(matrix.MultiplyPoint([column, row, 0.0, 1.0])[:3])
            ray = pixel - geometry.source
            landmark = np.array([10.0, -5.0, 20.0]) - geometry.source
            cosine = ray @ landmark / np.linalg.norm(ray) / np.linalg.norm(landmark)
            self.assertAlmostEqual(cosine, 1.0, places=9)

    def test_apartFromApply(self):
        """Films are chosen, corrected, exchanged; Apply says why it cannot work."""
        panel = self._panel()
        self.assertFalse(panel.ui.applyButton.enabled)
        self.assertIn("AP film", panel.ui.applyButton.toolTip)
        panel.onSample()
        self.assertTrue(is_film(panel._parameterNode.apFilm))
        self.assertGreater(panel.ui.apSpacingSpinBox.value, 0.05)
        panel.onFact(View.AP, sid=1234.0)
        self.assertAlmostEqual(film_of(panel._parameterNode.apFilm).sid.value, 1234.0)
        self.assertEqual(panel.ui.apSidOriginLabel.text, "you")
        side = film_of(panel._parameterNode.apFilm).side.value
        other = Side.LEFT if side is Side.RIGHT else Side.RIGHT
        work.set_side(list(panel._bothFilms()), other)
        panel._showFacts()
        self.assertEqual(panel.ui.sideComboBox.currentText, other.value)
        shown = [panel.ui.refineComboBox.itemText(k) for k in range(panel.ui.refineComboBox.count)]
        self.assertEqual(shown, list(REFINE))
        self.assertIsNone(settingsOf(panel._parameterNode).refine)
        panel.ui.refineComboBox.currentText = "Never"
        self.assertIs(settingsOf(panel._parameterNode).refine, False)

    def test_fromRadiographsToBonesAndBack(self):
        """Apply, correct, undo, export, save, reopen, reload."""
        import tempfile

        panel = self._panel()
        panel.onSample()
        self.assertTrue(panel.ui.applyButton.enabled, panel.ui.applyButton.toolTip)
        panel.onApplyButton()
        knee = panel._knee()
        self.assertIsNotNone(knee)
        names = [knee.segmentation.GetSegmentation().GetNthSegment(k).GetName() for k in range(4)]
        self.assertEqual(names, [bone.title for bone in Bone])
        before = volumes_of(knee.segmentation)
        self.assertGreater(before[Bone.FEMUR], 20.0)
        self.assertEqual(panel.ui.bonesTable.item(0, 0).text(), "Femur")

        self._grow(panel, "patella")
        self.assertGreater(volumes_of(knee.segmentation)[Bone.PATELLA], before[Bone.PATELLA])
        panel.ui.segmentEditorWidget.undo()
        after = volumes_of(knee.segmentation)[Bone.PATELLA]
        self.assertAlmostEqual(after, before[Bone.PATELLA], delta=0.02 * before[Bone.PATELLA])
        panel._leaveEditor()

        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            written = export.export_surfaces(knee.segmentation, folder)
            self.assertEqual(len(written), 4)
            model = slicer.util.loadModel(str(folder / "femur.stl"))
            self.assertGreater(model.GetPolyData().GetNumberOfCells(), 1000)
            export.export_segmentation(knee.segmentation, folder / "knee.seg.nrrd")
            slicer.mrmlScene.RemoveNode(model)
            scene = export.save_scene(slicer.mrmlScene, folder / "knee.mrb")
            slicer.mrmlScene.Clear()
            self.assertIsNone(panel._knee())
            slicer.util.loadScene(str(scene))
        again = panel._knee()
        self.assertIsNotNone(again)
        self.assertAlmostEqual(
            volumes_of(again.segmentation)[Bone.FEMUR],
            before[Bone.FEMUR],
            delta=0.02 * before[Bone.FEMUR],
        )
        panel.onReload()
        self.assertIsNotNone(slicer.util.getModuleWidget("XRayTo3D")._knee())

    def test_findTheKneeAndTranslateTheStyle(self):
        """The knee is found on the films, its box moved, and the films translated."""
        import numpy as np

        panel = self._panel()
        panel.onSample()
        panel.onFindKnee()
        self.assertIn("the leg leans by", panel.ui.foundLabel.text)
        found = found_on(panel._parameterNode.apFilm)
        self.assertFalse(found.moved)
        row, column = found.centre
        for index in range(found.box.GetNumberOfControlPoints()):
            place = np.array(found.box.GetNthControlPointPosition(index)) + (15.0, 10.0, 0.0)
            found.box.SetNthControlPointPosition(index, *place)
        panel._parameterNode.translateStyle = True
        panel._parameterNode.refineWhere = "Never"  # the geometry is that of the box
        panel.onApplyButton()
        knee = panel._knee()
        isocentre = knee.geometry.frontal.project(np.zeros(3))
        self.assertAlmostEqual(isocentre[0], row + 10.0, places=2)
        self.assertAlmostEqual(isocentre[1], column + 15.0, places=2)
        self.assertEqual(len(styled_films(knee.films)), 2)
        self.assertTrue(panel.ui.showTranslatedCheckBox.enabled)

    def test_density(self):
        """A density is estimated, seen from elsewhere, saved and reopened."""
        from XRayTo3DPanel.density_self_test import checkDensity

        checkDensity(self, self._panel())

    def _panel(self):
        slicer.util.selectModule("XRayTo3D")
        return slicer.util.getModuleWidget("XRayTo3D")

    def _grow(self, panel, segment: str):
        """Grow a bone by 1 mm with Slicer's own effect."""
        editor = panel.ui.segmentEditorWidget
        editor.setCurrentSegmentID(segment)
        editor.setActiveEffectByName("Margin")
        effect = editor.activeEffect()
        effect.setParameter("MarginSizeMm", 1.0)
        effect.self().onApply()
