"""Named choices of an architecture that plugins can add to: stems, activations, interpolations.

Nothing here imports torch before a network is built.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nas.common.registry import Registry

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class Stem:
    """How an image becomes features."""

    factor: int
    """The body runs at LR resolution divided by this."""
    kernel: int = 3
    """Side of the stem's convolution."""
    downscale: Callable[[int], nn.Module] | None = None
    """Makes, from the factor f, a module (N, C, H, W) -> (N, C f^2, H/f, W/f) that comes before the
    convolution. Without it the convolution has stride f."""


@dataclass(frozen=True, slots=True)
class Activation:
    """A nonlinearity."""

    make: Callable[[int], nn.Module]
    """Makes the module for a number of channels."""
    odd: bool = False
    """Whether f(x) - f(-x) = x. First weights use it to pass the image; where it is False they
    expect f(x) = x for x >= 0."""


@dataclass(frozen=True, slots=True)
class Interpolation:
    """A separable interpolation by 4, which a network can add to its output."""

    weight: Callable[[float], float]
    """Weight of an LR pixel by its distance in pixels."""
    taps: int
    """LR pixels along each axis, odd. From 5 on it counts as good as Lanczos: a network starts at
    its output as it is. With fewer the tail starts at the difference to Lanczos."""


def pixel_unshuffle(factor: int) -> nn.Module:
    """Move f x f pixels to channels; stems with it can start at the baseline."""
    from torch import nn

    return nn.PixelUnshuffle(factor)


stems: Registry[Stem] = Registry("stem")
stems.add("conv", Stem(1))
stems.add("unshuffle2", Stem(2, downscale=pixel_unshuffle))
stems.add("unshuffle3", Stem(3, downscale=pixel_unshuffle))
stems.add("unshuffle4", Stem(4, downscale=pixel_unshuffle))
stems.add("strided2", Stem(2))
stems.add("strided2x4", Stem(2, kernel=4))


def _torch(name: str, *arguments: Any) -> Callable[[int], nn.Module]:
    def make(width: int) -> nn.Module:
        from torch import nn

        return getattr(nn, name)(*arguments)

    return make


def _prelu(width: int) -> nn.Module:
    from torch import nn

    return nn.PReLU(width)


activations: Registry[Activation] = Registry("activation")
activations.add("relu", Activation(_torch("ReLU")))
activations.add("leaky_relu", Activation(_torch("LeakyReLU", 0.1)))
activations.add("prelu", Activation(_prelu))
activations.add("gelu", Activation(_torch("GELU"), odd=True))
activations.add("silu", Activation(_torch("SiLU"), odd=True))
activations.add("none", Activation(_torch("Identity")))


def _nearest(x: float) -> float:
    return 1.0 if -0.5 <= x < 0.5 else 0.0


def _bilinear(x: float) -> float:
    return max(0.0, 1.0 - abs(x))


def _bicubic(x: float) -> float:
    """Keys' cubic with a = -0.5, as in Pillow and MATLAB (``F.interpolate`` uses -0.75)."""
    x, a = abs(x), -0.5
    if x < 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0


def _lanczos(x: float) -> float:
    """Three lobes, as Pillow's LANCZOS."""
    if x == 0:
        return 1.0
    if abs(x) >= 3:
        return 0.0
    return math.sin(math.pi * x) * math.sin(math.pi * x / 3) * 3 / (math.pi * x) ** 2


interpolations: Registry[Interpolation] = Registry(
    "interpolation", reserved=("none", "learned", "lr")
)
interpolations.add("nearest", Interpolation(_nearest, 1))
interpolations.add("bilinear", Interpolation(_bilinear, 3))
interpolations.add("bicubic", Interpolation(_bicubic, 5))
interpolations.add("lanczos", Interpolation(_lanczos, 7))


def residuals() -> tuple[str, ...]:
    """Return the names of all global residuals: the interpolations, and those with another form."""
    return ("none", *interpolations, "learned", "lr")
