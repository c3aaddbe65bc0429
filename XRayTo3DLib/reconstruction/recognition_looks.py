"""Looking at a film in every way in which it may have been stored.

The films' network knows right knees, upright, bone bright. A film is shown to it as a frontal and
as a lateral one, as it is and mirrored, upright and upside down, as it is and as a negative: 16
ways, of which a knee fits one.
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
from XRayTo3DLib.imaging.geometry import view_geometry
from XRayTo3DLib.imaging.radiograph import Origin, Radiograph, Side, View
from XRayTo3DLib.reconstruction.centring import joint_position
from XRayTo3DLib.reconstruction.recognition_score import Scoring, measured
from XRayTo3DLib.reconstruction.standard_film import standard_film
from XRayTo3DLib.reconstruction.weights import Model

CONVINCING = 0.9
"""Probability of a knee with which one need not look further."""

_OTHER_SCALES = (0.75, 1.33)
"""What an assumed pixel spacing may have to be multiplied with."""

_LATER = -3.0
"""Log-odds with which looks after the first start: whoever looks often enough, and at the rim of a
film, will see a knee in anything."""

_NEAR = 12.0
"""mm at the isocentre; a joint nearer to the middle of a look was looked at well."""


@dataclass(frozen=True)
class Look:
    """What was seen of a film at one place, in one scale.

    Attributes:
        features: ``(2, 8, features)``, by entry of the network and by flips.
        scores: ``(2, 2, 2, 2)``: frontal or lateral; as it is or a negative; upright or upside
            down; as it is or mirrored.
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


def best_look(film: Radiograph, model: Model, scoring: Scoring) -> Look:
    """The look at a film that shows a knee best.

    Looked at are the middle of the film, the place where the joint seems to be and, on a film much
    larger than the network's field, the places above and below; where the pixel spacing is assumed,
    in other scales, too. The first look that convinces is the last.

    Raises:
        XRayTo3DError: the network estimates no silhouettes.
    """
    if not model.network.settings.silhouettes:
        raise XRayTo3DError(
            f"The weights {model.identity.name} estimate no silhouettes, by which a film is "
            "recognised; use those shipped."
        )
    best: Look | None = None
    for look in _looks(film, model, scoring):
        if best is None or look.knee > best.knee:
            best = look
        if best.knee > CONVINCING:
            break
    assert best is not None  # there is at least one look
    return best


def _looks(film: Radiograph, model: Model, scoring: Scoring) -> Iterator[Look]:
    middle = ((film.pixels.shape[0] - 1) / 2, (film.pixels.shape[1] - 1) / 2)
    scales = (1.0, *(_OTHER_SCALES if film.spacing.origin is Origin.ASSUMED else ()))
    first: list[Look] = []
    for scale in scales:
        first.append(look_at(film, model, scoring, middle, scale, _LATER if first else 0.0))
        yield first[-1]
    # The likeliest first: a wrong scale shows less of a knee than a wrong place.
    for _, index in sorted((-look.knee, index) for index, look in enumerate(first)):
        look, scale = first[index], scales[index]
        if look.joint is not None and look.offset > _NEAR:
            yield look_at(film, model, scoring, look.joint, scale, _LATER)
    for place in _above_and_below(film, model, middle):
        yield look_at(film, model, scoring, place, 1.0, _LATER)


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
) -> Look:
    """Show a film to the network in all 16 ways.

    Args:
        film: as it was read.
        model: with a network that estimates silhouettes.
        scoring: how a knee is told.
        place: pixel (row, column) of the film to put in the middle.
        scale: what its pixel spacing is multiplied with.
        prior: log-odds added to all scores.
    """
    settings = model.network.settings
    step = 2 * settings.film_spacing
    pictures = _pictures(film, model, place, scale)
    silhouettes = _silhouettes(model, pictures)
    small = F.avg_pool2d(pictures, 2)  # silhouettes have half the resolution
    features = measured(silhouettes.flatten(0, 1), torch.cat([small, small]), step)
    features = features.reshape(2, len(pictures), -1)
    scores = scoring.scores(features).reshape(2, 2, 2, 2) + prior
    knee = 1.0 - float(softmax(np.append(scores, scoring.no_knee))[-1])
    view, inverted, upside_down, mirrored = np.unravel_index(scores.argmax(), scores.shape)
    seen = silhouettes[view, inverted * 4 + upside_down * 2 + mirrored]
    if upside_down:
        seen = seen.flip(-2)
    if mirrored:
        seen = seen.flip(-1)
    found = joint_position(seen, step)
    if found is None:
        return Look(features, scores, prior, knee, None, np.inf)
    away = (np.array(found) - (seen.shape[-1] - 1) / 2) * step
    row, column = np.array(place) + away * film.magnification / np.array(film.spacing.value) / scale
    joint = (float(row), float(column))
    return Look(features, scores, prior, knee, joint, float(np.linalg.norm(away)))


def _pictures(film: Radiograph, model: Model, place: Pixel, scale: float) -> Tensor:
    """``(8, size, size)``: as it is and a negative, each upright and upside down and mirrored."""
    settings = model.network.settings
    row, column = film.spacing.value
    # The stand does not matter, only how large a pixel is at the isocentre.
    view = view_geometry(
        View.AP,
        Side.RIGHT,
        sid=film.sid.value,
        sod=film.sod.value,
        spacing=(row * scale, column * scale),
        shape=(film.pixels.shape[0], film.pixels.shape[1]),
        centre=place,
    )
    pictures = []
    for pixels in (film.pixels, 1.0 - film.pixels):
        seen = standard_film(pixels, view, settings.film_spacing, settings.film_size)
        for turned in (seen, seen.flip(-2)):
            pictures += [turned, turned.flip(-1)]
    return torch.stack(pictures)


@torch.inference_mode()
def _silhouettes(model: Model, pictures: Tensor) -> Tensor:
    """``(2, N, 4, rows, columns)``, 0–1: of N pictures as frontal and as lateral films."""
    network = model.network
    assert network.films is not None  # as the settings have silhouettes
    device = next(network.parameters()).device
    # Both entries see every picture.
    pairs = pictures[:, None].expand(-1, 2, -1, -1).to(device)
    return network.films(pairs)[1].sigmoid().transpose(0, 1).cpu()
