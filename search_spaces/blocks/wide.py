"""Blocks that widen to hundreds of channels in training: LRSRN, CASR (survey 3.4), RESR (3.7)."""

from __future__ import annotations

from typing import Any

from search_spaces.blocks.chains import Widening
from search_spaces.blocks.edges import EdgeBranches
from search_spaces.blocks.folding import Kernel, add
from search_spaces.blocks.linear import Branch, LinearBlock

INNER = 256
"""Channels of the wide branch, whatever the block's own width."""


class RepBlockV2(LinearBlock):
    """LRSRN (Gankhuyag et al., CVPRW 2023): 3x3 to 256 -> 1x1; + identity, or 1x1 where none is."""

    def __init__(self, in_channels: int, out_channels: int, **options: Any) -> None:
        super().__init__(in_channels, out_channels, **options)
        self.wide = Widening(in_channels, INNER, out_channels, self.has_bias)
        self.conv1: Branch | None = None
        if not (in_channels == out_channels and self.stride == 1):
            self.conv1 = Branch(in_channels, out_channels, 1, self.has_bias)

    def folded(self) -> Kernel:
        """Both branches added."""
        others = [self.conv1.kernel] if self.conv1 is not None else self.shortcut()
        return add(self.wide.kernel, *others)


class RepBlockV5(RepBlockV2):
    """CASR (Yoon et al., CVPRW 2024): V2 plus a second wide branch of half the channels."""

    def __init__(self, in_channels: int, out_channels: int, **options: Any) -> None:
        super().__init__(in_channels, out_channels, **options)
        self.second = Widening(in_channels, INNER // 2, out_channels, self.has_bias)

    def folded(self) -> Kernel:
        """All branches added."""
        return add(super().folded(), self.second.kernel)


class RESRBlock(LinearBlock):
    """Wide 3x3 -> 1x1 + wide 1x1 -> 1x1 + Sobel-x + Sobel-y + Laplacian + identity.

    The survey names these paths; their widths stand in a figure only and follow LRSRN here.
    """

    def __init__(self, in_channels: int, out_channels: int, **options: Any) -> None:
        super().__init__(in_channels, out_channels, **options)
        bias = self.has_bias
        self.wide = Widening(in_channels, INNER, out_channels, bias)
        self.point = Widening(in_channels, INNER, out_channels, bias, size=1)
        self.edges = EdgeBranches(in_channels, out_channels, bias)

    def folded(self) -> Kernel:
        """All branches added."""
        plain = (self.wide.kernel, self.point.kernel)
        return add(*plain, *self.edges.kernels, *self.shortcut())
