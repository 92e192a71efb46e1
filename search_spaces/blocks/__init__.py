"""The blocks that stages are made of, one file each, in one explicit registry."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import torch
from torch import nn

from nas.common.registry import Registry
from search_spaces.blocks.conv3xc import Conv3XC
from search_spaces.blocks.dconv import DConv
from search_spaces.blocks.distillation import IMDB, RLFB, RFDNBody
from search_spaces.blocks.ecb import ECB, ECBIdentity
from search_spaces.blocks.etds import ClippedTail, DualStream, DualStreamStem, DualStreamTail
from search_spaces.blocks.lanczospp import LanczosPPBlock
from search_spaces.blocks.linear import Conv, Flat, Foldable, LinearBlock
from search_spaces.blocks.reprb import RepRB
from search_spaces.blocks.reprfn import RepRFN
from search_spaces.blocks.repvgg import RepVGG
from search_spaces.blocks.rrrb import NRB, RRRB
from search_spaces.blocks.rvsr import RepConv, RepViTBlock
from search_spaces.blocks.safmn import SAFMNBlock
from search_spaces.blocks.safmnpp import SAFMNPPBlock
from search_spaces.blocks.spab import SPAB, SPANBody
from search_spaces.blocks.wide import RepBlockV2, RepBlockV5, RESRBlock

blocks: Registry[Callable[..., nn.Module]] = Registry("block")
"""Block name -> factory ``(in_channels, out_channels, *, bias)``. A factory that returns a
``LinearBlock`` also takes ``kernel_size`` and ``stride``, is followed by the architecture's
activation, and folds to one convolution. Any other module carries its own activation."""

blocks.add("conv", Conv)
blocks.add("repvgg", RepVGG)
blocks.add("ecb", ECB)
blocks.add("ecb_identity", ECBIdentity)
blocks.add("reprfn", RepRFN)
blocks.add("rrrb", RRRB)
blocks.add("nrb", NRB)
blocks.add("reprb", RepRB)
blocks.add("rvsr", RepConv)
blocks.add("lrsrn", RepBlockV2)
blocks.add("casr", RepBlockV5)
blocks.add("resr", RESRBlock)
blocks.add("lanczospp", LanczosPPBlock)
blocks.add("conv3xc", Conv3XC)
blocks.add("dconv", DConv)
blocks.add("etds", DualStream)
blocks.add("etds_stem", DualStreamStem)
blocks.add("etds_tail", DualStreamTail)
blocks.add("etds_clip", ClippedTail)
blocks.add("etds_ecb", partial(DualStream, backbone=ECB))
blocks.add("etds_ecb_stem", partial(DualStreamStem, backbone=ECB))
blocks.add("etds_ecb_clip", partial(ClippedTail, backbone=ECB))
blocks.add("repvit", RepViTBlock)
blocks.add("spab", SPAB)
blocks.add("safmnpp", SAFMNPPBlock)
blocks.add("safmn", SAFMNBlock)
blocks.add("span_body", SPANBody)
blocks.add("imdb", IMDB)
blocks.add("rfdn_body", RFDNBody)
blocks.add("rlfb", RLFB)
blocks.add("flat", Flat)


@cache
def linear_sizes(name: str) -> tuple[int, ...]:
    """Kernel sizes that a linear block folds to; none for one that has its own activation.

    Raises:
        InputError: there is no such block.
    """
    factory = blocks[name]
    kind = factory.func if isinstance(factory, partial) else factory
    if not isinstance(kind, type):  # a plain function: only its product tells
        try:
            with torch.device("meta"):
                kind = type(factory(8, 8))
        except Exception:  # building a network of it reports the reason
            return ()
    return kind.kernel_sizes if issubclass(kind, LinearBlock) else ()


__all__ = ["Foldable", "LinearBlock", "blocks", "linear_sizes"]
