"""Each bone's silhouette on a film, as the films' network of a model sees it.

Before its bones are reconstructed a film is looked at for much: whether it is a knee, whether the
leg is in a cast, where the joint is, how the leg leans. Mostly that is the same picture again,
which :func:`remembering` spares the network.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

from XRayTo3DLib.reconstruction.weights import Model

_AT_ONCE = 4
"""Pictures, or pairs, that go through the network together: each takes three quarters of the time
that it takes alone, on four cores; of eight, no less."""

_memory: ContextVar[dict[bytes, Tensor] | None] = ContextVar("silhouettes", default=None)


@contextmanager
def remembering() -> Iterator[None]:
    """Within it, no picture goes through the same entry of a network twice."""
    token = _memory.set({})
    try:
        yield
    finally:
        _memory.reset(token)


def silhouettes_on(model: Model, pictures: Tensor, views: Sequence[int]) -> Tensor:
    """Silhouettes of pictures, each by the entry of one view.

    Args:
        model: with a network that estimates silhouettes.
        pictures: ``(N, size, size)``, as of
            :func:`~XRayTo3DLib.reconstruction.standard_film.standard_film`, of right knees.
        views: of each: 0 frontal, 1 lateral.

    Returns:
        ``(N, 4, size / 2, size / 2)`` float32, 0–1, of the bones in label order, on the CPU.
    """
    memory = _memory.get()
    seen: dict[bytes, Tensor] = {} if memory is None else memory
    keys = [_key(model, picture, view) for picture, view in zip(pictures, views, strict=True)]
    new = [number for number, key in enumerate(keys) if key not in seen]
    frontal = [number for number in new if views[number] == 0]
    lateral = [number for number in new if views[number] == 1]
    for batch in _batches(frontal, lateral):
        for number, found in zip(batch, _worked_out(model, pictures, views, batch), strict=True):
            seen[keys[number]] = found
    return torch.stack([seen[key] for key in keys])


def _key(model: Model, picture: Tensor, view: int) -> bytes:
    """Tells a picture seen by one entry of a network from all others."""
    content = picture.contiguous().cpu().numpy()
    who = f"{id(model.network)} {view}".encode()
    return hashlib.blake2b(content, key=who, digest_size=16).digest()


def _batches(frontal: list[int], lateral: list[int]) -> list[list[int]]:
    """Which pictures go through the network together: pairs of both views first."""
    pairs = list(zip(frontal, lateral))  # noqa: B905 - the rest of the longer one comes below
    rest = frontal[len(pairs) :] or lateral[len(pairs) :]
    batches = [
        [number for pair in pairs[first : first + _AT_ONCE] for number in pair]
        for first in range(0, len(pairs), _AT_ONCE)
    ]
    return batches + [rest[k : k + _AT_ONCE] for k in range(0, len(rest), _AT_ONCE)]


@torch.inference_mode()
def _worked_out(
    model: Model, pictures: Tensor, views: Sequence[int], batch: list[int]
) -> list[Tensor]:
    """The silhouettes of a batch, ``(4, rows, columns)`` each."""
    encoder = model.network.films
    assert encoder is not None  # as the settings have silhouettes
    shown = {views[number] for number in batch}
    together = pictures[batch].to(next(encoder.parameters()).device)
    if len(shown) == 1:
        found = encoder.of_view(shown.pop())(together[:, None])[1]
    else:
        found = encoder(together.unflatten(0, (-1, 2)))[1]
    return list(found.flatten(0, 1).sigmoid().float().cpu())
