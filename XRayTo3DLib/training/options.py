"""Settings of a training from words: presets and ``name=value`` pairs."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass, replace
from typing import Any, get_args, get_origin, get_type_hints

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.reconstruction.networks import CHEN, PAPER, NetworkSettings
from XRayTo3DLib.training.settings import TrainingSettings

PRESETS = {
    "paper": PAPER,
    "chen": CHEN,
    "backproject": NetworkSettings(lifting="backproject", size=96, upscale=1, base=8),
    "encode": NetworkSettings(film_features=8, silhouettes=True),
}
"""Networks by name: the paper's, its rival's, the paper's on back-projected films, and lifted
2D features with silhouettes."""


def settings_from(preset: str, pairs: list[str]) -> TrainingSettings:
    """The settings that a preset and changes to it describe.

    Args:
        preset: one of :data:`PRESETS`.
        pairs: ``name=value``, as in ``steps=2000`` or ``network.base=16``.

    Raises:
        XRayTo3DError: an unknown name, or a value of another type.
    """
    if preset not in PRESETS:
        raise XRayTo3DError(f"--preset is one of {', '.join(PRESETS)}, not {preset!r}.")
    settings = TrainingSettings(network=PRESETS[preset])
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator:
            raise XRayTo3DError(f"--set wants name=value, as in steps=2000, not {pair!r}.")
        settings = _changed(settings, name.strip(), text.strip(), name.strip())
    return settings


def setting_names() -> list[str]:
    """Every name that :func:`settings_from` knows, with its default."""
    default = TrainingSettings()
    own = [f for f in fields(default) if not is_dataclass(getattr(default, f.name))]
    network = fields(default.network)
    return [f"{f.name}={getattr(default, f.name)}" for f in own] + [
        f"network.{f.name}={getattr(default.network, f.name)}" for f in network
    ]


def _changed(settings: Any, name: str, text: str, full_name: str) -> Any:
    first, _, rest = name.partition(".")
    if first not in {f.name for f in fields(settings)}:
        raise XRayTo3DError(
            f"There is no setting {full_name!r}; 'xrayto3d train --list-settings' shows them all."
        )
    current = getattr(settings, first)
    if rest or is_dataclass(current):
        return replace(settings, **{first: _changed(current, rest, text, full_name)})
    kind = get_type_hints(type(settings))[first]
    return replace(settings, **{first: _parsed(kind, text, full_name)})


def _parsed(kind: Any, text: str, name: str) -> Any:
    if get_origin(kind) is not None:  # a Literal
        if text in get_args(kind):
            return text
        raise XRayTo3DError(f"{name} is one of {', '.join(get_args(kind))}, not {text!r}.")
    try:
        value = json.loads(text)
        return kind(value) if kind is float or kind(value) == value else kind(text)
    except (ValueError, TypeError):
        raise XRayTo3DError(f"{name} must be a number ({kind.__name__}), not {text!r}.") from None
