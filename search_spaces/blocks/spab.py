"""Swift parameter-free attention block of SPAN (Wan et al., CVPRW 2024); survey 3.8."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from search_spaces.blocks.conv3xc import Conv3XC
from search_spaces.blocks.linear import matching


class SPAB(nn.Module):
    """h = c3(SiLU(c3(SiLU(c3 x)))), then (x + h) * (sigmoid(h) - 1/2): attention without weights.

    Each c3 is a Conv3XC and folds. Where the block changes the width, ``x`` passes through a 1x1.
    """

    def __init__(self, in_channels: int, out_channels: int, *, bias: bool = True) -> None:
        super().__init__()
        self.first = Conv3XC(in_channels, out_channels, bias=bias)
        self.second = Conv3XC(out_channels, out_channels, bias=bias)
        self.third = Conv3XC(out_channels, out_channels, bias=bias)
        self.match = matching(in_channels, out_channels, bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) -> (N, out, H, W)."""
        return self.with_inner(x)[0]

    def with_inner(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The block's output, and its first activated map (which SPAN uses once more)."""
        inner = F.silu(self.first(x))
        deep = self.third(F.silu(self.second(inner)))
        return (self.match(x) + deep) * (deep.sigmoid() - 0.5), inner


class SPANBody(nn.Module):
    """Six SPABs, a Conv3XC, then 1x1 over input, last, first and the sixth's inner feature."""

    def __init__(self, in_channels: int, out_channels: int, *, bias: bool = True) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(SPAB(in_channels, in_channels, bias=bias) for _ in range(6))
        self.after = Conv3XC(in_channels, in_channels, bias=bias)
        self.mix = nn.Conv2d(4 * in_channels, out_channels, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) -> (N, out, H, W)."""
        outputs, inner = [x], x
        for block in self.blocks:
            assert isinstance(block, SPAB)
            output, inner = block.with_inner(outputs[-1])
            outputs.append(output)
        last = self.after(outputs[-1])
        return self.mix(torch.cat([x, last, outputs[1], inner], dim=1))
