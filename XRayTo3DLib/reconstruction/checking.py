"""Whether two films are what they are taken for: films in, sentences and refusals out.

What the header or the user says is never changed: where the picture says otherwise, a sentence
names both opinions. What was merely assumed is replaced by what the picture shows, which a sentence
says too. What is no knee is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from XRayTo3DLib.errors import InputFileError, XRayTo3DError
from XRayTo3DLib.imaging.centres import Pixel
from XRayTo3DLib.imaging.orientation import OPPOSITE
from XRayTo3DLib.imaging.radiograph import Origin, Radiograph, Sourced, View
from XRayTo3DLib.imaging.restating import restated, taken_as
from XRayTo3DLib.reconstruction.casts import shows_cast
from XRayTo3DLib.reconstruction.checked_film import CheckedFilm, Recognition
from XRayTo3DLib.reconstruction.implants import metal_on
from XRayTo3DLib.reconstruction.recognition import (
    SURE,
    Appearance,
    appearances_of,
    contradictions,
    interpreted,
    option_name,
)
from XRayTo3DLib.reconstruction.recognition_looks import bones_seen
from XRayTo3DLib.reconstruction.weights import Model

_AS_IT_LOOKS = "as the picture looks"
_LEAVE = "--no-check-films leaves the film as it was"


@dataclass(frozen=True)
class CheckedPair:
    """Two films that were looked at.

    Attributes:
        frontal: the frontal film.
        lateral: the lateral film.
        exchanged: whether it is the other way round than they were given.
    """

    frontal: CheckedFilm
    lateral: CheckedFilm
    exchanged: bool = False

    @property
    def films(self) -> tuple[CheckedFilm, CheckedFilm]:
        """Frontal, lateral."""
        return self.frontal, self.lateral

    def pixels_now(
        self, frontal: Pixel | None, lateral: Pixel | None
    ) -> tuple[Pixel | None, Pixel | None]:
        """Where a pixel of each film as it was given is now; they go with their pictures."""
        given = (lateral, frontal) if self.exchanged else (frontal, lateral)
        return self.frontal.pixel_now(given[0]), self.lateral.pixel_now(given[1])

    def leans_now(
        self, frontal: float | None, lateral: float | None
    ) -> tuple[float | None, float | None]:
        """How a leg leans now that leant so on each film as it was given, degrees to the right."""
        given = (lateral, frontal) if self.exchanged else (frontal, lateral)
        return self.frontal.lean_now(given[0]), self.lateral.lean_now(given[1])


def check_films(
    frontal: Radiograph, lateral: Radiograph, model: Model, *, accept_any: bool = False
) -> CheckedPair:
    """Look at both films; correct what was assumed of them, and say what is amiss.

    Args:
        frontal: as it was read.
        lateral: likewise.
        model: by whose silhouettes the films are recognised; where it estimates none, the films
            are given back as they are.
        accept_any: whether what is no knee is warned of instead of refused.

    Returns:
        The films, with sentences among their warnings.

    Raises:
        XRayTo3DError: a film does not look like a knee.
    """
    films = (frontal, lateral)
    if not model.network.settings.silhouettes:
        return CheckedPair(_as_checked(frontal), _as_checked(lateral))
    seen = appearances_of(frontal, lateral, model)
    for film, appearance in zip(films, seen, strict=True):
        if not (appearance.is_knee or accept_any):
            raise _refusal(film)
    exchanged = _are_exchanged(films, seen)
    if exchanged:
        films, seen = _exchanged(films), seen[::-1]
    looked = [_Looked(*pair) for pair in zip(films, seen, strict=True)]
    looked = _agreed_on_side(looked)
    first, second = (_with_foreign_matter(_settled(each), model) for each in looked)
    return CheckedPair(first, second, exchanged)


def _as_checked(film: Radiograph) -> CheckedFilm:
    return CheckedFilm(**{field.name: getattr(film, field.name) for field in fields(Radiograph)})


def _told(film: CheckedFilm, sentence: str) -> CheckedFilm:
    return replace(film, warnings=(*film.warnings, sentence))


def _name(film: Radiograph) -> str:
    return film.path.name if film.path else f"The {film.view.value.value} film"


def _refusal(film: Radiograph) -> XRayTo3DError:
    sentence = (
        "does not look like a film of a knee, neither frontal nor lateral; check that it is the "
        "right film, that it stands upright, and its pixel spacing, or say --accept-any-film."
    )
    if film.path is not None:
        return InputFileError(film.path, sentence)
    return XRayTo3DError(f"The {film.view.value.value} film {sentence}")


# The order of the films.


def _are_exchanged(
    films: tuple[Radiograph, Radiograph], seen: tuple[Appearance, Appearance]
) -> bool:
    """Whether both look like the other view, and no header says that they are what they are."""
    sure = all(look.knee > SURE and look.sure_of_view > SURE for look in seen)
    stated = any(
        fact.origin is Origin.HEADER for film in films for fact in (film.view, film.orientation)
    )
    return sure and not stated and seen[0].lateral and not seen[1].lateral


def _exchanged(films: tuple[Radiograph, Radiograph]) -> tuple[Radiograph, Radiograph]:
    given = f"{_name(films[0])} and {_name(films[1])}"
    frontal, lateral = (
        replace(taken_as(film, view), view=Sourced(view, Origin.FOUND, _AS_IT_LOOKS))
        for film, view in ((films[1], View.AP), (films[0], View.LATERAL))
    )
    sentence = (
        f"{given} look exchanged, the first lateral and the second frontal, and are used the other "
        "way round; give the AP film first, then the lateral, or say --no-check-films."
    )
    return frontal.with_warning(sentence), lateral


# The side of the knee.


@dataclass(frozen=True)
class _Looked:
    """A film and how it looks."""

    film: Radiograph
    appearance: Appearance

    @property
    def recognition(self) -> Recognition:
        return interpreted(self.film, self.appearance)


def _agreed_on_side(looked: list[_Looked]) -> list[_Looked]:
    """Where neither film says which knee it is, the surer film's picture says so for both.

    The frontal film is asked first: a lateral one is shown either way round in many a clinic.
    """
    if any(each.film.side.origin is not Origin.ASSUMED for each in looked):
        return looked
    for each in looked:
        found = each.recognition
        surely = min(found.confidence["side"], found.confidence["is_knee"]) >= SURE
        if found.side is not None and surely and _is_of_its_view(each.film, found):
            side = Sourced(found.side, Origin.FOUND, f"as {_name(each.film)} looks")
            first, second = (_on_side(other, side) for other in looked)
            sentence = (
                f"Neither film says which knee it is; {_name(each.film)} looks like a "
                f"{found.side.value} one, and both are taken so: say --side if that is wrong."
            )
            return [replace(first, film=first.film.with_warning(sentence)), second]
    return looked


def _is_of_its_view(film: Radiograph, recognition: Recognition) -> bool:
    return (recognition.view is View.LATERAL) is (film.view.value is View.LATERAL)


def _on_side(looked: _Looked, side: Sourced) -> _Looked:
    film = restated(looked.film, side=side.value)
    # A lateral film whose header says where its rows run is turned with the side.
    turned = not np.array_equal(film.pixels, looked.film.pixels)
    appearance = looked.appearance
    if turned:
        appearance = replace(appearance, reversed=not appearance.reversed)
    return _Looked(replace(film, side=side), appearance)


# What is wrong with a film by itself.


def _settled(looked: _Looked) -> CheckedFilm:
    """The film with its assumptions put right, and sentences on that and on all else."""
    recognition = looked.recognition
    film = replace(_as_checked(looked.film), recognition=recognition)
    rest = recognition
    sure = {fact for fact, value in recognition.confidence.items() if value >= SURE}
    if recognition.is_knee and "is_knee" in sure:
        if "inverted" in sure and film.inverted.origin is Origin.ASSUMED:
            film = _with_polarity(film, recognition.inverted)
            rest = replace(rest, inverted=False)
        right_view = _is_of_its_view(film, recognition)
        turned = {"mirrored", "upside_down"} <= sure
        if right_view and turned and film.orientation.origin is Origin.ASSUMED:
            film = _turned(film, recognition.upside_down, recognition.mirrored)
            rest = replace(rest, upside_down=False, mirrored=False)
    for sentence in contradictions(film, rest):
        film = _told(film, sentence)
    return film


def _with_polarity(film: CheckedFilm, wrong: bool) -> CheckedFilm:
    dark = film.inverted.value is not wrong
    film = replace(film, inverted=Sourced(dark, Origin.FOUND, _AS_IT_LOOKS))
    if not wrong:
        return film
    sentence = (
        f"{_name(film)} does not say whether bone is bright or dark in it; it looks "
        f"{'dark' if dark else 'bright'}, and is taken so: say "
        f"--{option_name(film)}-{'bright' if dark else 'dark'} if that is wrong."
    )
    return _told(replace(film, pixels=1.0 - film.pixels), sentence)


def _turned(film: CheckedFilm, upside_down: bool, mirrored: bool) -> CheckedFilm:
    row, column = film.orientation.value
    letters = (OPPOSITE[row] if mirrored else row, OPPOSITE[column] if upside_down else column)
    answered = tuple(line for line in film.warnings if "does not say how it is turned" not in line)
    film = replace(
        film, orientation=Sourced(letters, Origin.FOUND, _AS_IT_LOOKS), warnings=answered
    )
    if not (upside_down or mirrored):
        return film
    pixels = film.pixels[::-1] if upside_down else film.pixels
    pixels = pixels[:, ::-1] if mirrored else pixels
    how = {
        (True, True): "turned by half a turn",
        (True, False): "turned over, top to bottom",
        (False, True): f"mirrored for a {film.side.value.value} knee",
    }[upside_down, mirrored]
    film = replace(film, pixels=np.ascontiguousarray(pixels), turned_over=(upside_down, mirrored))
    return _told(
        film,
        f"{_name(film)} does not say how it is turned; it looks {how}, and was turned back: "
        f"{_LEAVE}.",
    )


def _with_foreign_matter(film: CheckedFilm, model: Model) -> CheckedFilm:
    """With warnings of a cast and of metal: on the bones or, where none are known, anywhere."""
    if film.recognition is None or not film.recognition.is_knee:
        return _with_metal(film, metal_on(film))
    bones = bones_seen(film, model)
    film = replace(film, cast=shows_cast(film, bones))
    if film.cast:
        film = _told(
            film,
            f"{_name(film)} looks as if the leg is in a cast; the networks know no casts, so "
            "compare the bones with the film before you trust them.",
        )
    return _with_metal(film, metal_on(film, lambda: bones))


def _with_metal(film: CheckedFilm, area: float) -> CheckedFilm:
    film = replace(film, metal=area)
    if not area:
        return film
    return _told(
        film,
        f"{_name(film)} seems to show metal over the bones ({area / 100:.0f} cm²), as of a plate, "
        "a screw or a prosthesis; the networks know no metal, so do not trust the bones there.",
    )
