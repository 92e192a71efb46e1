"""RepVGG block (Ding et al., CVPR 2021), without batch normalisation as is usual in SR."""

from __future__ import annotations

from typing import Any

from search_spaces.blocks.folding import Kernel, add
from search_spaces.blocks.linear import Branch, LinearBlock


class RepVGG(LinearBlock):
    """3x3 + 1x1 + identity (where channels and resolution stay)."""

    def __init__(self, in_channels: int, out_channels: int, **options: Any) -> None:
        super().__init__(in_channels, out_channels, **options)
        self.conv3 = Branch(in_channels, out_channels, 3, self.has_bias)
        self.conv1 = Branch(in_channels, out_channels, 1, False)

    def folded(self) -> Kernel:
        """The three branches added."""
        return add(self.conv3.kernel, self.conv1.kernel, *self.shortcut())
