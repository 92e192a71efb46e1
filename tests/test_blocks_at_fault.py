"""Blocks that somebody else wrote: what is wrong with one is said, before anything is trained."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nas.measure.cost.cost import cost
from search_spaces import Architecture, InputError, Stage
from search_spaces.blocks import LinearBlock, blocks
from search_spaces.blocks.folding import Kernel
from search_spaces.blocks.linear import Branch


class Shrinks(nn.Module):
    """A convolution that somebody forgot to pad."""

    def __init__(self, in_channels: int, out_channels: int, *, bias: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x)


class Fails(Shrinks):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise KeyError("gate")


class Asks(Shrinks):
    """Its network is another one for each picture, which no exported file can hold."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * float(x.mean())


class FoldsWrong(LinearBlock):
    def __init__(self, in_channels: int, out_channels: int, **options) -> None:
        super().__init__(in_channels, out_channels, **options)
        self.branch = Branch(in_channels, out_channels, 3, self.has_bias)

    def folded(self) -> Kernel:
        return Kernel(self.branch.weight[:1], self.branch.bias)


class FoldsLarge(LinearBlock):
    """It has a branch that can hold the first weights, of a size that does not fit."""

    def __init__(self, in_channels: int, out_channels: int, **options) -> None:
        super().__init__(in_channels, out_channels, **options)
        self.conv = Branch(in_channels, out_channels, 5, self.has_bias)

    def folded(self) -> Kernel:
        return self.conv.kernel


class FoldsToOneBias(FoldsWrong):
    def folded(self) -> Kernel:
        return Kernel(self.branch.weight, self.branch.bias[:1])


def refuses(in_channels, out_channels, *, bias=True):
    raise ValueError("an even number of channels, please")


@pytest.mark.parametrize(
    ("block", "got"),
    [
        (Shrinks, r"makes \(1, 3, 184, 184\) of a picture of 48x48 and not \(1, 3, 192, 192\)"),
        (Fails, "Fails at body.0 fails: KeyError: 'gate'"),
        (Asks, "Asks at body.0 fails: RuntimeError"),
        (FoldsWrong, r"FoldsWrong folds to a kernel of \(1, 8, 3, 3\), .* be \(8, 8, 3, 3\)"),
        (FoldsLarge, r"FoldsLarge folds to a kernel of \(8, 8, 5, 5\), .* be \(8, 8, 3, 3\)"),
        (FoldsToOneBias, r"FoldsToOneBias folds to a bias of \(1,\), .* be \(8,\)"),
        (refuses, "cannot be made for 8 to 8 channels: ValueError: an even number of channels"),
        (lambda a, b, bias=True: 3, "makes int and no nn.Module"),
        ("ecb", "'str' object is not callable"),
    ],
)
def test_a_fault_of_a_block_is_reported(monkeypatch, request, block, got):
    name = request.node.name
    monkeypatch.setitem(blocks._items, name, block)  # gone again after the test
    with pytest.raises(InputError, match=got):
        cost(Architecture(width=8, stages=(Stage(name, 8),)), 48, 48)
