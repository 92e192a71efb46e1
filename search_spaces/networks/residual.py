"""Global residuals: an interpolation of the input, written as a convolution before pixel-shuffle.

Interpolating by 4 with half-pixel centres gives each of the 16 output phases its own fixed taps on
the LR grid. So every kind is one depthwise convolution 3 -> 48 with replicated borders, exact at
the border, foldable, exportable; and the learned residual is the same thing with free taps.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from search_spaces.architecture import SCALE
from search_spaces.components import interpolations


def interpolation_kernel(kind: str) -> Tensor:
    """Taps (16, k, k) of 4x interpolation, row-major phases as pixel-shuffle wants them.

    ``kind`` is a name in `search_spaces.components.interpolations`; each phase sums to 1.
    """
    weight, size = interpolations[kind].weight, interpolations[kind].taps
    reach = size // 2
    offsets = [(phase + 0.5) / SCALE - 0.5 for phase in range(SCALE)]
    rows = torch.tensor(
        [[weight(tap - offset) for tap in range(-reach, reach + 1)] for offset in offsets],
        dtype=torch.float64,
    )
    rows = rows / rows.sum(1, keepdim=True)
    taps = torch.einsum("ay,bx->abyx", rows, rows).reshape(SCALE**2, size, size)
    return taps.to(torch.float32)


class Residual(nn.Module):
    """(N, 3, H, W) -> (N, 48, H, W): the interpolated image, before pixel-shuffle by 4.

    ``learned`` starts as bicubic (5x5 taps) and is trained with the network. The others are fixed
    and take one plane too: (N, 1, H, W) -> (N, 16, H, W).
    """

    weight: Tensor

    def __init__(self, kind: str) -> None:
        super().__init__()
        learned = kind == "learned"
        taps = interpolation_kernel("bicubic" if learned else kind).repeat(3, 1, 1)[:, None]
        if learned:
            self.weight = nn.Parameter(taps)
        else:
            self.register_buffer("weight", taps, persistent=False)
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        """Interpolate; the caller shuffles the phases into pixels."""
        reach = self.weight.shape[-1] // 2
        if reach:
            x = F.pad(x, (reach, reach, reach, reach), mode="replicate")
        planes = x.shape[1]
        return F.conv2d(x, self.weight[: SCALE**2 * planes].to(x.dtype), groups=planes)

    def image(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 3, 4H, 4W): the shuffled phases, by one operator if there is one.

        PyTorch's antialiased bicubic has the taps of Pillow's, but not its repeated border.
        """
        if self.kind == "nearest":
            return F.interpolate(x, scale_factor=SCALE, mode="nearest")
        if self.kind == "bilinear":
            return F.interpolate(x, scale_factor=SCALE, mode="bilinear", align_corners=False)
        if self.kind == "bicubic":
            padded = F.pad(x, (2, 2, 2, 2), mode="replicate")
            larger = F.interpolate(padded, scale_factor=SCALE, mode="bicubic", antialias=True)
            border = 2 * SCALE
            return larger[..., border:-border, border:-border]
        return F.pixel_shuffle(self(x), SCALE)
