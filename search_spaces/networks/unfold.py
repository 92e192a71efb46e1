"""Giving a training form the function of a deploy form: folding, undone.

A folded kernel does not say which branches made it. It is enough that one branch of the full size
takes up what the others leave; blocks that have no such branch get one beside them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from search_spaces.architecture import Architecture
from search_spaces.blocks.etds import ClippedTail
from search_spaces.blocks.folding import Kernel, add
from search_spaces.blocks.linear import Branch, Conv, LinearBlock
from search_spaces.networks.factory import build
from search_spaces.networks.init import assign
from search_spaces.networks.network import Network


class WithConvBranch(LinearBlock):
    """A block with a plain convolution beside it, zero at first; both fold into one."""

    kernel_sizes = Conv.kernel_sizes

    def __init__(self, block: LinearBlock) -> None:
        super().__init__(
            block.in_channels,
            block.out_channels,
            kernel_size=block.kernel_size,
            stride=block.stride,
            bias=block.has_bias,
        )
        self.block = block
        self.conv = Branch(self.in_channels, self.out_channels, self.kernel_size, self.has_bias)
        for parameter in self.conv.parameters():
            nn.init.zeros_(parameter)

    def folded(self) -> Kernel:
        """Both kernels added."""
        return add(self.block.folded(), self.conv.kernel)


def training_form(architecture: Architecture, seed: int | None = None) -> Network:
    """As ``build``, but with a full-size branch in every linear block for `load_deploy_weights`."""
    network = build(architecture, seed)
    _top(network)
    return network


@torch.no_grad()
def load_deploy_weights(network: Network, deploy: Network) -> None:
    """Make a `training_form` compute what a deploy form of the same layout does.

    A bias that only ``network`` has becomes zero.

    Raises:
        ValueError: their layouts differ.
    """
    _load_deploy_weights(network, deploy)


def _top(module: nn.Module) -> None:
    for name, child in module.named_children():
        if not isinstance(child, LinearBlock):
            _top(child)
        elif child.start_kernel() is None:
            setattr(module, name, WithConvBranch(child))


def _load_deploy_weights(module: nn.Module, deploy: nn.Module) -> None:
    if isinstance(module, LinearBlock):
        if not isinstance(deploy, nn.Conv2d):
            raise ValueError("a block and its deploy form do not fit")
        assign(module, deploy.weight, deploy.bias)
    elif isinstance(module, ClippedTail):  # stored negated, see there
        negated = next(deploy.children())
        assert isinstance(negated, nn.Conv2d) and negated.bias is not None
        assign(module.linear, -negated.weight, 1 - negated.bias)
    else:
        theirs: dict[str, Tensor] = dict(deploy.named_parameters(recurse=False))
        for name, parameter in module.named_parameters(recurse=False):
            if name in theirs:
                parameter.copy_(theirs[name])
            elif name == "bias":
                parameter.zero_()
            else:
                raise ValueError(f"the deploy form has no {name}")
        children = dict(deploy.named_children())
        for name, child in module.named_children():
            _load_deploy_weights(child, children[name])
