"""Feature-distillation blocks of the comparators IMDN, RFDN and RLFN.

IMDN (Hui et al., ACM MM 2019) as the NTIRE 2022 baseline has it, without contrast attention; RFDN
(Liu et al., AIM 2020); RLFN (Kong et al., CVPRW 2022). Nothing here folds.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.common.errors import InputError
from search_spaces.blocks.linear import matching

SLOPE = 0.05
"""Negative slope of every LeakyReLU of these networks."""


def _conv3(in_channels: int, out_channels: int, bias: bool) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=bias)


def _quarter(block: str, channels: int) -> int:
    """A quarter of a block's channels, rounded down."""
    if channels < 4:
        raise InputError(
            f"block {block} works on quarters of its channels: give it a width above 3, "
            f"not {channels}"
        )
    return channels // 4


class IMDB(nn.Module):
    """Three times a quarter of a 3x3's output is kept and the rest continues; 1x1 over all, + x."""

    def __init__(self, in_channels: int, out_channels: int, *, bias: bool = True) -> None:
        super().__init__()
        kept = _quarter("imdb", out_channels)
        rest = out_channels - kept
        self.sizes = (kept, rest)
        self.act = nn.LeakyReLU(SLOPE)
        self.first = _conv3(in_channels, out_channels, bias)
        self.second = _conv3(rest, out_channels, bias)
        self.third = _conv3(rest, out_channels, bias)
        self.last = _conv3(rest, kept, bias)
        self.mix = nn.Conv2d(4 * kept, out_channels, 1, bias=bias)
        self.match = matching(in_channels, out_channels, bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) -> (N, out, H, W)."""
        kept, rest = [], x
        for conv in (self.first, self.second, self.third):
            part, rest = self.act(conv(rest)).split(self.sizes, dim=1)
            kept.append(part)
        return self.match(x) + self.mix(torch.cat([*kept, self.last(rest)], dim=1))


class SpatialAttention(nn.Module):
    """ESA: a gate from a strided, max-pooled and upscaled map of few channels.

    ``convs`` 3x3 convolutions work on the pooled map, with ReLU between them.
    """

    _SMALLEST = 15
    """Pixels a side that the strided 3x3 and the 7x7 pooling need; less is padded."""

    def __init__(self, channels: int, inner: int, convs: int, bias: bool) -> None:
        super().__init__()
        self.enter = nn.Conv2d(channels, inner, 1, bias=bias)
        self.shrink = nn.Conv2d(inner, inner, 3, stride=2, bias=bias)
        layers: list[nn.Module] = [_conv3(inner, inner, bias)]
        for _ in range(convs - 1):
            layers += [nn.ReLU(), _conv3(inner, inner, bias)]
        self.pooled = nn.Sequential(*layers)
        self.side = nn.Conv2d(inner, inner, 1, bias=bias)
        self.leave = nn.Conv2d(inner, channels, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same, each value scaled by a factor in (0, 1)."""
        height, width = x.shape[-2:]
        entered = self.enter(x)
        below, right = max(0, self._SMALLEST - height), max(0, self._SMALLEST - width)
        wide = F.pad(entered, (0, right, 0, below), mode="replicate") if below or right else entered
        small = self.pooled(F.max_pool2d(self.shrink(wide), 7, stride=3))
        gate = F.interpolate(small, (height, width), mode="bilinear", align_corners=False)
        return x * self.leave(gate + self.side(entered)).sigmoid()


class RFDB(nn.Module):
    """Shallow residual 3x3s, each step distilled by a 1x1; then 1x1 and spatial attention."""

    def __init__(self, channels: int, bias: bool) -> None:
        super().__init__()
        kept = channels // 2
        self.act = nn.LeakyReLU(SLOPE)
        self.distil = nn.ModuleList(nn.Conv2d(channels, kept, 1, bias=bias) for _ in range(3))
        self.refine = nn.ModuleList(_conv3(channels, channels, bias) for _ in range(3))
        self.last = _conv3(channels, kept, bias)
        self.mix = nn.Conv2d(4 * kept, channels, 1, bias=bias)
        self.attention = SpatialAttention(channels, _quarter("rfdn_body", channels), 3, bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        kept = []
        for distil, refine in zip(self.distil, self.refine, strict=True):
            kept.append(self.act(distil(x)))
            x = self.act(refine(x) + x)
        kept.append(self.act(self.last(x)))
        return self.attention(self.mix(torch.cat(kept, dim=1)))


class RFDNBody(nn.Module):
    """Four RFDBs, their outputs concatenated, 1x1, LeakyReLU."""

    def __init__(self, in_channels: int, out_channels: int, *, bias: bool = True) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(RFDB(in_channels, bias) for _ in range(4))
        self.mix = nn.Conv2d(4 * in_channels, out_channels, 1, bias=bias)
        self.act = nn.LeakyReLU(SLOPE)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) -> (N, out, H, W)."""
        outputs = []
        for block in self.blocks:
            x = block(x)
            outputs.append(x)
        return self.act(self.mix(torch.cat(outputs, dim=1)))


class RLFB(nn.Module):
    """Three 3x3 with LeakyReLU through two more channels, + x, 1x1, spatial attention."""

    def __init__(self, in_channels: int, out_channels: int, *, bias: bool = True) -> None:
        super().__init__()
        inner = in_channels + 2
        self.act = nn.LeakyReLU(SLOPE)
        self.first = _conv3(in_channels, inner, bias)
        self.second = _conv3(inner, inner, bias)
        self.third = _conv3(inner, in_channels, bias)
        self.mix = nn.Conv2d(in_channels, out_channels, 1, bias=bias)
        self.attention = SpatialAttention(out_channels, 16, 1, bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) -> (N, out, H, W)."""
        deep = x
        for conv in (self.first, self.second, self.third):
            deep = self.act(conv(deep))
        return self.attention(self.mix(deep + x))
