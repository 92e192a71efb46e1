"""RepConv and RepViT block of RVSR (survey 3.5)."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from search_spaces.blocks.chains import Expansion
from search_spaces.blocks.folding import Kernel, add
from search_spaces.blocks.linear import Branch, LinearBlock


class RepConv(LinearBlock):
    """Two chains 1x1 -> 3x3 -> 1x1 through twice the channels + 3x3 + 1x1 + identity."""

    def __init__(self, in_channels: int, out_channels: int, **options: Any) -> None:
        super().__init__(in_channels, out_channels, **options)
        bias = self.has_bias
        self.conv3 = Branch(in_channels, out_channels, 3, bias)
        self.conv1 = Branch(in_channels, out_channels, 1, bias)
        self.first = Expansion(in_channels, 2 * in_channels, out_channels, bias)
        self.second = Expansion(in_channels, 2 * in_channels, out_channels, bias)

    def folded(self) -> Kernel:
        """All branches added."""
        branches = (self.conv3, self.conv1, self.first, self.second)
        return add(*(branch.kernel for branch in branches), *self.shortcut())


class SqueezeExcite(nn.Module):
    """Channel attention: global mean, 1x1, ReLU, 1x1, sigmoid; a quarter of the channels inside.

    The quarter is rounded up to a multiple of 8, as in timm.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(8, -(-channels // 32) * 8)
        self.squeeze = nn.Conv2d(channels, inner, 1)
        self.excite = nn.Conv2d(inner, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same, each channel scaled by a factor in (0, 1)."""
        pooled = x.mean((2, 3), keepdim=True)
        return x * self.excite(F.relu(self.squeeze(pooled))).sigmoid()


class RepViTBlock(nn.Module):
    """Token mixer (RepConv, folds) -> squeeze-excite -> x + 1x1(GELU(1x1(x))).

    After RepViT (Wang et al., CVPR 2024), with a dense 3x3 mixer and no batch normalisation.
    """

    def __init__(self, in_channels: int, out_channels: int, *, bias: bool = True) -> None:
        super().__init__()
        self.mixer = RepConv(in_channels, out_channels, bias=bias)
        self.attention = SqueezeExcite(out_channels)
        self.widen = nn.Conv2d(out_channels, 2 * out_channels, 1, bias=bias)
        self.narrow = nn.Conv2d(2 * out_channels, out_channels, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) -> (N, out, H, W)."""
        x = self.attention(self.mixer(x))
        return x + self.narrow(F.gelu(self.widen(x)))
