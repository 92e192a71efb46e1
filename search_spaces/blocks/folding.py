"""The algebra of re-parameterisation: linear branches become one convolution kernel.

Every function is differentiable, so a block can train through its folded kernel. A kernel of
stride s folds like one of stride 1, because all branches share the last convolution's grid.
"""

from __future__ import annotations

from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Kernel(NamedTuple):
    """A convolution as numbers: weight (out, in, k, k) and bias (out,) or None."""

    weight: Tensor
    bias: Tensor | None = None


def grow(kernel: Kernel, size: int) -> Kernel:
    """The same convolution written with a larger odd kernel: zeros around it."""
    vertical = (size - kernel.weight.shape[-2]) // 2
    horizontal = (size - kernel.weight.shape[-1]) // 2
    return Kernel(F.pad(kernel.weight, (horizontal, horizontal, vertical, vertical)), kernel.bias)


def add(*kernels: Kernel) -> Kernel:
    """Parallel branches: their outputs summed. Smaller kernels sit at the centre."""
    size = max(max(kernel.weight.shape[-2:]) for kernel in kernels)
    grown = [grow(kernel, size) for kernel in kernels]
    biases = [kernel.bias for kernel in grown if kernel.bias is not None]
    weight = torch.stack([kernel.weight for kernel in grown]).sum(0)
    return Kernel(weight, torch.stack(biases).sum(0) if biases else None)


def chain(*kernels: Kernel) -> Kernel:
    """Convolutions in a row, at most one of them larger than 1x1.

    With a biased 1x1 before a larger kernel this holds at image borders only when the map between
    the two is padded with that bias instead of zero: the folded kernel *defines* the block that
    way.
    """
    return reduce(_pair, kernels)


def _pair(first: Kernel, then: Kernel) -> Kernel:
    a, b = first.weight, then.weight
    if a.shape[-1] == 1 and a.shape[-2] == 1:
        weight = torch.einsum("omhw,mi->oihw", b, a[:, :, 0, 0])
    elif b.shape[-1] == 1 and b.shape[-2] == 1:
        weight = torch.einsum("om,mihw->oihw", b[:, :, 0, 0], a)
    else:
        raise ValueError("one of two chained kernels must be 1x1")
    bias = then.bias
    if first.bias is not None:
        carried = b.sum((2, 3)) @ first.bias
        bias = carried if bias is None else bias + carried
    return Kernel(weight, bias)


def identity(channels: int, like: Tensor) -> Kernel:
    """The convolution that changes nothing, as 1x1, on the device and in the type of ``like``."""
    eye = torch.eye(channels, dtype=like.dtype, device=like.device)
    return Kernel(eye[:, :, None, None])


def stack(*kernels: Kernel) -> Kernel:
    """Convolutions of the same input side by side: their output channels one after the other."""
    weight = torch.cat([kernel.weight for kernel in kernels])
    if all(kernel.bias is None for kernel in kernels):
        return Kernel(weight)
    rows = [k.weight.new_zeros(len(k.weight)) if k.bias is None else k.bias for k in kernels]
    return Kernel(weight, torch.cat(rows))


def reading(kernel: Kernel, start: int, channels: int) -> Kernel:
    """The same convolution on a wider input of ``channels``: it reads those from ``start`` on."""
    after = channels - start - kernel.weight.shape[1]
    return Kernel(F.pad(kernel.weight, (0, 0, 0, 0, start, after)), kernel.bias)
