"""The parts of a network, made in order of execution by a builder.

A builder makes modules, or objects that stand for modules where costs are counted
(`nas.measure.cost.counts`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.common.errors import InputError
from search_spaces.architecture import SCALE, Architecture
from search_spaces.blocks import LinearBlock, blocks, linear_sizes
from search_spaces.components import activations, stems
from search_spaces.networks.residual import Residual

LUMA = (0.299, 0.587, 0.114)
"""BT.601 weights of R, G and B. They sum to one, so adding a plane to R, G and B alike adds it to
luma and leaves both chroma components as they are."""

M = TypeVar("M")


def luma(x: Tensor) -> Tensor:
    """(N, 3, H, W) to the luma (N, 1, H, W), in the range of ``x``."""
    return F.conv2d(x, x.new_tensor(LUMA).view(1, 3, 1, 1))


class LumaInput(nn.Module):
    """Reduce an image to its luma."""

    weight: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.tensor(LUMA).view(1, 3, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 1, H, W)."""
        return F.conv2d(x, self.weight.to(x.dtype))


class GradientInput(nn.Module):
    """Concatenate the gradient magnitude sqrt(dx^2 + dy^2) of central differences (survey 3.11)."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 6, H, W)."""
        padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
        dx = padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2]
        dy = padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1]
        return torch.cat([x, torch.sqrt(dx * dx + dy * dy + 1e-12)], dim=1)


class Builder(Protocol[M]):
    """Makes the parts of a network."""

    def module(self, make: Callable[..., nn.Module], *arguments: Any) -> M:
        """Make a module that is no block, such as an activation."""

    def block(self, name: str, in_channels: int, out_channels: int, **options: Any) -> M:
        """Make a block of the registry."""

    def end(self, name: str, in_channels: int, out_channels: int, **options: Any) -> M:
        """Make a block as stem or tail, with a kernel size."""

    def is_linear(self, part: M) -> bool:
        """Whether a part is a `LinearBlock`, which an activation follows."""


@dataclass(frozen=True, slots=True)
class Parts(Generic[M]):
    """The parts of a network, under the names that `Network` gives its children."""

    stem: list[M]
    body: list[M]
    neck: M | None
    tail: M
    lift: list[M] | None
    residual: M | None


def parts_of(architecture: Architecture, builder: Builder[M]) -> Parts[M]:
    """Make the parts of an architecture in order of execution."""
    a = architecture
    stem, body, neck = _stem(a, builder), _body(a, builder), _neck(a, builder)
    channels = a.tail.cascade or a.planes * SCALE**2
    block = a.tail.block if a.tail.kernel == 3 else "conv"
    tail = builder.end(
        block, a.body_width, channels * a.factor**2, kernel_size=a.tail.kernel, bias=a.bias
    )
    lift = None
    if a.tail.cascade:
        act = a.activation if a.tail.activation else "none"
        last = builder.end(block, a.tail.cascade, a.planes * SCALE**2, kernel_size=3, bias=a.bias)
        lift = [builder.module(activations[act].make, a.tail.cascade), last]
    no_module = a.residual in ("none", "lr")
    residual = None if no_module else builder.module(Residual, a.residual)
    return Parts(stem, body, neck, tail, lift, residual)


def _stem(a: Architecture, builder: Builder[M]) -> list[M]:
    channels = {"rgb": 3, "gradient": 6, "luma": 1}[a.inputs]
    stem = stems[a.stem]
    layers: list[M] = []
    if a.inputs != "rgb":
        layers.append(builder.module(GradientInput if a.inputs == "gradient" else LumaInput))
    if stem.downscale:
        layers.append(builder.module(stem.downscale, stem.factor))
        channels *= stem.factor**2
    layers.append(
        builder.end(
            a.stem_block,
            channels,
            a.width,
            kernel_size=stem.kernel,
            stride=1 if stem.downscale else stem.factor,
            bias=a.bias,
        )
    )
    if a.stem_activation:
        layers.append(builder.module(activations[a.activation].make, a.width))
    return layers


def _body(a: Architecture, builder: Builder[M]) -> list[M]:
    layers: list[M] = []
    channels = a.width
    for stage in a.stages:
        for _ in range(stage.depth):
            block = builder.block(stage.block, channels, stage.width, bias=a.bias)
            layers.append(block)
            if builder.is_linear(block):
                layers.append(builder.module(activations[a.activation].make, stage.width))
            channels = stage.width
    return layers


def _neck(a: Architecture, builder: Builder[M]) -> M | None:
    joined = a.body_width + (a.width if a.skip == "concat" else 0)
    if a.neck != "none":
        return builder.block(a.neck, joined, a.body_width, bias=a.bias)
    if a.skip == "concat":
        return builder.block("conv", joined, a.body_width, kernel_size=1, bias=a.bias)
    return None


class ModuleBuilder:
    """Builds the training form."""

    def module(self, make: Callable[..., nn.Module], *arguments: Any) -> nn.Module:
        """Call it."""
        return make(*arguments)

    def end(self, name: str, in_channels: int, out_channels: int, **options: Any) -> nn.Module:
        """As ``block``, with an error that names the position."""
        try:
            return self.block(name, in_channels, out_channels, **options)
        except InputError as error:
            if linear_sizes(name) or not isinstance(error.__cause__, TypeError):
                raise
            raise InputError(
                f"block '{name}' cannot be a stem or a tail, because it does not fold to one "
                "convolution: choose a linear block such as conv or ecb"
            ) from error

    def block(self, name: str, in_channels: int, out_channels: int, **options: Any) -> nn.Module:
        """Make it, with an error that names the block."""
        try:
            block = blocks[name](in_channels, out_channels, **options)
        except InputError:
            raise
        except Exception as error:  # a bug of the block, or channels that it does not support
            detail = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            raise InputError(
                f"block '{name}' cannot be made for {in_channels} to {out_channels} channels: "
                f"{detail}"
            ) from error
        if not isinstance(block, nn.Module):
            raise InputError(f"block '{name}' makes {type(block).__name__} and no nn.Module")
        return block

    def is_linear(self, part: nn.Module) -> bool:
        """Whether it is a `LinearBlock`."""
        return isinstance(part, LinearBlock)
