"""Which pixel of each film is the middle of the joint."""

from __future__ import annotations

from dataclasses import dataclass

from XRayTo3DLib.imaging.radiograph import Origin, Radiograph, Sourced

Pixel = tuple[float, float]
"""(row, column)."""


@dataclass(frozen=True)
class Centres:
    """The pixel of each upright film that is taken for the middle of the joint, and who says so.

    Attributes:
        frontal: on the frontal film.
        lateral: on the lateral film.
        warnings: sentences on what was found.
    """

    frontal: Sourced[Pixel]
    lateral: Sourced[Pixel]
    warnings: tuple[str, ...] = ()


def stated_centres(
    frontal: Radiograph,
    lateral: Radiograph,
    ap_centre: Pixel | None = None,
    lateral_centre: Pixel | None = None,
) -> Centres:
    """What the user says, else the middle of each film."""
    return Centres(_stated(frontal, ap_centre), _stated(lateral, lateral_centre))


def _stated(film: Radiograph, centre: Pixel | None) -> Sourced[Pixel]:
    if centre is not None:
        return Sourced(centre, Origin.USER)
    rows, columns = film.pixels.shape
    return Sourced(((rows - 1) / 2, (columns - 1) / 2), Origin.ASSUMED, "middle of the film")
