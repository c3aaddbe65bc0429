"""How large a pixel is where no header says so: by the size of the joint itself.

People differ in size, so a scale of this kind is an assumption: the middle of the population and
its spread are in :mod:`XRayTo3DLib.reconstruction.finding_table`.
"""

from __future__ import annotations

from dataclasses import dataclass

from XRayTo3DLib.imaging.radiograph import Origin, Radiograph

SOD_DOUBT = 40.0
"""mm by which an assumed source–object distance may be off (standard deviation)."""


@dataclass(frozen=True)
class FilmScale:
    """How large a film's pixels are at the isocentre, and how sure that is.

    Attributes:
        step: mm at the isocentre between pixels, (row, column).
        uncertainty: standard deviation of the larger step, mm.
        origin: who says so.
        note: by what.
    """

    step: tuple[float, float]
    uncertainty: float
    origin: Origin
    note: str

    @property
    def relative(self) -> float:
        """The uncertainty as a share of the step."""
        return self.uncertainty / max(self.step)

    def spacing(self, magnification: float) -> tuple[float, float]:
        """mm between pixels at the detector, (row, column)."""
        return self.step[0] * magnification, self.step[1] * magnification


def stated_scale(film: Radiograph) -> FilmScale:
    """What header or user say; where they only assume the distances, that is the doubt."""
    step = tuple(value / film.magnification for value in film.spacing.value)
    assumed = film.sod.origin is Origin.ASSUMED
    doubt = SOD_DOUBT / film.sod.value if assumed else 0.005
    note = film.spacing.note or "pixel spacing"
    if assumed:
        note += f"; the knee taken {film.sid.value - film.sod.value:g} mm before the detector"
    return FilmScale((step[0], step[1]), doubt * max(step), film.spacing.origin, note)
