"""Places on a picture, whatever its size."""

from __future__ import annotations

import torch


def unit_axes(image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows ``(H, 1)`` and columns ``(1, W)``, from -1 at the first pixel to 1 at the last."""
    rows, columns = image.shape
    axis = {"device": image.device, "dtype": image.dtype}
    return (
        torch.linspace(-1.0, 1.0, rows, **axis)[:, None],
        torch.linspace(-1.0, 1.0, columns, **axis)[None, :],
    )
