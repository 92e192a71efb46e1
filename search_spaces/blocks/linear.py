"""What every re-parameterisable block has in common, and the plain convolution."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.common.errors import InputError
from search_spaces.blocks.folding import Kernel, identity


class Foldable(nn.Module, ABC):
    """A module whose deploy form is another module that computes the same."""

    @abstractmethod
    def fused(self) -> nn.Module:
        """The deploy form, with its own copy of the parameters."""


class LinearBlock(Foldable):
    """A sum of linear branches, equal to one convolution.

    A subclass holds the branches' parameters and says in ``folded`` which kernel they make. The
    training form runs that kernel: one convolution a block instead of one a branch, with the
    same outputs and gradients, and borders that are exact by construction (zero padding of the
    input; inner maps count as padded with their bias). The activation stands outside.
    """

    kernel_sizes: ClassVar[tuple[int, ...]] = (3,)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel_size: int = 3,
        stride: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.check(in_channels, out_channels, kernel_size)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = kernel_size
        self.stride = stride
        self.has_bias = bias

    @classmethod
    def check(cls, in_channels: int, out_channels: int, kernel_size: int) -> None:
        """Refuse what no block of this class can be.

        Raises:
            InputError: says why.
        """
        if kernel_size not in cls.kernel_sizes:
            sizes = " or ".join(f"{k}x{k}" for k in cls.kernel_sizes)
            raise InputError(
                f"block {cls.__name__} folds to {sizes}, not {kernel_size}x{kernel_size}"
            )

    @abstractmethod
    def folded(self) -> Kernel:
        """The single kernel (out, in, k, k) and bias this block amounts to, differentiable."""

    def shortcut(self) -> list[Kernel]:
        """The identity as a branch where channels and resolution stay, else no branch."""
        if self.in_channels != self.out_channels or self.stride != 1:
            return []
        return [identity(self.in_channels, next(self.parameters()))]

    def start_kernel(self) -> Branch | None:
        """The branch that takes an initial kernel; by default the first one of the full size.

        What is added to its kernel must add to the folded kernel. None keeps the block's own
        initialization.
        """
        size = (self.out_channels, self.in_channels, self.kernel_size, self.kernel_size)
        branches = (child for child in self.children() if isinstance(child, Branch))
        return next((b for b in branches if tuple(b.weight.shape) == size), None)

    def fold(self) -> Kernel:
        """The checked result of ``folded``.

        Raises:
            InputError: it is no kernel of this block's channels and size.
        """
        kernel = self.folded()
        wanted = (self.out_channels, self.in_channels, self.kernel_size, self.kernel_size)
        for told, made, right in (
            ("kernel", kernel.weight, wanted),
            ("bias", kernel.bias, wanted[:1]),
        ):
            if made is not None and tuple(made.shape) != right:
                raise InputError(
                    f"block {type(self).__name__} folds to a {told} of {tuple(made.shape)}, and "
                    f"from {self.in_channels} to {self.out_channels} channels it must be {right}"
                )
        return kernel

    @property
    def padding(self) -> int:
        """Zero padding that keeps the size at stride 1 and halves even sizes at stride 2."""
        return padding_of(self.kernel_size)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) -> (N, out, ceil(H/stride), ceil(W/stride))."""
        weight, bias = self.fold()
        return F.conv2d(x, weight, bias, self.stride, self.padding)

    def fused(self) -> nn.Conv2d:
        """The deploy form: a plain convolution with the folded kernel."""
        with torch.no_grad():
            return plain(self.fold(), self.stride, self.padding)


def padding_of(kernel_size: int) -> int:
    """Zero padding of a `LinearBlock` of this kernel size."""
    return 1 if kernel_size > 1 else 0


def plain(kernel: Kernel, stride: int = 1, padding: int = 0) -> nn.Conv2d:
    """A kernel as an ordinary convolution module with its own copy of the numbers."""
    weight, bias = kernel
    out_channels, in_channels, *size = weight.shape
    conv = nn.Conv2d(
        in_channels,
        out_channels,
        (size[0], size[1]),
        stride,
        padding,
        bias=bias is not None,
        device=weight.device,
        dtype=weight.dtype,
    )
    conv.weight = nn.Parameter(weight.detach().clone())
    if bias is not None:
        conv.bias = nn.Parameter(bias.detach().clone())
    return conv


def matching(in_channels: int, out_channels: int, bias: bool) -> nn.Module:
    """What an input passes before it is added to an output: a 1x1 where the width changes."""
    if in_channels == out_channels:
        return nn.Identity()
    return nn.Conv2d(in_channels, out_channels, 1, bias=bias)


class Branch(nn.Module):
    """One convolution's parameters inside a block, initialised as ``nn.Conv2d`` is."""

    def __init__(
        self, in_channels: int, out_channels: int, size: int | tuple[int, int], bias: bool
    ) -> None:
        super().__init__()
        conv = nn.Conv2d(in_channels, out_channels, size, bias=bias)
        self.weight = conv.weight
        self.bias = conv.bias

    @property
    def kernel(self) -> Kernel:
        """The branch as a kernel."""
        return Kernel(self.weight, self.bias)


class Conv(LinearBlock):
    """A plain convolution, 1x1, 3x3 or 4x4."""

    kernel_sizes = (1, 3, 4)

    def __init__(self, in_channels: int, out_channels: int, **options: Any) -> None:
        super().__init__(in_channels, out_channels, **options)
        self.conv = Branch(in_channels, out_channels, self.kernel_size, self.has_bias)

    def folded(self) -> Kernel:
        """Its own kernel."""
        return self.conv.kernel


class Flat(nn.Module):
    """A plain 3x3 as a stage of its own that no activation follows."""

    def __init__(self, in_channels: int, out_channels: int, *, bias: bool = True) -> None:
        super().__init__()
        self.block = Conv(in_channels, out_channels, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) -> (N, out, H, W)."""
        return self.block(x)
