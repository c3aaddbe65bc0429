"""Weights between two trainings.

A network that learns on from simulated films alone grows better on them and may grow worse on what
it has never seen. The mean of the weights before and after keeps most of both (M. Wortsman et al.,
Robust fine-tuning of zero-shot models, CVPR 2022).
"""

from __future__ import annotations

from pathlib import Path

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.reconstruction.weights import load_model, save_weights


def mix_films(before: Path, after: Path, share: float, path: Path) -> None:
    """Write weights whose films' network lies between those of two others.

    Args:
        before: weights of a network that looks at films by a 2D network.
        after: weights that were trained on from these; all but the films' network is theirs.
        share: of ``after`` in the films' network, 0 to 1.
        path: ends in .safetensors.

    Raises:
        XRayTo3DError: the share is out of range, or the networks differ or have no films' network.
    """
    if not 0.0 <= share <= 1.0:
        raise XRayTo3DError(f"The share must be from 0 to 1, not {share:g}.")
    first, second = load_model(before), load_model(after)
    films = second.network.films
    if first.network.settings != second.network.settings or films is None:
        raise XRayTo3DError(
            f"{before.name} and {after.name} are not of one network that looks at films first."
        )
    assert first.network.films is not None  # as the settings are the same
    old, new = first.network.films.state_dict(), films.state_dict()
    mixed = {name: value.lerp(new[name], share) for name, value in old.items()}
    kept = {name: value.clone() for name, value in new.items()}
    films.load_state_dict(mixed)
    try:
        card = {
            **second.card,
            "films_mixed_with": {"sha256": first.identity.sha256, "share": share},
        }
        save_weights(second.network, path, card)
    finally:  # the networks of a file are shared by all that load it
        films.load_state_dict(kept)
