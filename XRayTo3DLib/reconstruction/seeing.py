"""What a network sees of two films, and what it makes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from XRayTo3DLib.imaging.geometry import BiplanarGeometry, ViewGeometry
from XRayTo3DLib.imaging.projector import projection_matrices
from XRayTo3DLib.imaging.radiograph import Radiograph, Side
from XRayTo3DLib.reconstruction.finding_geometry import upright_detector
from XRayTo3DLib.reconstruction.networks import NetworkSettings
from XRayTo3DLib.reconstruction.standard_film import film_on_detector
from XRayTo3DLib.reconstruction.weights import Model

Translation = Callable[[Tensor], Tensor]
"""Changes the style of a film as a network sees it, ``(rows, columns)`` in [0, 1]."""


@dataclass(frozen=True)
class RightKnee:
    """Two films as those of a right knee, which is all that networks know.

    Attributes:
        pictures: frontal and lateral, ``(rows, columns)`` each, bone bright.
        geometry: where their sources and detectors stood.
        network: of the network that is to see them.
        translation: of the films' style, before the network sees them; None leaves it.
    """

    pictures: tuple[np.ndarray, np.ndarray]
    geometry: BiplanarGeometry
    network: NetworkSettings
    translation: Translation | None = None

    @classmethod
    def of(
        cls,
        frontal: Radiograph,
        lateral: Radiograph,
        geometry: BiplanarGeometry,
        network: NetworkSettings,
        translation: Translation | None = None,
    ) -> RightKnee:
        """A left knee is turned into a right one here: films and geometry are mirrored alike."""
        if frontal.side.value is Side.RIGHT:
            return cls((frontal.pixels, lateral.pixels), geometry, network, translation)
        pictures = (frontal.pixels[:, ::-1], lateral.pixels[:, ::-1])
        return cls(pictures, geometry.mirrored(), network, translation)

    @property
    def detectors(self) -> tuple[ViewGeometry, ViewGeometry]:
        """The detectors on which the network sees the films: upright, also where a leg leans."""
        size, spacing = self.network.film_size, self.network.film_spacing
        frontal, lateral = (upright_detector(view, spacing, size) for view in self.geometry.views)
        return frontal, lateral

    def inputs(self) -> tuple[Tensor, Tensor]:
        """Films ``(1, 2, size, size)`` and their projections ``(1, 2, 3, 4)``."""
        detectors = self.detectors
        films = [
            film_on_detector(picture, view, detector)
            for picture, view, detector in zip(
                self.pictures, self.geometry.views, detectors, strict=True
            )
        ]
        if self.translation is not None:
            films = [self.translation(film) for film in films]
        matrices = torch.from_numpy(projection_matrices(detectors))
        return torch.stack(films)[None], matrices[None]


@torch.inference_mode()
def see(model: Model, knee: RightKnee, device: torch.device) -> tuple[np.ndarray, Tensor]:
    """Class probabilities and silhouettes.

    Returns:
        ``(5, z, y, x)`` float32, and ``(2, 4, rows, columns)`` float32, 0–1, on detectors that
        span the network's films (no channels where the network estimates none).
    """
    network = model.network.to(device)
    films, matrices = knee.inputs()
    scores, outlined = network.scores_and_silhouettes(films.to(device), matrices.to(device))
    probabilities = scores[0].float().softmax(dim=0).cpu().numpy()
    return probabilities, outlined[0].float().sigmoid().cpu()
