"""Chains of convolutions that several blocks use as one of their branches."""

from __future__ import annotations

from torch import nn

from search_spaces.blocks.folding import Kernel, chain
from search_spaces.blocks.linear import Branch


class Expansion(nn.Module):
    """1x1 -> 3x3 -> 1x1, the 3x3 working in more channels than the block has."""

    def __init__(
        self, in_channels: int, inner: int, out_channels: int, bias: bool, inner_out: int = 0
    ) -> None:
        super().__init__()
        inner_out = inner_out or inner
        self.expand = Branch(in_channels, inner, 1, bias)
        self.inner = Branch(inner, inner_out, 3, bias)
        self.squeeze = Branch(inner_out, out_channels, 1, bias)

    @property
    def kernel(self) -> Kernel:
        """The chain as one 3x3 kernel."""
        return chain(self.expand.kernel, self.inner.kernel, self.squeeze.kernel)


class Widening(nn.Module):
    """3x3 (or 1x1) into many channels, then 1x1: exact with zero padding, biased or not."""

    def __init__(
        self, in_channels: int, inner: int, out_channels: int, bias: bool, size: int = 3
    ) -> None:
        super().__init__()
        self.widen = Branch(in_channels, inner, size, bias)
        self.squeeze = Branch(inner, out_channels, 1, bias)

    @property
    def kernel(self) -> Kernel:
        """The chain as one kernel."""
        return chain(self.widen.kernel, self.squeeze.kernel)
