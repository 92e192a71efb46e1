"""Residual in residual block of FMEN and its nested form in ANUNet (survey 3.6).

FMEN (Du et al., CVPRW 2022) calls the block RRRB; ANUNet's NRB puts an edge-oriented block inside.
"""

from __future__ import annotations

from typing import Any

from search_spaces.blocks.ecb import ECB
from search_spaces.blocks.folding import Kernel, add, chain, identity
from search_spaces.blocks.linear import Branch, LinearBlock


class RRRB(LinearBlock):
    """1x1 into twice the channels, 3x3 + identity there, 1x1 back, + identity outside."""

    def __init__(self, in_channels: int, out_channels: int, **options: Any) -> None:
        super().__init__(in_channels, out_channels, **options)
        self.expand = Branch(in_channels, 2 * in_channels, 1, self.has_bias)
        self.squeeze = Branch(2 * in_channels, out_channels, 1, self.has_bias)
        self._make_inner(2 * in_channels)

    def _make_inner(self, channels: int) -> None:
        self.inner = Branch(channels, channels, 3, self.has_bias)

    def _inner_kernel(self) -> Kernel:
        return self.inner.kernel

    def folded(self) -> Kernel:
        """The inner identity first, then the chain, then the outer identity."""
        inner = add(self._inner_kernel(), identity(2 * self.in_channels, self.expand.weight))
        return add(chain(self.expand.kernel, inner, self.squeeze.kernel), *self.shortcut())


class EECB(ECB):
    """ECB + 1x1: ANUNet's eECB, whose exact extra branches are not published."""

    def __init__(self, in_channels: int, out_channels: int, **options: Any) -> None:
        super().__init__(in_channels, out_channels, **options)
        self.conv1 = Branch(in_channels, out_channels, 1, self.has_bias)

    def folded(self) -> Kernel:
        """All branches added."""
        return add(super().folded(), self.conv1.kernel)


class NRB(RRRB):
    """RRRB whose inner 3x3 is an eECB (nested re-parameterisation)."""

    def _make_inner(self, channels: int) -> None:
        self.inner_block = EECB(channels, channels, bias=self.has_bias)

    def _inner_kernel(self) -> Kernel:
        return self.inner_block.folded()
