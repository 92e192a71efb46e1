"""From description to module: ``build`` gives the training form, ``fuse`` the deploy form."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.common.errors import InputError
from search_spaces.architecture import SCALE, Architecture
from search_spaces.blocks import Foldable, LinearBlock, blocks, linear_sizes
from search_spaces.networks.init import initialise
from search_spaces.networks.inputs import GradientInput, LumaInput
from search_spaces.networks.residual import Residual

_ACTIVATIONS = {
    "relu": lambda width: nn.ReLU(),
    "leaky_relu": lambda width: nn.LeakyReLU(0.1),
    "prelu": nn.PReLU,
    "gelu": lambda width: nn.GELU(),
    "silu": lambda width: nn.SiLU(),
    "none": lambda width: nn.Identity(),
}

M = TypeVar("M")


class Builder(Protocol[M]):
    """Makes the parts of a network: modules, or what stands for modules."""

    def module(self, kind: Callable[..., nn.Module], *arguments: Any) -> M:
        """Make a module that needs no registry, such as an activation."""

    def block(self, name: str, in_channels: int, out_channels: int, **options: Any) -> M:
        """Make a block of the registry."""

    def end(self, name: str, in_channels: int, out_channels: int, **options: Any) -> M:
        """Make a block as stem or tail, which say its kernel size."""

    def is_linear(self, part: M) -> bool:
        """Whether a part is a `LinearBlock`, which an activation follows."""


@dataclass(frozen=True, slots=True)
class Parts(Generic[M]):
    """What a network consists of, under the names that `Network` gives its children."""

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
        lift = [builder.module(_ACTIVATIONS[act], a.tail.cascade), last]
    no_module = a.residual in ("none", "lr")
    residual = None if no_module else builder.module(Residual, a.residual)
    return Parts(stem, body, neck, tail, lift, residual)


class Network(nn.Module):
    """One architecture as a module, in training or deploy form.

    ``forward`` takes (N, 3, H, W) in [0, 1] for any H, W and returns (N, 3, 4H, 4W), not clamped.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        parts = parts_of(architecture, _ModuleBuilder())
        self.stem = nn.Sequential(*parts.stem)
        self.body = nn.Sequential(*parts.body)
        self.neck = parts.neck
        self.tail = parts.tail
        self.lift = None if parts.lift is None else nn.Sequential(*parts.lift)
        self.residual = cast("Residual | None", parts.residual)

    def forward(self, x: Tensor) -> Tensor:
        """Upscale by 4."""
        height, width = x.shape[-2:]
        padded = self.padded(x)
        if self.architecture.planes == 1 and self.residual is not None:
            plane = F.pixel_shuffle(self._predicted(self.features(padded), padded), self.shuffle)
            upscaled = self.residual.picture(padded).add_(plane)  # fewer bytes move than as phases
        else:
            upscaled = F.pixel_shuffle(self.phases(padded), self.shuffle)
        return upscaled[..., : SCALE * height, : SCALE * width]

    def padded(self, x: Tensor) -> Tensor:
        """The picture with its last row and column repeated up to the working factor."""
        factor = self.architecture.factor
        below, right = -x.shape[-2] % factor, -x.shape[-1] % factor
        return F.pad(x, (0, right, 0, below), mode="replicate") if below or right else x

    @property
    def shuffle(self) -> int:
        """Factor of the pixel-shuffle that makes the output of ``phases`` a picture."""
        direct = self.lift is None and self.residual is None
        return SCALE * self.architecture.factor if direct else SCALE

    def phases(self, x: Tensor) -> Tensor:
        """The output before its last pixel-shuffle: training compares phases and saves the shuffle.

        (N, 3, H, W), H and W multiples of the working factor, to (N, 3 r^2, 4H/r, 4W/r) where r is
        ``shuffle``.
        """
        return self.finished(self.features(x), x)

    def features(self, x: Tensor) -> Tensor:
        """What the tail reads: (N, body width, H/factor, W/factor)."""
        features = self.stem(x)
        deep = self.body(features)
        if self.architecture.skip == "long":
            deep = deep + features
        elif self.architecture.skip == "concat":
            deep = torch.cat([features, deep], dim=1)
        return deep if self.neck is None else self.neck(deep)

    def finished(self, features: Tensor, x: Tensor) -> Tensor:
        """``phases`` from what the tail reads and the picture.

        Where the output is luma, ``x`` may be the picture's luma (N, 1, H, W) instead: then the
        phases are those of the output's luma, (N, r^2, 4H/r, 4W/r), and training needs no others.
        """
        phases = self._predicted(features, x)
        if self.residual is None:
            return phases
        base = self.residual(x)
        if phases.shape[1] == base.shape[1]:
            return phases + base
        return (base.unflatten(1, (x.shape[1], -1)) + phases[:, None]).flatten(1, 2)

    def _predicted(self, features: Tensor, x: Tensor) -> Tensor:
        """The phases before the residual is added to them."""
        a = self.architecture
        phases = self.tail(features)
        if a.factor > 1 and (self.lift is not None or self.residual is not None):
            phases = F.pixel_shuffle(phases, a.factor)
        if self.lift is not None:
            phases = self.lift(phases + x if a.residual == "lr" else phases)
        return phases


def build(architecture: Architecture, seed: int | None = None) -> Network:
    """The training form, at the interpolation baseline; with ``seed`` always the same weights.

    Raises:
        InputError: a block is unknown or cannot take the place it is given.
    """
    if seed is None:
        network = Network(architecture)
        initialise(network)
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


class _ModuleBuilder:
    """Builds the training form."""

    def module(self, kind: Callable[..., nn.Module], *arguments: Any) -> nn.Module:
        return kind(*arguments)

    def end(self, name: str, in_channels: int, out_channels: int, **options: Any) -> nn.Module:
        try:
            return self.block(name, in_channels, out_channels, **options)
        except InputError as error:
            if linear_sizes(name) or not isinstance(error.__cause__, TypeError):
                raise
            raise InputError(
                f"block '{name}' cannot be a stem or a tail, it is no single convolution: "
                "choose a linear block such as conv or ecb"
            ) from error

    def block(self, name: str, in_channels: int, out_channels: int, **options: Any) -> nn.Module:
        try:
            block = blocks[name](in_channels, out_channels, **options)
        except InputError:
            raise
        except Exception as error:  # a fault of the block, or channels that it cannot have
            told = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            raise InputError(
                f"block '{name}' cannot be made for {in_channels} to {out_channels} channels: "
                f"{told}"
            ) from error
        if not isinstance(block, nn.Module):
            raise InputError(f"block '{name}' makes {type(block).__name__} and no nn.Module")
        return block

    def is_linear(self, part: nn.Module) -> bool:
        return isinstance(part, LinearBlock)


def _stem(a: Architecture, builder: Builder[M]) -> list[M]:
    channels = {"rgb": 3, "gradient": 6, "luma": 1}[a.inputs]
    layers: list[M] = []
    if a.inputs != "rgb":
        layers.append(builder.module(GradientInput if a.inputs == "gradient" else LumaInput))
    if a.stem.startswith("unshuffle"):
        layers.append(builder.module(nn.PixelUnshuffle, a.factor))
        channels *= a.factor**2
    strided = a.stem.startswith("strided")
    layers.append(
        builder.end(
            a.stem_block,
            channels,
            a.width,
            kernel_size=4 if a.stem == "strided2x4" else 3,
            stride=a.factor if strided else 1,
            bias=a.bias,
        )
    )
    if a.stem_activation:
        layers.append(builder.module(_ACTIVATIONS[a.activation], a.width))
    return layers


def _body(a: Architecture, builder: Builder[M]) -> list[M]:
    layers: list[M] = []
    channels = a.width
    for stage in a.stages:
        for _ in range(stage.depth):
            block = builder.block(stage.block, channels, stage.width, bias=a.bias)
            layers.append(block)
            if builder.is_linear(block):
                layers.append(builder.module(_ACTIVATIONS[a.activation], stage.width))
            channels = stage.width
    return layers


def _neck(a: Architecture, builder: Builder[M]) -> M | None:
    joined = a.body_width + (a.width if a.skip == "concat" else 0)
    if a.neck != "none":
        return builder.block(a.neck, joined, a.body_width, bias=a.bias)
    if a.skip == "concat":
        return builder.block("conv", joined, a.body_width, kernel_size=1, bias=a.bias)
    return None
