"""Settings of a training from words: presets and ``name=value`` pairs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from inspect import getdoc
from textwrap import wrap
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

_INDENT = "    "


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
    """Lines that show every name that :func:`settings_from` knows, ``name=default``.

    The lines after a name, indented, say what it means and its unit: its entry in the docstring of
    its class.
    """
    default = TrainingSettings()
    return [*_listed(default, ""), *_listed(default.network, "network.")]


def _listed(settings: Any, prefix: str) -> Iterator[str]:
    meanings = _meanings(type(settings))
    for name, value in ((f.name, getattr(settings, f.name)) for f in fields(settings)):
        if not is_dataclass(value):
            text = value if isinstance(value, str) else json.dumps(value)
            yield f"{prefix}{name}={text}"
            yield from wrap(
                meanings.get(name, ""), 96, initial_indent=_INDENT, subsequent_indent=_INDENT
            )


def _meanings(settings: type) -> dict[str, str]:
    """The entries under ``Attributes:`` in the docstring of a class, by name."""
    _, _, entries = (getdoc(settings) or "").partition("Attributes:\n")
    # An entry is indented by four, its further lines by eight.
    found = re.findall(r"^ {4}(\w+): (.+(?:\n {8}.+)*)", entries, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in found}


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
    wanted = "true or false" if kind is bool else f"a number ({kind.__name__})"
    try:
        value = json.loads(text)
        if kind is float or kind(value) == value:
            return kind(value)
    except (ValueError, TypeError):
        pass
    raise XRayTo3DError(f"{name} must be {wanted}, not {text!r}.")
