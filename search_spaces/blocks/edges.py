"""Edge branches shared by the edge-oriented blocks: 1x1, then a fixed mask per channel."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from search_spaces.blocks.folding import Kernel
from search_spaces.blocks.linear import Branch

MASKS = {
    "sobel_x": ((1.0, 0.0, -1.0), (2.0, 0.0, -2.0), (1.0, 0.0, -1.0)),
    "sobel_y": ((1.0, 2.0, 1.0), (0.0, 0.0, 0.0), (-1.0, -2.0, -1.0)),
    "laplacian": ((0.0, 1.0, 0.0), (1.0, -4.0, 1.0), (0.0, 1.0, 0.0)),
}


class EdgeBranch(nn.Module):
    """1x1 convolution, then a scaled depthwise edge mask with its own bias.

    The scale starts near zero (N(0, 1) x 1e-3), so that a block starts close to its plain branches.
    """

    mask: Tensor

    def __init__(self, in_channels: int, out_channels: int, mask: str, bias: bool) -> None:
        super().__init__()
        self.mix = Branch(in_channels, out_channels, 1, bias)
        self.scale = nn.Parameter(torch.randn(out_channels) * 1e-3)
        self.bias = nn.Parameter(torch.randn(out_channels) * 1e-3) if bias else None
        self.register_buffer("mask", torch.tensor(MASKS[mask]), persistent=False)

    @property
    def kernel(self) -> Kernel:
        """The branch as one 3x3 kernel."""
        taps = self.scale[:, None, None] * self.mask
        mix = self.mix.kernel
        # A depthwise kernel after a 1x1: an outer product, where ``chain`` would multiply zeros.
        bias: Tensor | None = self.bias
        if mix.bias is not None and bias is not None:
            bias = bias + taps.sum((1, 2)) * mix.bias
        return Kernel(mix.weight * taps[:, None], bias)


class EdgeBranches(nn.ModuleList):
    """The three branches Sobel-x, Sobel-y and Laplacian."""

    def __init__(self, in_channels: int, out_channels: int, bias: bool) -> None:
        super().__init__(EdgeBranch(in_channels, out_channels, mask, bias) for mask in MASKS)

    @property
    def kernels(self) -> list[Kernel]:
        """The branches as 3x3 kernels, to be added."""
        return [branch.kernel for branch in self if isinstance(branch, EdgeBranch)]
