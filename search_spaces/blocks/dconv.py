"""Decoupled convolution of USTC Noah (survey 3.9), of the family of DEConv (Chen et al., TIP 2024).

The survey gives no formula; these definitions follow its prose.
"""

from __future__ import annotations

from typing import Any

from search_spaces.blocks.folding import Kernel, add
from search_spaces.blocks.linear import Branch, LinearBlock


class DConv(LinearBlock):
    """Vanilla + horizontal + vertical + centre-surround difference + aggregation, 3x3 or 4x4.

    The horizontal operator weighs differences between the outermost columns, the vertical one
    between the outermost rows; centre-surround weighs each tap minus the centre, aggregation each
    tap plus the centre. The centre of a 4x4 grid is the mean of its middle four taps.
    """

    kernel_sizes = (3, 4)

    def __init__(self, in_channels: int, out_channels: int, **options: Any) -> None:
        super().__init__(in_channels, out_channels, **options)
        size = self.kernel_size
        self.conv = Branch(in_channels, out_channels, size, self.has_bias)
        self.horizontal = Branch(in_channels, out_channels, (size, 1), False)
        self.vertical = Branch(in_channels, out_channels, (1, size), False)
        self.surround = Branch(in_channels, out_channels, size, False)
        self.aggregation = Branch(in_channels, out_channels, size, False)

    def folded(self) -> Kernel:
        """The five operators added."""
        size = self.kernel_size
        ends = self.conv.weight.new_zeros(size)
        ends[0], ends[-1] = 1.0, -1.0
        middle = slice((size - 1) // 2, size // 2 + 1)
        centre = self.conv.weight.new_zeros(size, size)
        centre[middle, middle] = 1.0
        centre = centre / centre.sum()
        surround, aggregation = self.surround.weight, self.aggregation.weight
        kernels = (
            self.horizontal.weight * ends,
            self.vertical.weight * ends[:, None],
            surround - surround.sum((2, 3), keepdim=True) * centre,
            aggregation + aggregation.sum((2, 3), keepdim=True) * centre,
        )
        return add(self.conv.kernel, *(Kernel(weight) for weight in kernels))
