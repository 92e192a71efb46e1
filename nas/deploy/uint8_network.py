"""Networks from 8-bit images to 8-bit images, without a pass over the result in floats.

A result has 16 times the numbers of its input. Clamping, rounding, narrowing and reordering them
takes about as long as a small network's convolutions. So the last convolution outputs levels from 0
to 255 in the order of the image's bytes, its output is rounded while caches hold it, and only bytes
are moved.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nas.deploy.fused_tail import LEVELS, FusedTail
from nas.measure.tiling import Pixels, as_tensor, in_strips, receptive_field
from search_spaces.architecture import SCALE
from search_spaces.networks.inference import by_pixel, simplified
from search_spaces.networks.network import Network


class Uint8Network(nn.Module):
    """A network as a function of RGB images: uint8 (H, W, 3) to uint8 (4H, 4W, 3).

    Computes in the precision of its weights, so that a value near the middle of two levels can
    become either.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.simple = simplified(network)
        self.field = receptive_field(self.simple)
        self.fused: FusedTail | None = None
        self._in_levels = by_pixel(self.simple, LEVELS)

    @property
    def weight(self) -> Tensor:
        """One of the weights, for device and precision."""
        return next(self.simple.parameters())

    def forward(self, pixels: Pixels) -> Tensor:
        """Upscale by 4, the whole image at once."""
        rows = as_tensor(pixels).to(self.weight.device).permute(2, 0, 1)[None]
        x = rows.to(self.weight.dtype).div_(LEVELS)
        return self.plain(x) if self.fused is None else self.fused(x)

    def plain(self, x: Tensor) -> Tensor:
        """From (1, 3, H, W) in [0, 1] to bytes, by PyTorch's operators."""
        height, width = (SCALE * length for length in x.shape[-2:])
        x = self.simple.padded(x)
        phases, side = self.simple.phases(x), self.simple.shuffle
        if not self._in_levels:
            phases = phases.unflatten(1, (3, -1)).transpose(1, 2).flatten(1, 2) * LEVELS
        levels = phases.clamp_(0, LEVELS).round_().to(torch.uint8)
        _, _, down, across = levels.shape
        # Each position holds `side` rows of `side` RGB pixels. A row is moved as whole words.
        words = levels.permute(0, 2, 3, 1).contiguous().view(torch.int32)
        rows = words.view(down, across, side, -1).transpose(1, 2).contiguous()
        return rows.view(torch.uint8).view(down * side, across * side, 3)[:height, :width]

    @torch.no_grad()
    def upscaled(self, pixels: Pixels, strip_pixels: int) -> Tensor:
        """Upscale by 4, in strips of at most ``strip_pixels`` if the network allows."""
        return in_strips(self, pixels, self.field, strip_pixels)
