"""Block of SAFMN++ (VPEG-S, survey 3.3; after SAFMN, Sun et al., ICCV 2023): SAFM++, then CCM."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from search_spaces.blocks.pooling import max_pool_by

POOLING = 8
"""The gate is computed on maps of this much lower resolution."""


class SAFMPP(nn.Module):
    """Local 3x3 features, half of them gated by a pooled depthwise map, mixed by a 1x1."""

    def __init__(self, in_channels: int, out_channels: int, *, bias: bool = True) -> None:
        super().__init__()
        self.gated = out_channels // 2
        self.local = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=bias)
        self.gate = nn.Conv2d(self.gated, self.gated, 3, padding=1, groups=self.gated, bias=bias)
        self.mix = nn.Conv2d(out_channels, out_channels, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) -> (N, out, H, W)."""
        height, width = x.shape[-2:]
        features = self.local(x)
        gated, kept = features[:, : self.gated], features[:, self.gated :]
        gate = self.gate(max_pool_by(gated, POOLING))
        gate = F.interpolate(gate, size=(height, width), mode="bilinear", align_corners=False)
        return self.mix(F.gelu(torch.cat([kept, F.gelu(gate) * gated], dim=1)))


class SAFMNPPBlock(nn.Module):
    """SAFM++, then CCM: 3x3 into one and a half times the channels, GELU, 1x1 back.

    Neither part has a skip connection and nothing folds.
    """

    def __init__(self, in_channels: int, out_channels: int, *, bias: bool = True) -> None:
        super().__init__()
        inner = out_channels * 3 // 2
        self.modulate = SAFMPP(in_channels, out_channels, bias=bias)
        self.widen = nn.Conv2d(out_channels, inner, 3, padding=1, bias=bias)
        self.narrow = nn.Conv2d(inner, out_channels, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) -> (N, out, H, W)."""
        return self.narrow(F.gelu(self.widen(self.modulate(x))))
