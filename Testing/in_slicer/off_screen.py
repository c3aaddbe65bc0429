"""Slice and 3D views drawn off screen by Slicer's own displayable managers."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from XRayTo3DLib.slicer.layout import slice_view

_SLICE_MANAGERS = (
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
)
BONES_MANAGERS = (
    "vtkMRMLCameraDisplayableManager",
    "vtkMRMLViewDisplayableManager",
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager3D",
)


class OffScreenViews:
    """Views of a scene, in windows of their own.

    Args:
        scene: whose nodes are shown.
    """

    def __init__(self, scene: Any) -> None:
        self._scene = scene
        self._colours = slicer.vtkMRMLColorLogic()
        self._colours.SetMRMLScene(scene)  # makes the tables that every Slicer has
        self._application = slicer.vtkMRMLApplicationLogic()
        self._application.SetMRMLScene(scene)
        self._slice_logics = vtk.vtkCollection()
        self._application.SetSliceLogics(self._slice_logics)
        self._kept: list[Any] = []
        self._logics: dict[str, Any] = {}

    def add_slices(self, *names: str) -> None:
        """Slice views of a layout that there is by now, for :meth:`slice`."""
        for name in names:
            logic = slicer.vtkMRMLSliceLogic()
            logic.SetMRMLApplicationLogic(self._application)
            logic.SetMRMLScene(self._scene)
            logic.SetSliceNode(slice_view(self._scene, name))
            self._slice_logics.AddItem(logic)
            self._logics[name] = logic

    def slice(self, name: str, width: int, height: int) -> np.ndarray:
        """A slice view, ``(height, width, 3)`` uint8."""
        logic = self._logics[name]
        logic.UpdatePipeline()
        window, renderer = _window(width, height)
        mapper = vtk.vtkImageMapper()
        mapper.SetColorWindow(255)
        mapper.SetColorLevel(127.5)
        mapper.SetInputConnection(logic.GetImageDataConnection())
        actor = vtk.vtkActor2D()
        actor.SetMapper(mapper)
        actor.GetProperty().SetDisplayLocationToBackground()
        renderer.AddViewProp(actor)
        factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory
        self._managers(factory, _SLICE_MANAGERS, renderer, slice_view(self._scene, name))
        return _picture(window)

    def volume(self, node: Any, camera: Any, managers: tuple[str, ...], size: int) -> np.ndarray:
        """A 3D view as a camera sees it, ``(size, size, 3)`` uint8."""
        camera.SetLayoutName(node.GetLayoutName())
        self._scene.AddNode(camera)
        window, renderer = _window(size, size)
        factory = slicer.vtkMRMLThreeDViewDisplayableManagerFactory
        group = self._managers(factory, managers, renderer, node)
        group.RequestRender()
        picture = _picture(window)
        self._scene.RemoveNode(camera)
        return picture

    def _managers(self, factory: Any, names: tuple[str, ...], renderer: Any, node: Any) -> Any:
        instance = factory.GetInstance()
        instance.SetMRMLApplicationLogic(self._application)
        for name in names:
            if not instance.IsDisplayableManagerRegistered(name):
                instance.RegisterDisplayableManager(name)
        group = instance.InstantiateDisplayableManagers(renderer)
        group.SetMRMLDisplayableNode(node)
        self._kept.append(group)
        return group


def _window(width: int, height: int) -> tuple[vtk.vtkRenderWindow, vtk.vtkRenderer]:
    window = vtk.vtkRenderWindow()
    window.SetOffScreenRendering(True)
    window.SetMultiSamples(0)
    window.SetSize(width, height)
    renderer = vtk.vtkRenderer()
    window.AddRenderer(renderer)
    interactor = vtk.vtkGenericRenderWindowInteractor()
    interactor.SetRenderWindow(window)
    return window, renderer


def _picture(window: vtk.vtkRenderWindow) -> np.ndarray:
    window.Render()
    grab = vtk.vtkWindowToImageFilter()
    grab.SetInput(window)
    grab.ReadFrontBufferOff()
    grab.Update()
    image = grab.GetOutput()
    columns, rows, _ = image.GetDimensions()
    pixels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(rows, columns, -1)
    return pixels[::-1, :, :3].copy()
