"""Looking at a film in every way in which it may have been stored.

The films' network knows right knees, upright, bone bright. A film is shown to it as a frontal and
as a lateral one, as it is and mirrored, upright and upside down, as it is and as a negative: 16
ways, of which a knee fits one. Most films are what they are taken for, so a glance at that way and
at its mirror image, an eighth of the work, comes first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.special import softmax
from torch import Tensor

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.centres import Pixel
from XRayTo3DLib.imaging.geometry import ViewGeometry, view_geometry
from XRayTo3DLib.imaging.radiograph import Origin, Radiograph, Side, View
from XRayTo3DLib.reconstruction.centring import joint_position
from XRayTo3DLib.reconstruction.recognition_score import FEATURES, Scoring, measured
from XRayTo3DLib.reconstruction.silhouettes import silhouettes_on
from XRayTo3DLib.reconstruction.standard_film import standard_film
from XRayTo3DLib.reconstruction.weights import Model

CONVINCING = 0.9
"""Probability of a knee with which one need not look further."""

_UNSEEN = -5.0
"""Score of all ways together that were not looked at: about what the best wrong way scores."""

_UPSIDE_DOWN, _NEGATIVE = -2.0, -1.0
"""Log-odds with which these ways start: fewer films are stored so. An ankle upside down looks more
like a knee than any other film that was tried."""

_OTHER_SCALES = (0.75, 1.33)
"""What an assumed pixel spacing may have to be multiplied with."""

WAY_PRIORS = np.zeros((2, 2, 2, 2))
"""Log-odds of each way before anything is seen."""
WAY_PRIORS[:, 1] += _NEGATIVE
WAY_PRIORS[:, :, 1] += _UPSIDE_DOWN

_LATER = -3.0
"""Log-odds with which looks after the first start: whoever looks often enough, and at the rim of a
film, will see a knee in anything."""

_NEAR = 12.0
"""mm at the isocentre; a joint nearer to the middle of a look was looked at well."""


@dataclass(frozen=True)
class Look:
    """What was seen of a film at one place, in one scale.

    Attributes:
        features: ``(2, 8, features)``, by entry of the network and by flips; NaN of ways that
            were not looked at.
        scores: ``(2, 2, 2, 2)``: frontal or lateral; as it is or a negative; upright or upside
            down; as it is or mirrored. Ways that were not looked at share :data:`_UNSEEN`.
        prior: log-odds that the scores hold already for where it was looked.
        knee: probability of a knee, 0–1.
        joint: pixel of the film (row, column) where the best of the ways has the joint, or None.
        offset: mm at the isocentre of that pixel from the middle of the look.
    """

    features: np.ndarray
    scores: np.ndarray
    prior: float
    knee: float
    joint: Pixel | None
    offset: float


def needs_silhouettes(model: Model) -> None:
    """Refuse a model by which nothing can be recognised.

    Raises:
        XRayTo3DError: its network estimates no silhouettes.
    """
    if not model.network.settings.silhouettes:
        raise XRayTo3DError(
            f"The weights {model.identity.name} estimate no silhouettes, by which a film is "
            "recognised; use those shipped."
        )


def best_look(film: Radiograph, model: Model, scoring: Scoring) -> Look:
    """The look at a film that shows a knee best.

    Looked at are the middle of the film, the place where the joint seems to be and, on a film much
    larger than the network's field, the places above and below; where the pixel spacing is assumed,
    in other scales, too. The first look that convinces is the last.

    Raises:
        XRayTo3DError: the network estimates no silhouettes.
    """
    needs_silhouettes(model)
    best: Look | None = None
    for look in looks_at(film, model, scoring):
        if best is None or look.knee > best.knee:
            best = look
        if best.knee > CONVINCING:
            break
    assert best is not None  # there is at least one look
    return best


def glance(films: tuple[Radiograph, Radiograph], model: Model, scoring: Scoring) -> np.ndarray:
    """Scores of two films when they are seen only as what they are taken for, and mirrored.

    The network sees a frontal and a lateral film at once, so that both cost what one would.

    Args:
        films: the frontal film and the lateral.
        model: with a network that estimates silhouettes.
        scoring: how a knee is told.

    Returns:
        ``(2, 2, 2, 2, 2)``: of each film as :attr:`Look.scores`; ways that were not looked at
        share the score of a usual wrong one.
    """
    settings = model.network.settings
    pictures = torch.cat([_as_taken(film, model) for film in films])  # each as it is, and mirrored
    silhouettes = silhouettes_on(model, pictures, [0, 0, 1, 1])
    small = F.avg_pool2d(pictures, 2)
    features = measured(silhouettes, small, 2 * settings.film_spacing)
    scores = scoring.scores(features.reshape(2, 2, -1))
    every = np.full((2, 2, 2, 2, 2), _UNSEEN - np.log(14))
    for number, film in enumerate(films):
        reverse = int(film.side.value is Side.LEFT)  # of right knees, which the network knows
        every[number, number, 0, 0, reverse] = scores[number, 0]
        every[number, number, 0, 0, 1 - reverse] = scores[number, 1]
    return every


def bones_seen(film: Radiograph, model: Model) -> tuple[Tensor, float]:
    """Silhouettes on a film that is what it is taken for, around its middle.

    Returns:
        ``(4, rows, columns)``, 0–1, of the bones in label order, and mm between their pixels at
        the isocentre.
    """
    view = int(film.view.value is View.LATERAL)
    found = silhouettes_on(model, _as_taken(film, model)[:1], [view])[0]
    left = film.side.value is Side.LEFT
    return (found.flip(-1) if left else found), 2 * model.network.settings.film_spacing


def _as_taken(film: Radiograph, model: Model) -> Tensor:
    """``(2, size, size)``: as a right knee's, as it is taken for and mirrored."""
    settings = model.network.settings
    rows, columns = film.pixels.shape
    view = _view(film, ((rows - 1) / 2, (columns - 1) / 2))
    pixels = film.pixels[:, ::-1] if film.side.value is Side.LEFT else film.pixels
    seen = standard_film(pixels, view, settings.film_spacing, settings.film_size)
    return torch.stack([seen, seen.flip(-1)])


def looks_at(
    film: Radiograph, model: Model, scoring: Scoring, *, thorough: bool = False
) -> Iterator[Look]:
    """One look after the other, in the order of :func:`best_look`.

    Args:
        film: as it was read.
        model: with a network that estimates silhouettes.
        scoring: how a knee is told.
        thorough: see :func:`look_at`.
    """
    middle = ((film.pixels.shape[0] - 1) / 2, (film.pixels.shape[1] - 1) / 2)
    scales = (1.0, *(_OTHER_SCALES if film.spacing.origin is Origin.ASSUMED else ()))
    first: list[Look] = []
    for scale in scales:
        first.append(
            look_at(film, model, scoring, middle, scale, _LATER if first else 0.0, thorough)
        )
        yield first[-1]
    # The likeliest first: a wrong scale shows less of a knee than a wrong place.
    for _, index in sorted((-look.knee, index) for index, look in enumerate(first)):
        look, scale = first[index], scales[index]
        if look.joint is not None and look.offset > _NEAR:
            yield look_at(film, model, scoring, look.joint, scale, _LATER, thorough)
    for place in _above_and_below(film, model, middle):
        yield look_at(film, model, scoring, place, 1.0, _LATER, thorough)


def _above_and_below(film: Radiograph, model: Model, middle: Pixel) -> list[Pixel]:
    """Half a field above and below the middle, where the film reaches so far."""
    settings = model.network.settings
    step = film.spacing.value[0] / film.magnification
    half = settings.film_size * settings.film_spacing / 2 / step
    if half > middle[0]:
        return []
    return [(middle[0] - half, middle[1]), (middle[0] + half, middle[1])]


def look_at(
    film: Radiograph,
    model: Model,
    scoring: Scoring,
    place: Pixel,
    scale: float = 1.0,
    prior: float = 0.0,
    thorough: bool = False,
) -> Look:
    """Show a film to the network in all 16 ways, the commonest first, until one convinces.

    Args:
        film: as it was read.
        model: with a network that estimates silhouettes.
        scoring: how a knee is told.
        place: pixel (row, column) of the film to put in the middle.
        scale: what its pixel spacing is multiplied with.
        prior: log-odds added to all scores.
        thorough: whether all ways are looked at, whatever is seen.
    """
    step = 2 * model.network.settings.film_spacing
    pictures = _pictures(film, model, place, scale)
    features = np.full((2, len(pictures), len(FEATURES)), np.nan)
    silhouettes: list[Tensor] = []
    # First one way and its mirror image, by both entries. Where that does not convince, the next
    # few hardly ever do: of 400 films of people of the training, none.
    for ways in (slice(0, 2), slice(2, None)):
        batch = pictures[ways]
        silhouettes.append(_silhouettes(model, batch))
        small = F.avg_pool2d(batch, 2)  # silhouettes have half the resolution
        found = measured(silhouettes[-1].flatten(0, 1), torch.cat([small, small]), step)
        features[:, ways] = found.reshape(2, len(batch), -1)
        scores = _scores(scoring, features, prior)
        if not thorough and softmax(scores).max() > CONVINCING:
            break
    knee = 1.0 - float(softmax(np.append(scores, scoring.no_knee))[-1])
    seen = np.concatenate(silhouettes, axis=1)
    joint, offset = _joint(film, torch.from_numpy(seen), scores, place, scale, step)
    return Look(features, scores, prior, knee, joint, offset)


def _scores(scoring: Scoring, features: np.ndarray, prior: float) -> np.ndarray:
    """``(2, 2, 2, 2)``: of the ways that were looked at, and what the others share."""
    looked = np.isfinite(features).any(axis=-1)
    scores = np.full(looked.shape, _UNSEEN)
    count = int(looked[0].sum())
    if count < looked.shape[1]:
        scores -= np.log(2 * (looked.shape[1] - count))
    scores[:, :count] = scoring.scores(features[:, :count])
    return scores.reshape(2, 2, 2, 2) + WAY_PRIORS * looked.reshape(2, 2, 2, 2) + prior


def _joint(
    film: Radiograph,
    silhouettes: Tensor,
    scores: np.ndarray,
    place: Pixel,
    scale: float,
    step: float,
) -> tuple[Pixel | None, float]:
    """Where the likeliest way has the joint: the film's pixel, and mm from the middle."""
    view, inverted, upside_down, mirrored = np.unravel_index(scores.argmax(), scores.shape)
    way = inverted * 4 + upside_down * 2 + mirrored
    if way >= silhouettes.shape[1]:  # one of those that were not looked at
        return None, np.inf
    seen = silhouettes[view, way]
    if upside_down:
        seen = seen.flip(-2)
    if mirrored:
        seen = seen.flip(-1)
    found = joint_position(seen, step)
    if found is None:
        return None, np.inf
    away = (np.array(found) - (seen.shape[-1] - 1) / 2) * step
    row, column = np.array(place) + away * film.magnification / np.array(film.spacing.value) / scale
    return (float(row), float(column)), float(np.linalg.norm(away))


def _pictures(film: Radiograph, model: Model, place: Pixel, scale: float) -> Tensor:
    """``(8, size, size)``: as it is and a negative, each upright and upside down and mirrored."""
    settings = model.network.settings
    view = _view(film, place, scale)
    pictures = []
    for pixels in (film.pixels, 1.0 - film.pixels):
        seen = standard_film(pixels, view, settings.film_spacing, settings.film_size)
        for turned in (seen, seen.flip(-2)):
            pictures += [turned, turned.flip(-1)]
    return torch.stack(pictures)


def _view(film: Radiograph, place: Pixel, scale: float = 1.0) -> ViewGeometry:
    """Any stand with a pixel in its middle: only how large pixels are at the isocentre matters."""
    row, column = film.spacing.value
    return view_geometry(
        View.AP,
        Side.RIGHT,
        sid=film.sid.value,
        sod=film.sod.value,
        spacing=(row * scale, column * scale),
        shape=(film.pixels.shape[0], film.pixels.shape[1]),
        centre=place,
    )


def _silhouettes(model: Model, pictures: Tensor) -> Tensor:
    """``(2, N, 4, rows, columns)``, 0–1: of N pictures, each as a frontal and a lateral film."""
    views = [0] * len(pictures) + [1] * len(pictures)
    return silhouettes_on(model, torch.cat([pictures, pictures]), views).unflatten(0, (2, -1))
