"""RepBlock of RepRFN (Deng et al., CVPRW 2023), the middle convolution of RepTCN (survey 3.1)."""

from __future__ import annotations

from typing import Any

from search_spaces.blocks.edges import EdgeBranches
from search_spaces.blocks.folding import Kernel, add, chain
from search_spaces.blocks.linear import Branch, LinearBlock


class RepRFN(LinearBlock):
    """3x3 + 3x1 + 1x3 + 1x1 + (1x1 -> 3x3, bias-free) + three edge branches + identity."""

    def __init__(self, in_channels: int, out_channels: int, **options: Any) -> None:
        super().__init__(in_channels, out_channels, **options)
        bias = self.has_bias
        self.conv3 = Branch(in_channels, out_channels, 3, bias)
        self.vertical = Branch(in_channels, out_channels, (3, 1), bias)
        self.horizontal = Branch(in_channels, out_channels, (1, 3), bias)
        self.conv1 = Branch(in_channels, out_channels, 1, bias)
        self.expand = Branch(in_channels, 2 * in_channels, 1, False)
        self.squeeze = Branch(2 * in_channels, out_channels, 3, False)
        self.edges = EdgeBranches(in_channels, out_channels, bias)

    def folded(self) -> Kernel:
        """All branches added."""
        plain = (self.conv3, self.vertical, self.horizontal, self.conv1)
        branches = [branch.kernel for branch in plain]
        branches.append(chain(self.expand.kernel, self.squeeze.kernel))
        branches += self.edges.kernels
        return add(*branches, *self.shortcut())
