"""The tail of a network in one CUDA kernel, and whether that is faster here.

The last convolution writes 16 times the numbers of the image; adding a residual, shuffling,
clamping and rounding each read and write them again. One kernel (`nas.deploy.kernels`) reads the
features and writes the image. It is compiled by Triton, which comes with PyTorch for CUDA; without
it, or where PyTorch's operators are faster or the result differs, PyTorch's operators are used.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from statistics import median
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from search_spaces.architecture import SCALE
from search_spaces.networks.inference import Simplified, by_pixel, ending, simplified
from search_spaces.networks.network import Network

LEVELS = 255
"""The highest level of a byte."""

_POSITIONS, _PHASES = 64, 64
"""Sides of the tile that a program makes: 32 accumulators a thread, at 4 warps. Luma at LR
resolution has 16 phases in all."""

Forward: TypeAlias = Callable[[Tensor], Tensor]
"""From an image (1, 3, H, W) in [0, 1] to the upscaled image."""

_LEVELS_OFF = 2  # both round to FP16, at different places
_ROUNDS, _AT_ONCE = 5, 10

_SMALLEST = 16
"""Depth of the smallest product that tensor cores do."""


class FusedTail(nn.Module):
    """A network whose last convolution, residual, shuffle and rounding are one kernel.

    ``forward`` takes one image, (1, 3, H, W) in [0, 1], and returns it upscaled: uint8
    (4H, 4W, 3), or (1, 3, 4H, 4W) in the precision of the network, not clamped.
    """

    weight: Tensor
    bias: Tensor
    taps: Tensor

    def __init__(self, simple: Simplified, conv: nn.Conv2d, *, to_bytes: bool) -> None:
        super().__init__()
        self.simple, self.to_bytes = simple, to_bytes
        self.channels, self.kernel = conv.in_channels, conv.kernel_size[0]
        bias = conv.weight.new_zeros(conv.out_channels) if conv.bias is None else conv.bias
        residual = simple.residual
        taps = conv.weight.new_zeros(1, 3, 0, 0) if residual is None else residual.weight.detach()
        self.planes = simple.network.architecture.planes
        if self.planes == 1:  # taps are alike for all colours: those of red by red
            taps = taps[::3, :1]
        self.at_once = 16 if conv.out_channels == 16 else _PHASES
        self.tap_side = taps.shape[-1]
        self.tap_reach = 0 if residual is None else residual.reach
        by_tap = _tiled(conv.weight.detach().permute(2, 3, 1, 0), self.at_once)
        self.depth = by_tap.shape[2]
        # Flat, because a change to channels_last would change the layout of any 4-d tensor.
        self.register_buffer("weight", by_tap.flatten(0, 2))
        self.register_buffer("bias", F.pad(bias, (0, -len(bias) % self.at_once)))
        self.register_buffer("taps", _tiled(taps.permute(2, 3, 1, 0).flatten(0, 2), self.at_once))

    def forward(self, x: Tensor) -> Tensor:
        """Upscale by 4."""
        if len(x) != 1:
            raise ValueError(f"one image at a time, not {len(x)}")
        height, width = (SCALE * length for length in x.shape[-2:])
        x = self.simple.padded(x)
        features = _interleaved(self.simple.network.phases(x))
        if self.to_bytes:
            words = features.new_empty((height, width // 4 * 3), dtype=torch.int32)
            self._launch(features, _interleaved(x), words, height, width)
            return words.view(torch.uint8).view(height, width, 3)
        out = features.new_empty((1, 3, height, width))
        self._launch(features, _interleaved(x), out, height, width)
        return out

    def _launch(
        self, features: Tensor, image: Tensor, out: Tensor, height: int, width: int
    ) -> None:
        from nas.deploy.kernels import tail_kernel

        rows, columns, _ = features.shape
        phases = self.weight.shape[1]
        grid = (rows * -(-columns // _POSITIONS), phases // self.at_once)
        with torch.cuda.device_of(features):  # Triton launches on the current device
            tail_kernel[grid](
                features,
                self.weight,
                self.bias,
                image,
                self.taps,
                out,
                rows,
                columns,
                *image.shape[:2],
                height,
                width,
                CHANNELS=self.channels,
                KERNEL=self.kernel,
                DEPTH=self.depth,
                PLANES=self.planes,
                STEP=self.simple.step,
                TAP_SIDE=self.tap_side,
                TAP_REACH=self.tap_reach,
                TAP_DEPTH=len(self.taps),
                SIDE=SCALE * self.simple.step,
                PHASES=phases,
                BYTES=self.to_bytes,
                BLOCK=_POSITIONS,
                BLOCK_PHASES=self.at_once,
                BLOCK_CHANNELS=_at_once(self.depth),
                TAP_BLOCK=_at_once(len(self.taps)),
            )


def fuse_tail(network: Network, *, to_bytes: bool) -> FusedTail | None:
    """Return a network with its tail in one kernel, or None if that is not possible.

    It needs Triton and a tail that is a plain convolution. The result is on the CPU: move it to its
    device and precision.
    """
    simple = simplified(network)
    end = ending(simple.network)
    if find_spec("triton") is None or end is None or not _plain(end.conv):
        return None
    if simple.network.residual is not None or (end.clamp and not (simple.clipped and to_bytes)):
        return None
    by_pixel(simple, LEVELS if to_bytes else 1)
    fused = FusedTail(simple, end.conv, to_bytes=to_bytes)
    # The rest of the network computes the input of the kernel.
    simple.residual = None
    if simple.network.lift is None:
        simple.network.tail = nn.Identity()
    else:
        simple.network.lift[-1] = nn.Identity()  # type: ignore[operator]
    return fused.eval()


def is_faster(fused: Forward, plain: Forward, x: Tensor) -> bool:
    """Whether a fused tail on CUDA computes what ``plain`` does in less time; timed on ``x``."""
    try:
        with torch.no_grad(), torch.cuda.device(x.device):
            made, wanted = fused(x), plain(x)
            scale = 1 if made.dtype == torch.uint8 else LEVELS
            if not scale * (made.float() - wanted.float()).abs().max() <= _LEVELS_OFF:
                return False
            times: dict[Forward, list[float]] = {fused: [], plain: []}
            for _ in range(_ROUNDS):
                for forward, taken in times.items():
                    taken.append(_milliseconds(forward, x))
            return median(times[fused]) < median(times[plain])
    except Exception:  # Triton has no base class; it may lack a compiler or not know this GPU
        return False


def _milliseconds(forward: Forward, x: Tensor) -> float:
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    forward(x)
    begin.record()
    for _ in range(_AT_ONCE):
        forward(x)
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / _AT_ONCE


def _plain(conv: nn.Conv2d) -> bool:
    size = conv.kernel_size[0]
    return (
        conv.kernel_size == (size, size)
        and conv.stride == conv.dilation == (1, 1)
        and conv.padding == (size // 2, size // 2)
        and size % 2 == 1
        and conv.groups == 1
        and conv.padding_mode == "zeros"
    )


def _tiled(matrices: Tensor, at_once: int) -> Tensor:
    """Pad (..., depth, phases) with zeros to whole tiles of ``at_once`` phases."""
    depth, phases = matrices.shape[-2:]
    return F.pad(matrices, (0, -phases % at_once, 0, -depth % _SMALLEST)).contiguous()


def _at_once(depth: int) -> int:
    """How much of a depth one product does: few large ones are faster."""
    return 2 * _SMALLEST if depth and depth % (2 * _SMALLEST) == 0 else _SMALLEST


def _interleaved(x: Tensor) -> Tensor:
    """(1, C, H, W) -> (H, W, C) in memory; costs nothing for channels_last."""
    return x[0].permute(1, 2, 0).contiguous()
