"""A film and what it looks like, without networks, which reports and viewers do not need."""

from __future__ import annotations

from dataclasses import dataclass

from XRayTo3DLib.imaging.centres import Pixel
from XRayTo3DLib.imaging.radiograph import Radiograph, Side, View


@dataclass(frozen=True)
class Recognition:
    """What a film looks like; the flags say what is wrong with it *as it was read*.

    Attributes:
        view: AP (or PA, where it was taken for that) or lateral.
        side: which knee; None where the film cannot tell.
        mirrored: the columns run the other way than they should.
        upside_down: the rows run from distal to proximal. A film turned by half a turn is both.
        inverted: bone is dark.
        is_knee: whether it is a knee at all; if not, all else repeats what it was taken for.
        confidence: 0–1, of each of the above by its name; that of ``is_knee`` counts for what was
            found, knee or not, and the others on condition that it is one.
    """

    view: View
    side: Side | None
    mirrored: bool
    upside_down: bool
    inverted: bool
    is_knee: bool
    confidence: dict[str, float]


@dataclass(frozen=True)
class CheckedFilm(Radiograph):
    """A film that was looked at.

    Attributes:
        recognition: what it looked like, as it was read.
        metal: mm² of metal over the bones, at the isocentre; None where nothing was looked for.
        cast: whether the leg seems to be in a cast; None where nothing was looked for.
        turned_over: whether its rows, and its columns, have been turned over since it was read.
    """

    recognition: Recognition | None = None
    metal: float | None = None
    cast: bool | None = None
    turned_over: tuple[bool, bool] = (False, False)

    def lean_now(self, degrees: float | None) -> float | None:
        """By how much a leg leans to the right that leant so on the film as it was read."""
        if degrees is None:
            return None
        return -degrees if self.turned_over[0] is not self.turned_over[1] else degrees

    def pixel_now(self, pixel: Pixel | None) -> Pixel | None:
        """Where a pixel (row, column) of the film as it was read is now."""
        if pixel is None:
            return None
        row, column = (
            size - 1 - place if turned else place
            for place, size, turned in zip(pixel, self.pixels.shape, self.turned_over, strict=True)
        )
        return row, column
