"""Upscaling pictures of any size with bounded memory.

A whole 540x960 picture through 48 channels is a map of 100 MB, and there are several at once.
Convolutional networks see only a few rows around each pixel, so they can work strip by strip and
give the same picture.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from nas.measure.layers import trace
from nas.measure.pixels import Pixels, to_input, to_uint8
from search_spaces.architecture import SCALE

STRIP_PIXELS = 2**18
"""LR pixels of a strip on a CPU: the overlap stays under a tenth, the maps under 60 MB each."""

_PROBE = 96
_WHOLE = frozenset({"pool", "reduce", "norm", "matmul", "other"})


def reach(network: nn.Module) -> tuple[int, int] | None:
    """Return how far a network sees, or None where that cannot be bounded.

    The first number is rows of the LR picture above and below a pixel that can influence it, at
    most; the second the multiple of rows at which a strip may start. None is for networks that
    pool, normalise or reduce over the picture, or run an operator that the trace does not know.
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

    The result lies on the network's device. Pictures of more than ``strip_pixels`` are done in
    strips where the network allows it (see `reach`), which changes nothing but the memory needed.
    """
    weight = next(network.parameters(), torch.empty(0))
    height, width = pixels.shape[:2]
    parts = max(1, math.ceil(height * width / strip_pixels))
    seen = reach(network) if parts > 1 else None
    was_training = network.training
    network.eval()
    try:
        if seen is None:
            picture = to_input(pixels, weight.device).to(weight.dtype)
            return to_uint8(network(picture)[0]).contiguous()
        halo, step = (math.ceil(seen[0] / seen[1]) * seen[1], seen[1])
        rows = max(step, math.ceil(height / parts / step) * step)
        larger = torch.empty(
            SCALE * height, SCALE * width, 3, dtype=torch.uint8, device=weight.device
        )
        for top in range(0, height, rows):
            bottom = min(top + rows, height)
            first = max(0, top - halo)
            strip = to_input(pixels[first : bottom + halo], weight.device).to(weight.dtype)
            out = network(strip)[0, :, SCALE * (top - first) : SCALE * (bottom - first)]
            larger[SCALE * top : SCALE * bottom] = to_uint8(out)
        return larger
    finally:
        network.train(was_training)
