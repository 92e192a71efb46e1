"""Max pooling of a map to its size divided by a whole number, at any size, exported or not."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def max_pool_by(x: Tensor, factor: int) -> Tensor:
    """Adaptive max pooling to a ``factor``-th of height and width, rounded down, at least 1.

    (N, C, H, W) -> (N, C, max(1, H // factor), max(1, W // factor)). Adaptive pooling knows only
    sizes that are plain numbers. While a network is exported its sizes are symbols; then the same
    windows are made of operators that every runtime has, with the same result to the bit, for
    H, W >= ``factor``.
    """
    height, width = x.shape[-2:]
    if isinstance(height, int) and isinstance(width, int):
        return F.adaptive_max_pool2d(x, (max(1, height // factor), max(1, width // factor)))
    rows = F.max_pool2d(x, (factor, 1), stride=1)
    x = _windows(rows, height, factor, -2)
    columns = F.max_pool2d(x, (1, factor), stride=1)
    return _windows(columns, width, factor, -1)


def _windows(peaks: Tensor, length: int, factor: int, axis: int) -> Tensor:
    """The maxima of adaptive pooling's windows along one axis of ``length`` values.

    Each is ``factor`` to twice that long, so two runs of ``factor``, at its start and at its end,
    cover it; ``peaks`` holds the maximum of every such run.
    """
    count = length // factor
    index = torch.arange(count, device=peaks.device)
    first = torch.div(index * length, count, rounding_mode="trunc")
    end = torch.div((index + 1) * length + count - 1, count, rounding_mode="trunc")
    return torch.maximum(peaks.index_select(axis, first), peaks.index_select(axis, end - factor))
