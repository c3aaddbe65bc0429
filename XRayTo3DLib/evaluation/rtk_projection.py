"""Projection of voxels by the Reconstruction Toolkit, to judge our own projector.

RTK (S. Rit et al., J. Phys. Conf. Ser. 489, 2014; https://openrtk.org) has a forward projector by
Joseph's method, multithreaded C++, without gradients.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.geometry import ViewGeometry
from XRayTo3DLib.imaging.grid import VolumeGrid


def rtk_projection(volume: np.ndarray, grid: VolumeGrid, view: ViewGeometry) -> np.ndarray:
    """Line integrals through a volume.

    Args:
        volume: ``(z, y, x)``, any unit per mm.
        grid: where the voxels are.
        view: source and detector; its rows and columns must be perpendicular.

    Returns:
        ``(rows, columns)`` float32, the volume's unit × mm.

    Raises:
        XRayTo3DError: itk-rtk is not installed, or RTK cannot express the view.
    """
    projector = joseph_filter(volume, grid, view)
    projector.Update()
    return _itk().array_from_image(projector.GetOutput())[0]


def joseph_filter(volume: np.ndarray, grid: VolumeGrid, view: ViewGeometry) -> Any:
    """RTK's filter, ready for ``Update()``; arguments and errors as :func:`rtk_projection`.

    Apart from the projection for those who time it: what is prepared here is not the projector's
    work.
    """
    itk = _itk()
    image_type = itk.Image[itk.F, 3]
    projector = itk.RTK.JosephForwardProjectionImageFilter[image_type, image_type].New()
    projector.SetInput(_empty_detector(itk, view))
    projector.SetInput(1, _image(itk, volume, grid))
    projector.SetGeometry(_geometry(itk, view))
    projector.InPlaceOff()
    return projector


def _itk() -> ModuleType:
    try:
        import itk

        itk.RTK  # noqa: B018 (the toolkit is loaded on first use)
    except (ImportError, AttributeError) as error:
        raise XRayTo3DError(
            f"RTK is not installed ({error}); pip install 'XRayTo3D[oracles]'."
        ) from error
    return itk


def _image(itk: ModuleType, volume: np.ndarray, grid: VolumeGrid) -> Any:
    # RTK knows no anatomical frame: volume, source and detector are all given in RAS.
    image = itk.image_from_array(np.ascontiguousarray(volume, dtype=np.float32))
    image.SetSpacing([grid.spacing] * 3)
    image.SetOrigin([float(value) for value in grid.first])
    return image


def _empty_detector(itk: ModuleType, view: ViewGeometry) -> Any:
    detector = itk.image_from_array(np.zeros((1, *view.shape), dtype=np.float32))
    row_spacing, column_spacing = view.spacing
    detector.SetSpacing([column_spacing, row_spacing, 1.0])
    detector.SetOrigin([0.0, 0.0, 0.0])
    return detector


def _geometry(itk: ModuleType, view: ViewGeometry) -> Any:
    row_spacing, column_spacing = view.spacing
    geometry = itk.RTK.ThreeDCircularProjectionGeometry.New()
    expressed = geometry.AddProjection(
        itk.Point[itk.D, 3](view.source.tolist()),
        itk.Point[itk.D, 3](view.first_pixel.tolist()),
        itk.Vector[itk.D, 3]((view.column_step / column_spacing).tolist()),
        itk.Vector[itk.D, 3]((view.row_step / row_spacing).tolist()),
    )
    if not expressed:
        raise XRayTo3DError("RTK cannot express this view; its source lies behind its detector.")
    return geometry
