"""Edge-oriented convolution block (Zhang et al., ECBSR, ACM MM 2021); survey 3.1, 3.6, 3.10."""

from __future__ import annotations

from typing import Any

from search_spaces.blocks.edges import EdgeBranches
from search_spaces.blocks.folding import Kernel, add, chain
from search_spaces.blocks.linear import Branch, LinearBlock


class ECB(LinearBlock):
    """3x3 + (1x1 -> 3x3 through twice the channels) + Sobel-x + Sobel-y + Laplacian."""

    def __init__(self, in_channels: int, out_channels: int, **options: Any) -> None:
        super().__init__(in_channels, out_channels, **options)
        bias = self.has_bias
        self.conv3 = Branch(in_channels, out_channels, 3, bias)
        self.expand = Branch(in_channels, 2 * out_channels, 1, bias)
        self.squeeze = Branch(2 * out_channels, out_channels, 3, bias)
        self.edges = EdgeBranches(in_channels, out_channels, bias)

    def folded(self) -> Kernel:
        """All branches added."""
        wide = chain(self.expand.kernel, self.squeeze.kernel)
        return add(self.conv3.kernel, wide, *self.edges.kernels)


class ECBIdentity(ECB):
    """ECB plus the identity (where channels and resolution stay)."""

    def folded(self) -> Kernel:
        """All branches and the identity added."""
        return add(super().folded(), *self.shortcut())
