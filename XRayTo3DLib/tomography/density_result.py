"""What an estimate of density gives back."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from XRayTo3DLib.imaging.geometry import ViewGeometry
from XRayTo3DLib.imaging.radiograph import Radiograph, Side
from XRayTo3DLib.reconstruction.result import ModelIdentity
from XRayTo3DLib.tomography.density import DensityVolume
from XRayTo3DLib.tomography.film_fit import Agreement, FilmFit


@dataclass(frozen=True)
class ExplainedFilm:
    """A film and what the estimate makes of it.

    Attributes:
        film: as it was read.
        geometry: where it was taken.
        fit: its tone curve, of the film of a right knee (a left one's is mirrored).
        reprojection: ``(rows, columns)``, the estimate as this film would show it, on its fit's
            detector.
        agreement: of film and re-projection.
    """

    film: Radiograph
    geometry: ViewGeometry
    fit: FilmFit
    reprojection: Tensor
    agreement: Agreement


@dataclass(frozen=True)
class DensityResult:
    """Density from one radiograph or two, in the patient's own frame (left stays left).

    Attributes:
        density: attenuation and how far off it is expected to be.
        side: which knee.
        films: one or two, frontal before lateral.
        model: the weights.
        seconds: wall time of each stage, in the order they ran.
        warnings: sentences for the user.
    """

    density: DensityVolume
    side: Side
    films: tuple[ExplainedFilm, ...]
    model: ModelIdentity
    seconds: dict[str, float]
    warnings: tuple[str, ...]

    @property
    def all_warnings(self) -> tuple[str, ...]:
        """Sentences of the result and of its films, each once."""
        lines = (line for shown in self.films for line in shown.film.warnings)
        return tuple(dict.fromkeys((*self.warnings, *lines)))
