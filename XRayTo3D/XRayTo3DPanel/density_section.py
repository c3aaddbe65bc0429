"""The section "Density (research)" of the panel."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper
from slicer.util import VTKObservationMixin

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.progress import Cancelled
from XRayTo3DLib.slicer import density_layout, density_work
from XRayTo3DLib.slicer.density_nodes import DensityNodes, densities_in
from XRayTo3DLib.slicer.density_rendering import Preset, preset_of, render_as
from XRayTo3DLib.slicer.density_work import Films
from XRayTo3DLib.slicer.export import FileThereError
from XRayTo3DLib.slicer.latest import LatestWins
from XRayTo3DLib.slicer.rerendered import Rerendered, Viewpoint
from XRayTo3DLib.slicer.words import in_panel_words

UI = Path(__file__).resolve().parents[1] / "Resources" / "UI" / "XRayTo3DDensity.ui"

PAUSE_MS = 10
"""Between two pictures, for the window to handle what the hand on the slider does."""


SHOWN = (
    "densityPresetComboBox",
    "densityUncertaintyCheckBox",
    "densityTurnSlider",
    "densityElevationSlider",
    "densitySidSlider",
    "densityKvpSlider",
    "densityStereoCheckBox",
    "densityLayoutButton",
    "densitySaveButton",
)
"""What works only where there is a density."""


@parameterNodeWrapper
class DensityParameterNode:
    """What the section keeps in the scene, beside the panel's own parameters.

    densityFilms - of which films the density is estimated.
    densityWeights - file of weights; those shipped when empty.
    densityPreset - how the density is rendered in 3D.
    densityUncertainty - whether the slice shows how unsure the density is.
    densityTurn - of the tube about the leg, degrees.
    densityElevation - of the tube, degrees.
    densitySid - source-image distance, mm.
    densityKvp - peak tube voltage, kV.
    densityStereo - whether there is a picture for each eye.
    """

    densityFilms: Annotated[str, Choice([films.value for films in Films])] = Films.BOTH.value
    densityWeights: str = ""
    densityPreset: Annotated[str, Choice([preset.value for preset in Preset])] = (
        Preset.FILM_LIKE.value
    )
    densityUncertainty: bool = False
    densityTurn: Annotated[float, WithinRange(-180.0, 180.0)] = 0.0
    densityElevation: Annotated[float, WithinRange(-60.0, 60.0)] = 0.0
    densitySid: Annotated[float, WithinRange(600.0, 2000.0)] = 1000.0
    densityKvp: Annotated[float, WithinRange(60.0, 120.0)] = 65.0
    densityStereo: bool = False


@dataclass(frozen=True)
class Host:
    """What the section needs of the panel around it.

    films - the frontal and the lateral film that are chosen, each may be None.
    device - where networks run.
    sentences - within it, bad input is told in one sentence.
    start, end - called around long work: meanwhile the rest of the panel rests.
    pump - shows stage and fraction done, and keeps the window alive.
    cancelled, cancel - whether the user wants to stop; to ask for it.
    """

    films: Callable[[], tuple[Any, Any]]
    device: Callable[[], str]
    sentences: Callable[[], AbstractContextManager]
    start: Callable[[], None]
    end: Callable[[], None]
    pump: Callable[[str, float], None]
    cancelled: Callable[[], bool]
    cancel: Callable[[], None]


class DensitySection(VTKObservationMixin):
    """Binds the section's widgets to what is done to the scene."""

    def __init__(self, host: Host):
        VTKObservationMixin.__init__(self)
        self._host = host
        self._parameters = None
        self._guiTag = None
        self._rerendered = None
        self._working = False
        self._busy = False
        self._viewpoint = None
        self._pictures = LatestWins(
            self._showPicture, lambda then: qt.QTimer.singleShot(PAUSE_MS, then)
        )
        self.widget = slicer.util.loadUI(str(UI))
        self.ui = slicer.util.childWidgetVariables(self.widget)
        self._connect()

    # Life -----------------------------------------------------------------------------------

    def follow(self, parameterNode) -> None:
        """Follow the panel's parameter node, or none."""
        if self._parameters is not None:
            self._parameters.disconnectGui(self._guiTag)
            self.removeObservers()
        self._pictures.forget()
        self._rerendered = None
        self._parameters = None
        if parameterNode is not None:
            self._parameters = DensityParameterNode(parameterNode)
            self._guiTag = self._parameters.connectGui(self.ui)
            self.ui.densityWeightsPathLineEdit.currentPath = self._parameters.densityWeights
            self.addObserver(parameterNode, vtk.vtkCommand.ModifiedEvent, self._onParameters)
            self._viewpoint = self.viewpoint()  # that of the picture which came with the scene
        self.refresh()

    def refresh(self, busy: bool | None = None) -> None:
        """Show the density of the chosen films, if there is one, and what can be done.

        busy - whether the panel is at work; as it was said last if left out.
        """
        self._busy = self._busy if busy is None else busy
        reason = self._whyNot()
        self.ui.densityEstimateButton.enabled = not reason
        self.ui.densityEstimateButton.toolTip = reason or _(
            "Estimate how strongly each place in the leg attenuates X-rays"
        )
        self.ui.densityCancelButton.enabled = self._working
        density = self.density()
        for name in SHOWN:
            getattr(self.ui, name).enabled = density is not None and not self._busy
        self.ui.densityFactsLabel.text = facts_text(density) if density else ""
        if not self._working:
            self.ui.densityStageLabel.text = reason

    def density(self) -> DensityNodes | None:
        """The density of the chosen films."""
        films = set(self._host.films()) - {None}
        found = [each for each in densities_in(slicer.mrmlScene) if set(each.films) & films]
        return found[-1] if found else None

    def _connect(self) -> None:
        ui = self.ui
        ui.densityWeightsPathLineEdit.connect("currentPathChanged(QString)", self._onWeights)
        ui.densityEstimateButton.connect("clicked(bool)", self.onEstimate)
        ui.densityCancelButton.connect("clicked(bool)", lambda _on: self._host.cancel())
        ui.densityLayoutButton.connect("clicked(bool)", lambda _on: self.arrange())
        ui.densitySaveButton.connect("clicked(bool)", self.onSave)

    def _onWeights(self, path: str) -> None:
        if self._parameters is not None:
            self._parameters.densityWeights = path

    def _onParameters(self, caller=None, event=None) -> None:
        self.refresh()
        density = self.density()
        if density is None or self._busy:
            return
        preset = Preset(self._parameters.densityPreset)
        if density.rendering is not None and preset_of(density.rendering) is not preset:
            render_as(density.rendering, preset)
        density_layout.show_uncertainty(density, self._parameters.densityUncertainty)
        if self.viewpoint() != self._viewpoint:
            self._viewpoint = self.viewpoint()
            self._pictures.want(self._viewpoint)

    # Estimate -------------------------------------------------------------------------------

    def onEstimate(self, _on=False) -> None:
        """Estimate the density and show it; the panel stays alive and can cancel."""
        said, density = "", None
        self._working = True
        self._pictures.forget()
        self._host.start()
        try:
            with self._host.sentences():
                density = self._estimate()
        except Cancelled:
            said = _("Cancelled; the scene is as it was.")
        finally:
            self._working = False
            self._host.end()
        self._rerendered = None
        if density is not None:
            self.arrange()
        if said:
            self.ui.densityStageLabel.text = said

    def _estimate(self) -> DensityNodes:
        parameters = self._parameters
        return density_work.estimate_films(
            slicer.mrmlScene,
            Films(parameters.densityFilms).chosen(*self._host.films()),
            Path(parameters.densityWeights) if parameters.densityWeights else None,
            self._host.device(),
            self._pump,
            self._host.cancelled,
        )

    def _pump(self, stage: str, fraction: float) -> None:
        self.ui.densityStageLabel.text = stage
        self._host.pump(stage, fraction)

    def _whyNot(self) -> str:
        """Why Estimate cannot work; empty if it can."""
        if self._busy:
            return _("Something is running")
        if self._parameters is None:
            return _("Choose a film first")
        try:
            Films(self._parameters.densityFilms).chosen(*self._host.films())
        except XRayTo3DError as error:
            return str(error)
        state = density_work.density_readiness(self._parameters.densityWeights or None)
        return "" if state.ready else in_panel_words(state.sentence)

    # Look -----------------------------------------------------------------------------------

    def arrange(self) -> None:
        """Show density and picture in the layout made for them."""
        density = self.density()
        if density is None:
            return
        manager = slicer.app.layoutManager()
        if manager is not None:  # None: Slicer runs without its window
            density_layout.register_density_layout(manager.layoutLogic().GetLayoutNode())
            manager.setLayout(density_layout.DENSITY_LAYOUT_ID)
        density_layout.show_density_in_layout(density)
        self._viewpoint = None  # so that the picture is made in any case
        self._onParameters()

    def viewpoint(self) -> Viewpoint:
        """Where the sliders are."""
        parameters = self._parameters
        return Viewpoint(
            turn=parameters.densityTurn,
            elevation=parameters.densityElevation,
            sid=parameters.densitySid,
            kvp=parameters.densityKvp,
            stereo=parameters.densityStereo,
        )

    def _showPicture(self, viewpoint: Viewpoint) -> None:
        density = self.density()
        if density is None:
            return
        with self._host.sentences():
            if self._rerendered is None or self._rerendered.volume is not density.volume:
                self._rerendered = Rerendered(density.volume)
            picture = self._rerendered.show(viewpoint)
            density_layout.show_picture(picture, self._rerendered.detector(viewpoint))

    # Save -----------------------------------------------------------------------------------

    def onSave(self, _on=False) -> None:
        """Ask for a file and write the density into it."""
        chosen = qt.QFileDialog.getSaveFileName(
            slicer.util.mainWindow(), _("Save the density"), "density.nrrd", "NRRD (*.nrrd)"
        )
        if chosen:
            path = Path(chosen)
            whole = path if path.suffix == ".nrrd" else path.with_name(path.name + ".nrrd")
            with self._host.sentences():
                # The dialog has asked whether to replace what it was told, and nothing else.
                self.save(whole, overwrite=whole == path)

    def save(self, path: Path, overwrite: bool = False) -> None:
        """Write the density; what is there is replaced only if the user says so."""
        volume = self.density().volume
        try:
            density_work.save_density(volume, path, overwrite=overwrite)
        except FileThereError as error:
            if not slicer.util.confirmOkCancelDisplay(str(error)):
                return
            density_work.save_density(volume, path, overwrite=True)
        self.ui.densityStageLabel.text = _("Written: {name}").format(name=path.name)


def facts_text(density: DensityNodes) -> str:
    """What the section says of a density: weights, agreement with the films, warnings."""
    facts = density.facts
    agreement = ", ".join(
        f"{film.GetName()} {share:.2f}"
        for film, share in zip(density.films, facts["agreement"], strict=False)
    )
    lines = [_("Estimated by {model}.").format(model=facts["model"])]
    if agreement:
        lines.append(
            _("Agreement of its re-projection (gradient correlation, 1 is best): {films}.").format(
                films=agreement
            )
        )
    return "\n".join([*lines, *(in_panel_words(line) for line in facts["warnings"])])
