"""Rep-Block of Lanczos++ (survey 3.2)."""

from __future__ import annotations

from typing import Any

from search_spaces.blocks.chains import Expansion
from search_spaces.blocks.folding import Kernel, add
from search_spaces.blocks.linear import Branch, LinearBlock


class LanczosPPBlock(LinearBlock):
    """1x1 into four times the input channels -> 3x3 -> 1x1, + 1x1; it may change the width."""

    def __init__(self, in_channels: int, out_channels: int, **options: Any) -> None:
        super().__init__(in_channels, out_channels, **options)
        self.expansion = Expansion(in_channels, 4 * in_channels, out_channels, self.has_bias)
        self.conv1 = Branch(in_channels, out_channels, 1, self.has_bias)

    def folded(self) -> Kernel:
        """Both branches added."""
        return add(self.expansion.kernel, self.conv1.kernel)
