"""Whether a film is what it is taken for: view, side, flips, polarity, and whether it is a knee.

What can be told and what cannot:

* A mirrored right knee looks exactly like a left one. The picture tells only which of the two ways
  its columns run, so either the side or the mirroring has to be believed; see :func:`recognise`.
* AP and PA films are shown alike; a frontal film keeps the one of the two that it was taken for.
* The 16 ways of storing a film that are told apart are upright or upside down (or turned by half a
  turn, which is upside down and mirrored). A knee that lies on its side is no knee to it, and one
  flexed by much more than 35 degrees, or with an implant, may be none either.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import softmax

from XRayTo3DLib.imaging.radiograph import Origin, Radiograph, Side, Sourced, View
from XRayTo3DLib.reconstruction.checked_film import Recognition
from XRayTo3DLib.reconstruction.recognition_looks import best_look, glance, needs_silhouettes
from XRayTo3DLib.reconstruction.recognition_table import SHIPPED
from XRayTo3DLib.reconstruction.weights import Model

SURE = 0.9
"""Confidence from which a film is said to contradict what it is taken for."""

KNEE = 0.4
"""Probability from which a film is that of a knee: below one half, as to refuse a knee is the worse
fault. Of 160 simulated films, flexed up to 40 degrees, none came below 0.68; of 8 pictures of one
ankle, turned, cut and inverted, none above 0.23."""


def recognise(film: Radiograph, model: Model) -> Recognition:
    """What a film looks like, whatever was said of it: :func:`interpreted` of its appearance.

    Args:
        film: as :func:`~XRayTo3DLib.imaging.reading.read_radiograph` gives it.
        model: with a network that estimates silhouettes.

    Raises:
        XRayTo3DError: the network estimates none.
    """
    return interpreted(film, appearance_of(film, model))


def appearance_of(film: Radiograph, model: Model) -> Appearance:
    """Look at a film in every way; for the errors see :func:`recognise`."""
    return Appearance.of(best_look(film, model, SHIPPED).scores, SHIPPED.no_knee)


def appearances_of(
    frontal: Radiograph, lateral: Radiograph, model: Model
) -> tuple[Appearance, Appearance]:
    """Both films of a pair: a glance, and a closer look at a film that it does not confirm.

    Raises:
        XRayTo3DError: the network estimates no silhouettes.
    """
    films = (frontal, lateral)
    needs_silhouettes(model)
    first, second = (
        seen if _confirms(film, seen) else appearance_of(film, model)
        for film, seen in zip(
            films,
            (Appearance.of(scores, SHIPPED.no_knee) for scores in glance(films, model, SHIPPED)),
            strict=True,
        )
    )
    return first, second


def _confirms(film: Radiograph, seen: Appearance) -> bool:
    """Whether a film surely looks as what it is taken for."""
    taken = (film.view.value is View.LATERAL, False, False, film.side.value is Side.LEFT)
    return seen.way == taken and seen.least_sure > SURE


def interpreted(film: Radiograph, found: Appearance) -> Recognition:
    """What a film's appearance says about what it is taken for.

    Which of side and mirroring the picture decides depends on which of them is better known:

    * the user says the side: the picture tells whether it is mirrored;
    * a frontal film whose header (or user) says which way its rows run: it tells the side;
    * a lateral one of that kind: it tells whether it is mirrored, and nothing of the side, as
      either knee has its kneecap in front;
    * only the side is in the header, or was found on the other film: it tells whether the film is
      mirrored;
    * nothing is known: it tells the side, as if seen from the tube; if upside down, as if turned by
      half a turn, which happens to films more often than a mirror does.
    """
    if not found.is_knee:
        known = {"view": 0.0, "side": 0.0, "mirrored": 0.0, "upside_down": 0.0, "inverted": 0.0}
        confidence = {**known, "is_knee": 1.0 - found.knee}
        return Recognition(film.view.value, None, False, False, False, False, confidence)
    view = _view(film, found.lateral)
    side, mirrored = _side_and_mirroring(film, view, found)
    return Recognition(
        view=view,
        side=side,
        mirrored=mirrored,
        upside_down=found.upside_down,
        inverted=found.inverted,
        is_knee=True,
        confidence={
            "view": found.sure_of_view,
            "side": 0.0 if side is None else found.sure_of_columns,
            "mirrored": found.sure_of_columns,
            "upside_down": found.sure_of_rows,
            "inverted": found.sure_of_polarity,
            "is_knee": found.knee,
        },
    )


@dataclass(frozen=True)
class Appearance:
    """What must be done to a film that it look like a right knee, upright, bone bright.

    Attributes:
        lateral: it looks so as a lateral film.
        inverted: its grey values must be turned over.
        upside_down: its rows must be turned over.
        reversed: its columns must be turned over.
        knee: probability of its being a knee.
        sure_of_view: 0.5–1, if it is a knee; as are the others.
    """

    lateral: bool
    inverted: bool
    upside_down: bool
    reversed: bool
    knee: float
    sure_of_view: float
    sure_of_polarity: float
    sure_of_rows: float
    sure_of_columns: float

    @classmethod
    def of(cls, scores: np.ndarray, no_knee: float) -> Appearance:
        """From the scores ``(2, 2, 2, 2)`` of a look, and that of no knee."""
        knee = 1.0 - float(softmax(np.append(scores, no_knee))[-1])
        ways = softmax(scores)
        best = np.unravel_index(ways.argmax(), ways.shape)
        sure = [
            float(ways.sum(axis=tuple({0, 1, 2, 3} - {axis}))[choice])
            for axis, choice in enumerate(best)
        ]
        lateral, inverted, upside_down, reverse = (bool(choice) for choice in best)
        return cls(lateral, inverted, upside_down, reverse, knee, *sure)

    @property
    def way(self) -> tuple[bool, bool, bool, bool]:
        """Which of the 16 ways it is."""
        return self.lateral, self.inverted, self.upside_down, self.reversed

    @property
    def is_knee(self) -> bool:
        """Whether it is a knee at all."""
        return self.knee >= KNEE

    @property
    def least_sure(self) -> float:
        """The lowest of its probabilities."""
        return min(
            self.knee,
            self.sure_of_view,
            self.sure_of_polarity,
            self.sure_of_rows,
            self.sure_of_columns,
        )


def _view(film: Radiograph, lateral: bool) -> View:
    if lateral:
        return View.LATERAL
    return View.PA if film.view.value is View.PA else View.AP


def _side_and_mirroring(
    film: Radiograph, view: View, found: Appearance
) -> tuple[Side | None, bool]:
    mirrored = found.reversed is not (film.side.value is Side.LEFT)
    if film.side.origin is Origin.USER:
        return film.side.value, mirrored
    same_view = (view is View.LATERAL) is (film.view.value is View.LATERAL)
    if same_view and film.orientation.origin in (Origin.HEADER, Origin.USER):
        if view is View.LATERAL:
            return None, mirrored
    elif film.side.origin in (Origin.HEADER, Origin.FOUND):
        return film.side.value, mirrored
    # The columns are believed; those of a film that is upside down were turned along with its rows.
    left = found.reversed is not found.upside_down
    return (Side.LEFT if left else Side.RIGHT), found.upside_down


def contradictions(film: Radiograph, recognition: Recognition) -> tuple[str, ...]:
    """One sentence for each thing that a film is taken for and surely does not look like.

    Args:
        film: as it was recognised.
        recognition: what :func:`recognise` says of it.

    Returns:
        Sentences that name the file, both opinions and what to do; none where they agree, or where
        the picture leaves room for doubt.
    """
    name = film.path.name if film.path else "The film"
    sure = {fact for fact, value in recognition.confidence.items() if value >= SURE}
    if not recognition.is_knee:
        return (
            f"{name} is taken as a film of a knee, but it does not look like one, neither frontal "
            "nor lateral; check that it is the right film, that it stands upright, and its pixel "
            "spacing.",
        )
    if "is_knee" not in sure:
        return ()
    wrong_view = (recognition.view is View.LATERAL) is not (film.view.value is View.LATERAL)
    sentences = []
    if wrong_view and "view" in sure:
        sentences.append(_of_view(name, film, recognition))
    if recognition.inverted and "inverted" in sure:
        sentences.append(_of_polarity(name, film))
    if recognition.upside_down and "upside_down" in sure:
        sentences.append(_of_turn(name, recognition))
    if not wrong_view and "mirrored" in sure:  # of the wrong view, side and mirror mean nothing
        sentences += _of_side(name, film, recognition)
    return tuple(sentences)


def _of_view(name: str, film: Radiograph, recognition: Recognition) -> str:
    lateral = recognition.view is View.LATERAL
    taken = f"{'an' if film.view.value is View.AP else 'a'} {film.view.value.value}"
    return (
        f"{name} is taken as {taken} film {_source(film.view)}, but it looks like a "
        f"{'lateral' if lateral else 'frontal'} one; check the order of the films."
    )


def _of_polarity(name: str, film: Radiograph) -> str:
    taken, seen = ("dark", "bright") if film.inverted.value else ("bright", "dark")
    return (
        f"{name} is taken as a film whose file shows bone {taken} {_source(film.inverted)}, but "
        f"it looks {seen} there; say --{option_name(film)}-{seen} if it is."
    )


def _of_turn(name: str, recognition: Recognition) -> str:
    how = "turned by half a turn" if recognition.mirrored else "turned over, top to bottom"
    return f"{name} is taken as upright, but it looks {how}; turn the picture back and save it."


def _of_side(name: str, film: Radiograph, recognition: Recognition) -> list[str]:
    taken = f"{name} is taken as a {film.side.value.value} knee {_source(film.side)}"
    if recognition.side not in (None, film.side.value):
        assert recognition.side is not None
        seen = recognition.side.value
        return [
            f"{taken}, but it looks like a {seen} one; say --side {seen}, or "
            f"--flip-{option_name(film)} if the picture is mirrored."
        ]
    if recognition.mirrored and not recognition.upside_down:  # half a turn is another sentence
        return [
            f"{taken} whose rows run {_letter(film)} {_source(film.orientation)}, but it "
            f"looks mirrored, left to right; --flip-{option_name(film)} turns it, or say the other "
            "--side if that is wrong."
        ]
    return []


def option_name(film: Radiograph) -> str:
    """What options of the command line call the film."""
    return "lateral" if film.view.value is View.LATERAL else "ap"


def _letter(film: Radiograph) -> str:
    """What the rows of the upright picture run towards, in words."""
    if film.view.value is not View.LATERAL:
        return "to the patient's left"
    return "to the back" if film.side.value is Side.RIGHT else "to the front"


def _source(fact: Sourced[Any]) -> str:
    """Who said so, in brackets."""
    return f"({fact.origin.value}{f': {fact.note}' if fact.note else ''})"
