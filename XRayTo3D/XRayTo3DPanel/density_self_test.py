"""The part of the self-test inside Slicer that concerns the density section."""

import tempfile
import time
from pathlib import Path

import slicer

from XRayTo3DLib.slicer import density_work
from XRayTo3DLib.slicer.density_nodes import densities_in
from XRayTo3DLib.slicer.density_rendering import Preset, preset_of
from XRayTo3DLib.slicer.export import save_scene
from XRayTo3DLib.slicer.rerendered import rerendered_in


def checkDensity(test, panel) -> None:
    """Estimate from the sample AP film, look from elsewhere, save, reopen.

    test - the running test case.
    panel - the module's widget.
    """
    section = panel.density
    panel.onSample()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        section.ui.densityFilmsComboBox.currentText = density_work.Films.AP.value
        if not density_work.density_readiness().ready:
            section.ui.densityWeightsPathLineEdit.currentPath = str(untrainedWeights(folder))
        test.assertTrue(
            section.ui.densityEstimateButton.enabled, section.ui.densityEstimateButton.toolTip
        )
        section.ui.densityEstimateButton.click()
        density = section.density()
        test.assertIsNotNone(density)
        test.assertEqual(len(density.films), 1)
        test.assertIsNotNone(density.rendering)
        _checkPictures(test, section)
        section.ui.densityPresetComboBox.currentText = Preset.BONE.value
        test.assertIs(preset_of(density.rendering), Preset.BONE)
        section.save(folder / "density.nrrd")
        test.assertGreater((folder / "density.nrrd").stat().st_size, 1000)
        scene = save_scene(slicer.mrmlScene, folder / "density.mrb")
        slicer.mrmlScene.Clear()
        test.assertIsNone(section.density())
        slicer.util.loadScene(str(scene))
    again = section.density()
    test.assertIsNotNone(again)
    test.assertIs(preset_of(again.rendering), Preset.BONE)
    test.assertEqual(len(densities_in(slicer.mrmlScene)), 1)


def _checkPictures(test, section) -> None:
    """The slider moves the picture, which stays one node."""
    _letItDraw()
    picture = rerendered_in(slicer.mrmlScene)
    before = slicer.util.arrayFromVolume(picture).copy()
    count = slicer.mrmlScene.GetNumberOfNodes()
    start, turns = time.perf_counter(), range(5, 55, 5)
    for turn in turns:
        section.ui.densityTurnSlider.value = turn
        _letItDraw()
    rate = len(turns) / (time.perf_counter() - start)
    test.delayDisplay(f"{rate:.1f} re-rendered films a second")
    test.assertIs(rerendered_in(slicer.mrmlScene), picture)
    test.assertTrue((slicer.util.arrayFromVolume(picture) != before).any())
    section.ui.densityStereoCheckBox.checked = True
    _letItDraw()
    columns, rows, _slices = picture.GetImageData().GetDimensions()
    test.assertGreater(columns, 2 * rows)
    test.assertEqual(slicer.mrmlScene.GetNumberOfNodes(), count)


def _letItDraw() -> None:
    """Give the timer of the pictures the time that it waits."""
    end = time.perf_counter() + 0.03
    while time.perf_counter() < end:
        slicer.app.processEvents()


def untrainedWeights(folder: Path) -> Path:
    """Weights of a small network that has learnt nothing, to test where none are shipped."""
    from XRayTo3DLib.tomography.density_network import DensityNetwork, DensityNetworkSettings
    from XRayTo3DLib.tomography.density_weights import save_density_weights

    settings = DensityNetworkSettings(size=16, base=2, levels=2, film_base=2, film_features=2)
    path = folder / "untrained.safetensors"
    save_density_weights(DensityNetwork(settings), path, {})
    return path
