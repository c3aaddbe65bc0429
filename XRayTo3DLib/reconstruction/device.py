"""Where networks run."""

from __future__ import annotations

import torch

from XRayTo3DLib.errors import XRayTo3DError


def chosen_device(name: str) -> torch.device:
    """``auto``, ``cpu`` or ``cuda`` as a device.

    Raises:
        XRayTo3DError: another name, or a GPU that is not there.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise XRayTo3DError(f"--device is auto, cpu or cuda, not {name!r}.")
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise XRayTo3DError("There is no GPU that PyTorch can use; take --device cpu.")
    return torch.device("cuda" if there and name != "cpu" else "cpu")
