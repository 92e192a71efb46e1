"""Block of SAFMN (Sun et al., ICCV 2023), the predecessor of SAFMN++."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.common.errors import InputError
from search_spaces.blocks.linear import matching
from search_spaces.blocks.pooling import max_pool_by

LEVELS = 4
"""Scales of the modulation: full resolution, a half, a quarter, an eighth."""


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of each pixel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        last = x.permute(0, 2, 3, 1)
        normed = F.layer_norm(last, self.weight.shape, self.weight, self.bias, 1e-6)
        return normed.permute(0, 3, 1, 2)


class SAFM(nn.Module):
    """Each quarter of the channels: max-pooled, depthwise 3x3, back; 1x1 over all, GELU, gate."""

    def __init__(self, channels: int, bias: bool) -> None:
        super().__init__()
        if channels % LEVELS:
            raise InputError(
                f"block safmn parts its channels among {LEVELS} scales: "
                f"give it a width that is a multiple of {LEVELS}, not {channels}"
            )
        part = channels // LEVELS
        self.levels = nn.ModuleList(
            nn.Conv2d(part, part, 3, padding=1, groups=part, bias=bias) for _ in range(LEVELS)
        )
        self.mix = nn.Conv2d(channels, channels, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        height, width = x.shape[-2:]
        outputs = []
        for level, (conv, part) in enumerate(zip(self.levels, x.chunk(LEVELS, 1), strict=True)):
            if level:
                pooled = conv(max_pool_by(part, 2**level))
                outputs.append(F.interpolate(pooled, size=(height, width), mode="nearest"))
            else:
                outputs.append(conv(part))
        return F.gelu(self.mix(torch.cat(outputs, 1))) * x


class SAFMNBlock(nn.Module):
    """x + SAFM(norm(x)), then x + CCM(norm(x)): 3x3 into twice the channels, GELU, 1x1."""

    def __init__(self, in_channels: int, out_channels: int, *, bias: bool = True) -> None:
        super().__init__()
        self.match = matching(in_channels, out_channels, bias)
        self.norm1, self.norm2 = ChannelNorm(out_channels), ChannelNorm(out_channels)
        self.modulate = SAFM(out_channels, bias)
        self.widen = nn.Conv2d(out_channels, 2 * out_channels, 3, padding=1, bias=bias)
        self.narrow = nn.Conv2d(2 * out_channels, out_channels, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) -> (N, out, H, W)."""
        x = self.match(x)
        x = x + self.modulate(self.norm1(x))
        return x + self.narrow(F.gelu(self.widen(self.norm2(x))))
