"""The blocks that stages are made of, one file each, in one explicit registry."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from search_spaces.blocks.ecb import ECB, ECBIdentity
from search_spaces.blocks.linear import Conv, LinearBlock
from search_spaces.blocks.reprfn import RepRFN
from search_spaces.blocks.repvgg import RepVGG
from search_spaces.registry import Registry

blocks: Registry[Callable[..., nn.Module]] = Registry("block")
"""Block name -> factory ``(in_channels, out_channels, *, bias)``. A factory that returns a
``LinearBlock`` also takes ``kernel_size`` and ``stride``, is followed by the architecture's
activation, and folds to one convolution."""

blocks.add("conv", Conv)
blocks.add("repvgg", RepVGG)
blocks.add("ecb", ECB)
blocks.add("ecb_identity", ECBIdentity)
blocks.add("reprfn", RepRFN)

__all__ = ["ECB", "Conv", "ECBIdentity", "LinearBlock", "RepRFN", "RepVGG", "blocks"]
