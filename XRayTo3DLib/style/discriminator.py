"""The adversary: does each patch of a film look like one of the style?"""

from __future__ import annotations

from torch import Tensor, nn


class PatchDiscriminator(nn.Module):
    """Judges overlapping patches, never the whole film (Isola et al., CVPR 2017, "PatchGAN").

    Three layers see 34 pixels, about 23 mm: enough for texture, contrast and edges of a film, too
    little to judge where a bone ought to be, which is none of the adversary's business.

    Args:
        base: channels of the first layer.
    """

    def __init__(self, base: int = 32) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, base, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(base, 2 * base, 4, stride=2, padding=1, bias=False),
            nn.InstanceNorm2d(2 * base, affine=True),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(2 * base, 4 * base, 4, padding=1, bias=False),
            nn.InstanceNorm2d(4 * base, affine=True),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(4 * base, 1, 4, padding=1),
        )

    def forward(self, films: Tensor) -> Tensor:
        """Scores of films ``(B, 1, rows, columns)``, about 1 for the style and 0 for a forgery.

        The shape is ``(B, 1, rows / 4 − 2, columns / 4 − 2)``.
        """
        return self.body(films)
