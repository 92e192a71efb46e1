"""Conv3XC of SPAN (Wan et al., CVPRW 2024): every 3x3 of SPAN-R in training (survey 3.8)."""

from __future__ import annotations

from typing import Any

from search_spaces.blocks.chains import Expansion
from search_spaces.blocks.folding import Kernel, add
from search_spaces.blocks.linear import Branch, LinearBlock

GAIN = 2
"""Factor by which the chain widens, as in the public code."""


class Conv3XC(LinearBlock):
    """1x1 -> 3x3 -> 1x1 through twice the channels, + 1x1.

    SPAN pads the input with zeros once and convolves without padding afterwards, which is the
    same as padding the inner map with the first 1x1's bias.
    """

    def __init__(self, in_channels: int, out_channels: int, **options: Any) -> None:
        super().__init__(in_channels, out_channels, **options)
        bias = self.has_bias
        self.expansion = Expansion(
            in_channels, GAIN * in_channels, out_channels, bias, inner_out=GAIN * out_channels
        )
        self.conv1 = Branch(in_channels, out_channels, 1, bias)

    def folded(self) -> Kernel:
        """Both branches added."""
        return add(self.expansion.kernel, self.conv1.kernel)
