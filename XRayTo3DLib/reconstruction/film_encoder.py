"""The 2D network: each film to features and to silhouettes of the bones."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from XRayTo3DLib.reconstruction.layers import convolution_pair


class FilmEncoder(nn.Module):
    """A 2D U-Net that turns each film into features, and silhouettes, at half its resolution.

    Frontal and lateral films share the weights but for the first layer, which knows the view.
    """

    def __init__(
        self, base: int, features: int, bones: int = 0, norm_group: int = 1, levels: int = 5
    ) -> None:
        super().__init__()
        widths = [base * min(2**level, 8) for level in range(levels)]
        self.entry = nn.ModuleList(nn.Conv2d(1, base, 5, stride=2, padding=2) for _ in range(2))
        self.down = nn.ModuleList(
            convolution_pair(nn.Conv2d, a, b, norm_group)
            for a, b in zip([base, *widths[:-1]], widths, strict=True)
        )
        self.up = nn.ModuleList(
            convolution_pair(nn.Conv2d, coarse + fine, fine, norm_group)
            for fine, coarse in zip(widths[:-1], widths[1:], strict=True)
        )
        self.exit = nn.Conv2d(base, features + bones, 1)
        self.features, self.deepest_width = features, widths[-1]

    def forward(self, films: Tensor) -> tuple[Tensor, Tensor]:
        """``(B, 2, rows, columns)`` to features and logits of the bones' silhouettes.

        Returns:
            ``(B, 2, features, rows / 2, columns / 2)`` and ``(B, 2, bones, …)``.
        """
        skips = self._descended(films)
        image = skips.pop()
        for block in reversed(self.up):
            skip = skips.pop()
            image = F.interpolate(image, skip.shape[-2:], mode="bilinear", align_corners=False)
            image = block(torch.cat([image, skip], dim=1))
        image = self.exit(image).unflatten(0, films.shape[:2])
        return image[:, :, : self.features], image[:, :, self.features :]

    def deepest(self, films: Tensor) -> Tensor:
        """``(B, 2, rows, columns)`` to ``(B, 2, 8·base, rows / 32, columns / 32)``.

        What the encoder makes of each film where it sees most of it at once.
        """
        return self._descended(films)[-1].unflatten(0, films.shape[:2])

    def of_view(self, number: int) -> FilmEncoder:
        """The same network, weights shared, for films of one view alone: half the work.

        Args:
            number: 0 frontal, 1 lateral.

        Returns:
            what takes ``(B, 1, rows, columns)``.
        """
        single = copy.copy(self)
        single._modules = {**self._modules, "entry": nn.ModuleList([self.entry[number]])}
        return single

    def _descended(self, films: Tensor) -> list[Tensor]:
        """The output of every level, finest first, the views of a pair one after the other."""
        views = [entry(films[:, view, None]) for view, entry in enumerate(self.entry)]
        image = torch.stack(views, dim=1).flatten(0, 1)
        image = image.contiguous(memory_format=torch.channels_last)
        levels: list[Tensor] = []
        for level, block in enumerate(self.down):
            image = block(image if level == 0 else F.max_pool2d(image, 2))
            levels.append(image)
        return levels
