"""Dual stream of ETDS (Chao et al., CVPR 2023) with MegastudyEdu's additions (survey 3.11).

A backbone stream and a residual stream of 3 channels, which carries the image, run side by side;
the residual stream feeds the backbone, never the other way. Side by side they are one plain
convolution with a block of zeros, [[K_b, K_r2b], [0, K_r]]: the equivalent transformation is the
fold. In every map the residual stream is the last 3 channels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from nas.common.errors import InputError
from search_spaces.blocks.folding import Kernel, add, reading, stack
from search_spaces.blocks.linear import Branch, Conv, Foldable, LinearBlock, plain

STREAM = 3
"""Channels of the residual stream."""

Backbone = Callable[..., LinearBlock]


class DualStream(LinearBlock):
    """K_b on the backbone (plain, or an ECB in Megastudy), K_r2b from zero, K_r from identity."""

    def __init__(
        self, in_channels: int, out_channels: int, backbone: Backbone = Conv, **options: Any
    ) -> None:
        super().__init__(in_channels, out_channels, **options)
        self.backbone = backbone(in_channels - STREAM, out_channels - STREAM, bias=self.has_bias)
        self.cross = Branch(STREAM, out_channels - STREAM, 3, False)
        self.stream = Branch(STREAM, STREAM, 3, self.has_bias)
        nn.init.zeros_(self.cross.weight)
        _pass_on(self.stream)

    @classmethod
    def check(cls, in_channels: int, out_channels: int, kernel_size: int) -> None:
        """As any block, and the image needs its channels."""
        super().check(in_channels, out_channels, kernel_size)
        _check_width(in_channels, out_channels)

    def folded(self) -> Kernel:
        """Both streams as one kernel."""
        total, start = self.in_channels, self.in_channels - STREAM
        upper = add(
            reading(self.backbone.folded(), 0, total), reading(self.cross.kernel, start, total)
        )
        return stack(upper, reading(self.stream.kernel, start, total))


class DualStreamStem(LinearBlock):
    """Image -> both streams; gradient channels, if any, -> half of the backbone (FEM)."""

    def __init__(
        self, in_channels: int, out_channels: int, backbone: Backbone = Conv, **options: Any
    ) -> None:
        super().__init__(in_channels, out_channels, **options)
        backbone_width = out_channels - STREAM
        from_gradient = backbone_width // 2 if in_channels > STREAM else 0
        self.backbone = backbone(STREAM, backbone_width - from_gradient, bias=self.has_bias)
        self.gradient: Branch | None = None
        if from_gradient:
            self.gradient = Branch(in_channels - STREAM, from_gradient, 3, self.has_bias)
        self.stream = Branch(STREAM, STREAM, 3, self.has_bias)
        _pass_on(self.stream)

    @classmethod
    def check(cls, in_channels: int, out_channels: int, kernel_size: int) -> None:
        """As any block, and it reads an image."""
        super().check(in_channels, out_channels, kernel_size)
        _check_width(out_channels)
        if in_channels not in (STREAM, 2 * STREAM):
            raise InputError(
                f"block etds_stem reads an image of 3 channels (6 with its gradient), not "
                f"{in_channels}: use stem 'conv'"
            )

    def folded(self) -> Kernel:
        """Block-diagonal: the image's rows, the gradient's rows, the residual stream's rows."""
        total = self.in_channels
        rows = [reading(self.backbone.folded(), 0, total)]
        if self.gradient is not None:
            rows.append(reading(self.gradient.kernel, STREAM, total))
        return stack(*rows, reading(self.stream.kernel, 0, total))


class DualStreamTail(LinearBlock):
    """Both streams -> phases, added; the residual stream starts as nearest-neighbour upscaling."""

    def __init__(
        self, in_channels: int, out_channels: int, backbone: Backbone = Conv, **options: Any
    ) -> None:
        super().__init__(in_channels, out_channels, **options)
        self.backbone = backbone(in_channels - STREAM, out_channels, bias=self.has_bias)
        self.stream = Branch(STREAM, out_channels, 3, self.has_bias)
        if out_channels % STREAM == 0:
            _pass_on(self.stream)

    @classmethod
    def check(cls, in_channels: int, out_channels: int, kernel_size: int) -> None:
        """As any block, and the image needs its channels."""
        super().check(in_channels, out_channels, kernel_size)
        _check_width(in_channels)

    def folded(self) -> Kernel:
        """Both streams as one kernel."""
        total = self.in_channels
        backbone = reading(self.backbone.folded(), 0, total)
        return add(backbone, reading(self.stream.kernel, total - STREAM, total))


class ClippedTail(Foldable):
    """``DualStreamTail``, then a clamp to [0, 1] that deploys as ETDS publishes it.

    clamp(y) = ReLU(1 - ReLU(1 - y)): the tail is stored negated and a 1x1 convolution follows,
    counted in Megastudy's published MACs though a clamp would do. Training runs without the clamp,
    whose gradient is zero outside [0, 1].
    """

    def __init__(self, in_channels: int, out_channels: int, **options: Any) -> None:
        super().__init__()
        self.linear = DualStreamTail(in_channels, out_channels, **options)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) -> (N, out, H, W), in [0, 1] when not training."""
        phases = self.linear(x)
        return phases if self.training else phases.clamp(0, 1)

    def fused(self) -> nn.Module:
        """Negated tail, ReLU, 1 - x as a 1x1 convolution, ReLU."""
        with torch.no_grad():
            weight, bias = self.linear.folded()
            ones = torch.ones_like(weight[:, 0, 0, 0])
            negated = Kernel(-weight, ones if bias is None else ones - bias)
            flip = Kernel(-torch.diag(ones)[:, :, None, None], ones)
        tail = plain(negated, padding=self.linear.padding)
        return nn.Sequential(tail, nn.ReLU(), plain(flip), nn.ReLU())


def _check_width(*channels: int) -> None:
    if min(channels) <= STREAM:
        raise InputError(
            f"block etds keeps {STREAM} channels for the image: give it a width above {STREAM}, "
            f"not {min(channels)}"
        )


def _pass_on(stream: Branch) -> None:
    """Start as the identity, each channel repeated where there are more outputs than inputs."""
    with torch.no_grad():
        stream.weight.zero_()
        repeats = len(stream.weight) // STREAM
        stream.weight[:, :, 1, 1] = torch.eye(STREAM).repeat_interleave(repeats, 0)
        if stream.bias is not None:
            stream.bias.zero_()
