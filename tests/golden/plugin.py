"""A user's plugin as docs/extending.md shows it: a block, and a space that searches it."""

from search_spaces.blocks import LinearBlock, blocks
from search_spaces.blocks.folding import add, chain
from search_spaces.blocks.linear import Branch
from search_spaces.space import Space, spaces


class Cross(LinearBlock):
    """A vertical and a horizontal convolution, two in a row, and a skip side by side."""

    def __init__(self, in_channels, out_channels, **options):
        super().__init__(in_channels, out_channels, **options)
        self.vertical = Branch(in_channels, out_channels, (3, 1), self.has_bias)
        self.horizontal = Branch(in_channels, out_channels, (1, 3), self.has_bias)
        self.first = Branch(in_channels, 2 * out_channels, (1, 1), self.has_bias)
        self.second = Branch(2 * out_channels, out_channels, (3, 3), self.has_bias)

    def folded(self):
        row = chain(self.first.kernel, self.second.kernel)
        return add(self.vertical.kernel, self.horizontal.kernel, row, *self.shortcut())


blocks.add("cross", Cross)
choices = {"block": ["cross"], "width": [8, 12], "depth": {"min": 1, "max": 2}}
spaces.add("crosses", Space.from_dict({"dimensions": choices}, "crosses"))
