"""Upscaling images of any size with bounded memory.

A 540x960 image with 48 channels is a map of 100 MB, and several exist at once. The receptive field
of a convolutional network is a few rows, so it can work strip by strip with the same result.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import torch
from torch import nn

from nas.measure.cost.trace import trace
from search_spaces.architecture import SCALE

Pixels: TypeAlias = "np.ndarray | torch.Tensor"
"""A uint8 image of shape (H, W, 3), RGB; arrays may be memory-mapped and read-only."""


def as_tensor(pixels: Pixels) -> torch.Tensor:
    """Return the image as a tensor: itself, or a copy of the array."""
    if isinstance(pixels, torch.Tensor):
        return pixels
    # A copy, because memory-mapped images are read-only, and tensors cannot be.
    return torch.from_numpy(np.array(pixels, dtype=np.uint8))


def to_input(pixels: Pixels, device: str | torch.device = "cpu") -> torch.Tensor:
    """Return uint8 pixels (H, W, 3) as a network's input: float (1, 3, H, W) in [0, 1]."""
    return as_tensor(pixels).to(device).permute(2, 0, 1)[None].float().div(255).contiguous()


def to_uint8(image: torch.Tensor) -> torch.Tensor:
    """Return a network's output, (3, H, W) in [0, 1] or beyond, as uint8 pixels (H, W, 3).

    Clamps, scales and rounds half to even, as the organisers do before they write a PNG.
    """
    # In place after the first step: at 4K each further copy takes as long as a convolution.
    return image.float().clamp(0, 1).mul_(255).round_().to(torch.uint8).permute(1, 2, 0)


STRIP_PIXELS = 2**18
"""LR pixels of a strip on a CPU: the overlap stays under a tenth, the maps under 60 MB each."""

_PROBE = 96
_WHOLE = frozenset({"pool", "reduce", "norm", "matmul", "other"})


def receptive_field(network: nn.Module) -> tuple[int, int] | None:
    """Return an upper bound of a network's receptive field, or None without one.

    The first number is the LR rows above and below a pixel that can influence it, the second the
    multiple of rows at which a strip may start. None is for networks that pool, normalise or reduce
    over the image, or run an operator that the trace does not know.
    """
    rows, step = 0, 1
    for layer in trace(network, _PROBE, _PROBE):
        if layer.kind in _WHOLE and layer.height_in > 1:
            return None
        inner = max(1, round(_PROBE / max(1, layer.height_in)))
        outer = max(1, round(_PROBE / max(1, layer.height)))
        step = math.lcm(step, inner, outer)
        if layer.kind == "conv":
            rows += layer.kernel_size // 2 * inner
        elif layer.kind == "pad":
            rows += (layer.height - layer.height_in) * inner
        elif layer.kind == "interpolate":
            if layer.height % layer.height_in:
                return None
            rows += 4 * inner
    return rows, step


@torch.no_grad()
def upscale_picture(
    network: nn.Module, pixels: Pixels, *, strip_pixels: int = STRIP_PIXELS
) -> torch.Tensor:
    """Return a network's 4x upscaling of uint8 pixels (H, W, 3) as uint8 (4H, 4W, 3).

    The result is on the network's device. Images of more than ``strip_pixels`` are upscaled in
    strips, with the same result, if the network has a bounded `receptive_field`.
    """
    weight = next(network.parameters(), torch.empty(0))
    field = receptive_field(network) if pixels.shape[0] * pixels.shape[1] > strip_pixels else None

    def work(rows: Pixels) -> torch.Tensor:
        return to_uint8(network(to_input(rows, weight.device).to(weight.dtype))[0])

    was_training = network.training
    network.eval()
    try:
        return in_strips(work, pixels, field, strip_pixels).contiguous()
    finally:
        network.train(was_training)


def in_strips(
    work: Callable[[Pixels], torch.Tensor],
    pixels: Pixels,
    field: tuple[int, int] | None,
    strip_pixels: int,
) -> torch.Tensor:
    """Apply ``work``, from uint8 rows (h, W, 3) to uint8 (4h, 4W, 3), strip by strip.

    ``field`` is its `receptive_field`; None processes the whole image at once.
    """
    height, width = pixels.shape[:2]
    parts = max(1, math.ceil(height * width / strip_pixels))
    if field is None or parts == 1:
        return work(pixels)
    halo, step = (math.ceil(field[0] / field[1]) * field[1], field[1])
    rows = max(step, math.ceil(height / parts / step) * step)
    larger: torch.Tensor | None = None
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        first = max(0, top - halo)
        out = work(pixels[first : bottom + halo])[SCALE * (top - first) : SCALE * (bottom - first)]
        if larger is None:
            larger = out.new_empty(SCALE * height, SCALE * width, 3)
        larger[SCALE * top : SCALE * bottom] = out
    assert larger is not None
    return larger
