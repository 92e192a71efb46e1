"""From description to module: ``build`` gives the training form, ``fuse`` the deploy form."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import nn

from search_spaces.architecture import Architecture
from search_spaces.blocks import Foldable, linear_sizes
from search_spaces.networks.init import initialize
from search_spaces.networks.network import Network


def build(architecture: Architecture, seed: int | None = None) -> Network:
    """The training form, at the interpolation baseline; with ``seed`` always the same weights.

    Raises:
        InputError: a block is unknown, or does not fit its position.
    """
    if seed is None:
        network = Network(architecture)
        initialize(network)
        return network
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build(architecture)


def fuse(network: Network) -> Network:
    """The deploy form: a copy in eval mode whose blocks are folded into plain convolutions."""
    fused = copy.deepcopy(network).eval()
    deployed(fused)
    return fused.requires_grad_(False)


def deployed(module: nn.Module) -> nn.Module:
    """Return the deploy form of a module, whose children are changed."""
    if isinstance(module, Foldable):
        return module.fused()
    for name, child in module.named_children():
        setattr(module, name, deployed(child))
    return module


def layout(architecture: Architecture) -> Architecture:
    """The same network described by its deploy form: every linear block a plain convolution.

    Architectures of one layout differ only in how they are re-parameterised for training.
    """
    a = architecture

    def folded(block: str) -> str:
        return "conv" if linear_sizes(block) else block

    return replace(
        a,
        stem_block=folded(a.stem_block),
        stages=tuple(replace(stage, block=folded(stage.block)) for stage in a.stages),
        neck=a.neck if a.neck == "none" else folded(a.neck),
        tail=replace(a.tail, block=folded(a.tail.block) if a.tail.kernel == 3 else "conv"),
    )
