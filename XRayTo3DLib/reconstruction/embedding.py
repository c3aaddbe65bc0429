"""A radiograph as a vector: what the network that reconstructs bones in 3D makes of a film.

The vector is the deepest layer of the films' network, which has learned to say where bones are in
space, averaged over 4×4 parts of the film and brought to unit length. It can feed a search for
alike films or a small classifier. A film is taken as it is seen from the tube: left knees are not
mirrored, so that the vector tells them from right ones.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.geometry import film_geometry
from XRayTo3DLib.imaging.radiograph import Radiograph, View
from XRayTo3DLib.reconstruction.film_encoder import FilmEncoder
from XRayTo3DLib.reconstruction.standard_film import standard_film
from XRayTo3DLib.reconstruction.weights import Model

PARTS = 4
"""Parts of a film down and across that are averaged apart."""


def embedding_length(model: Model) -> int:
    """Numbers in a vector of this model; 2048 for the weights that are shipped."""
    return PARTS**2 * _encoder(model).deepest_width


def embed(film: Radiograph, model: Model) -> np.ndarray:
    """The vector of a film.

    Args:
        film: upright, bone bright; its middle is taken for the middle of the joint.
        model: with a network that encodes films (``lifting="encode"``). Vectors of different
            weights cannot be compared: keep ``model.identity.sha256`` with them.

    Returns:
        ``(embedding_length(model),)`` float32 of Euclidean length 1, channels slowest, then rows,
        then columns.

    Raises:
        XRayTo3DError: the network encodes no films.
    """
    settings = model.network.settings
    picture = standard_film(
        film.pixels, film_geometry(film), settings.film_spacing, settings.film_size
    )
    lateral = film.view.value is View.LATERAL
    return embed_standard(picture[None], lateral, model)[0].numpy()


@torch.inference_mode()
def embed_standard(pictures: Tensor, lateral: bool, model: Model) -> Tensor:
    """Vectors ``(N, length)`` of standard films ``(N, rows, columns)`` of one view."""
    encoder = _encoder(model)
    # Both views go through the network together, each by its own entry.
    deepest = encoder.deepest(pictures[:, None].expand(-1, 2, -1, -1))[:, int(lateral)]
    parts = F.adaptive_avg_pool2d(deepest, PARTS).flatten(1)
    return F.normalize(parts, dim=1)


def _encoder(model: Model) -> FilmEncoder:
    encoder = model.network.films
    if encoder is None:
        raise XRayTo3DError(
            f"The weights {model.identity.name} encode no films by themselves; use those shipped, "
            "or others of the preset encode."
        )
    return encoder
