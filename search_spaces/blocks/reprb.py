"""RepRB of VPEG-R (survey 3.3); published as a figure only, this reading agrees with its counts."""

from __future__ import annotations

from typing import Any

from search_spaces.blocks.chains import Expansion
from search_spaces.blocks.folding import Kernel, add
from search_spaces.blocks.linear import Branch, LinearBlock


class RepRB(LinearBlock):
    """3x3 + 1x1 + (1x1 -> 3x3 -> 1x1 through twice the channels) + identity."""

    def __init__(self, in_channels: int, out_channels: int, **options: Any) -> None:
        super().__init__(in_channels, out_channels, **options)
        bias = self.has_bias
        self.conv3 = Branch(in_channels, out_channels, 3, bias)
        self.conv1 = Branch(in_channels, out_channels, 1, bias)
        self.expansion = Expansion(in_channels, 2 * in_channels, out_channels, bias)

    def folded(self) -> Kernel:
        """All branches added."""
        branches = (self.conv3, self.conv1, self.expansion)
        return add(*(branch.kernel for branch in branches), *self.shortcut())
