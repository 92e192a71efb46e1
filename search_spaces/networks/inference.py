"""The deploy form in fewer passes over memory: the same function, exact at picture borders too.

Blocks are folded already; what is left to save are steps that move maps about:

- A pixel-unshuffle and the convolution behind it become one strided convolution, and so does a
  reduction to luma before it.
- A chain of two pixel-shuffles with a residual between becomes one: the tail's channels are
  permuted, and the residual is taken from the picture at the body's resolution, by a convolution
  that strides over the picture with replicated borders. It is added in place.
- ETDS' clipped tail, whose clamp is published as ReLU, 1x1 convolution, ReLU, becomes the plain
  tail and a clamp.
- Activations behind a convolution work in place.

The residual does not go into the weights of the tail itself. For nearest-neighbour that would be
exact (its one tap sees no border), but copying the picture's channels beside the features costs
more than the addition does. For wider taps it would be wrong at borders, where the tail sees zeros
and an interpolation the picture's last pixels. Cascades keep both their shuffles: convolving before
a shuffle by f instead of after it takes f * f times the arithmetic.

Model files always hold the plain deploy form; this one is made from it when it is run.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from search_spaces.architecture import SCALE
from search_spaces.networks.factory import fuse
from search_spaces.networks.network import Network
from search_spaces.networks.parts import LumaInput
from search_spaces.networks.residual import Residual

_DENSE = 3
"""Largest kernel whose residual reads all three colours, two of them with weights of zero, instead
of each colour alone. Same sums; up to here it is faster on a CPU, beyond it is slower."""


class Simplified(nn.Module):
    """A network's deploy form with fewer passes over memory, for inference only.

    ``padded``, ``phases``, ``shuffle`` and ``forward`` are as those of `Network`.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = fuse(network)
        self.residual: PhaseResidual | None = None
        self.base: Residual | None = None
        """Of a network that predicts luma: what ``forward`` adds its plane to."""
        self.colours_last = False
        """Whether phases are ordered (row, column, colour); see `by_pixel`."""
        merge_stem(self.network.stem)
        _plain_clip(self.network)
        _work_in_place(self.network)
        end = ending(self.network)
        if self.network.residual is not None and end is not None:
            self.residual = PhaseResidual(self.network.residual, self.step)
            if self.network.architecture.planes == 1:
                self.base = self.network.residual
            self.network.residual = None
            _reorder(end.conv, _joint(self.step, self.network.architecture.planes))
        self.requires_grad_(False)

    @property
    def factor(self) -> int:
        """What the sides of the picture are padded to a multiple of."""
        return self.network.architecture.factor

    @property
    def step(self) -> int:
        """Rows and columns of the picture that one position of the phases stands for."""
        return self.factor if self.network.lift is None else 1

    @property
    def shuffle(self) -> int:
        """Factor of the pixel-shuffle that makes the output of ``phases`` a picture."""
        return self.network.shuffle

    @property
    def clipped(self) -> bool:
        """Whether the output is clamped to [0, 1] by itself."""
        end = ending(self.network)
        added = self.residual is not None or self.network.residual is not None
        return end is not None and end.clamp is not None and not added

    def padded(self, x: Tensor) -> Tensor:
        """The picture with its last row and column repeated up to the working factor."""
        return self.network.padded(x)

    def phases(self, x: Tensor) -> Tensor:
        """The output before its last pixel-shuffle.

        (N, 3, H, W), H and W multiples of the working factor, to (N, 3 r^2, 4H/r, 4W/r) where r is
        ``shuffle``.
        """
        phases = self.network.phases(x)
        if self.residual is None:
            return phases
        if self.network.architecture.planes == 3:
            return phases.add_(self.residual(x))
        base = self.residual(x)
        if self.colours_last:
            return base.unflatten(1, (-1, 3)).add_(phases[:, :, None]).flatten(1, 2)
        return base.unflatten(1, (3, -1)).add_(phases[:, None]).flatten(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) in [0, 1] -> (N, 3, 4H, 4W)."""
        height, width = x.shape[-2:]
        padded = self.padded(x)
        if self.base is not None:
            plane = F.pixel_shuffle(self.network.phases(padded), self.shuffle)
            upscaled = self.base.image(padded).add_(plane)
        else:
            upscaled = F.pixel_shuffle(self.phases(padded), self.shuffle)
        return upscaled[..., : SCALE * height, : SCALE * width]


def simplified(network: Network) -> Simplified:
    """Return what a network computes, in training or deploy form, by its simplest form."""
    return Simplified(network).eval()


class PhaseResidual(nn.Module):
    """A global residual as phases of a network that works at 1/f of the picture's resolution.

    (N, 3, H, W) -> (N, 3 (4f)^2, H/f, W/f): the interpolations of f x f pixels at each position.
    """

    def __init__(self, residual: Residual, factor: int) -> None:
        super().__init__()
        taps = residual.weight.detach().unflatten(0, (3, SCALE, SCALE)).squeeze(3)
        size = taps.shape[-1]
        side = size + factor - 1
        spread = taps.new_zeros(3, factor, SCALE, factor, SCALE, side, side)
        for down in range(factor):
            for right in range(factor):
                spread[:, down, :, right, :, down : down + size, right : right + size] = taps
        self.weight = nn.Parameter(spread.reshape(-1, 1, side, side), requires_grad=False)
        self.reach, self.factor = size // 2, factor
        if side <= _DENSE:
            self.mix()

    def mix(self) -> None:
        """Read all colours for each of the channels, so that these may stand in any order."""
        if self.weight.shape[1] == 1:
            own = torch.eye(3, dtype=self.weight.dtype, device=self.weight.device)
            each = self.weight.unflatten(0, (3, -1)).squeeze(2)
            mixed = torch.einsum("opyx,oi->opiyx", each, own).flatten(0, 1).contiguous()
            self.weight = nn.Parameter(mixed, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Interpolate; the caller shuffles the phases into pixels."""
        if self.reach:
            x = F.pad(x, (self.reach,) * 4, mode="replicate")
        return F.conv2d(x, self.weight, stride=self.factor, groups=3 // self.weight.shape[1])


class Clamp(nn.Hardtanh):
    """A clamp to [0, 1], in place."""

    def __init__(self) -> None:
        super().__init__(0, 1, inplace=True)


@dataclass(frozen=True, slots=True, eq=False)
class Ending:
    """What a network's phases come from: a convolution, and a clamp to [0, 1] or none."""

    conv: nn.Conv2d
    clamp: Clamp | None


def ending(network: Network) -> Ending | None:
    """Return how a network's phases are made, or None where that is no plain convolution."""
    return ending_of(network.tail if network.lift is None else list(network.lift.children())[-1])


def ending_of(last: nn.Module) -> Ending | None:
    """As `ending`, from the network's last module before the residual."""
    layers = list(last) if isinstance(last, nn.Sequential) and len(last) == 2 else [last, None]
    conv, clamp = layers
    if not isinstance(conv, nn.Conv2d) or conv.groups != 1:
        return None
    return Ending(conv, clamp) if clamp is None or isinstance(clamp, Clamp) else None


@torch.no_grad()
def by_pixel(simple: Simplified, scale: float = 1.0) -> bool:
    """Let phases come as (row, column, colour), as pixels lie in pictures, and times ``scale``.

    Returns:
        Whether a convolution makes them; else nothing is changed.
    """
    end = ending(simple.network)
    if end is None:
        return False
    simple.colours_last = True
    order = torch.arange(3 * simple.shuffle**2).view(3, -1).T.flatten()
    if simple.network.architecture.planes == 3:
        _reorder(end.conv, order)
    end.conv.weight.mul_(scale)
    if end.conv.bias is not None:
        end.conv.bias.mul_(scale)
    if end.clamp is not None:
        end.clamp.max_val = scale
    if simple.residual is not None:
        simple.residual.mix()
        simple.residual.weight.copy_(scale * simple.residual.weight[order])
    return True


def _reorder(conv: nn.Conv2d, order: Tensor) -> None:
    """Let a convolution give its output channels in another order."""
    with torch.no_grad():
        conv.weight.copy_(conv.weight[order])
        if conv.bias is not None:
            conv.bias.copy_(conv.bias[order])


def _joint(factor: int, planes: int) -> Tensor:
    """The order in which the channels of shuffles by ``factor`` and by 4 are those of a joint one.

    The chain has them as (plane, row and column at 4x, row and column at ``factor``).
    """
    chain = torch.arange(planes * (SCALE * factor) ** 2)
    chain = chain.view(planes, SCALE, SCALE, factor, factor)
    return chain.permute(0, 3, 1, 4, 2).flatten()


def _plain_clip(network: Network) -> None:
    for parent in (network, network.lift):
        for name, last in list(parent.named_children()) if parent is not None else []:
            setattr(parent, name, plain_clip(last))


def plain_clip(last: nn.Module) -> nn.Module:
    """Return ETDS' clipped tail, 1 - relu(1 - y) once more through a ReLU, as tail and clamp.

    1 - y is a convolution whose weights and bias are negated, with 1 added to the bias. Any other
    module is returned as it is.
    """
    found = _negated(last)
    if found is None:
        return last
    conv = copy.deepcopy(found)
    assert conv.bias is not None
    with torch.no_grad():
        conv.weight.neg_()
        conv.bias.neg_().add_(1)
    return nn.Sequential(conv, Clamp())


def _negated(module: nn.Module) -> nn.Conv2d | None:
    """The first convolution of ETDS' clipped tail, if the module is exactly such a one."""
    if not isinstance(module, nn.Sequential) or len(module) != 4:
        return None
    conv, first, flip, second = module
    if not (isinstance(conv, nn.Conv2d) and isinstance(flip, nn.Conv2d)):
        return None
    if not (isinstance(first, nn.ReLU) and isinstance(second, nn.ReLU)):
        return None
    if conv.bias is None or flip.bias is None or flip.kernel_size != (1, 1):
        return None
    minus = -torch.eye(flip.out_channels, dtype=flip.weight.dtype, device=flip.weight.device)
    exact = torch.equal(flip.weight[:, :, 0, 0], minus) and bool((flip.bias == 1).all())
    return conv if exact else None


def _work_in_place(network: Network) -> None:
    """Let activations overwrite the map that a convolution right before them has made."""
    for layers in (network.stem, network.body):
        for before, layer in zip(layers, list(layers)[1:], strict=False):
            if works_in_place(before, layer):
                layer.inplace = True  # type: ignore[assignment]


def works_in_place(before: nn.Module, layer: nn.Module) -> bool:
    """Whether a layer may and can overwrite the map that comes from the one before it."""
    return isinstance(before, nn.Conv2d) and hasattr(layer, "inplace")


def merge_stem(stem: nn.Sequential) -> None:
    """Make pixel-unshuffle, reduction to luma and the convolution behind them one, in place."""
    _merge_unshuffle(stem)
    _merge_luma(stem)


def _merge_unshuffle(stem: nn.Sequential) -> None:
    """Make pixel-unshuffle and the convolution behind it one strided convolution, in place.

    ONNX has no such unshuffle: it becomes sixteen nodes that shift pixels about. The convolution
    of 3x3 unshuffled pixels is one of 3f x 3f pixels at stride f, with the same sums.
    """
    layers = list(stem)
    for place, layer in enumerate(layers[:-1]):
        conv = layers[place + 1]
        if not (isinstance(layer, nn.PixelUnshuffle) and isinstance(conv, nn.Conv2d)):
            continue
        f = layer.downscale_factor
        out, _, *size = conv.weight.shape
        taps = conv.weight.detach().reshape(out, -1, f, f, *size).permute(0, 1, 4, 2, 5, 3)
        merged = nn.Conv2d(
            taps.shape[1],
            out,
            (f * size[0], f * size[1]),
            f,
            (f * int(conv.padding[0]), f * int(conv.padding[1])),
            bias=conv.bias is not None,
        )
        merged.weight = nn.Parameter(taps.flatten(4, 5).flatten(2, 3).contiguous())
        merged.bias = conv.bias
        stem[place], stem[place + 1] = nn.Identity(), merged


def _merge_luma(stem: nn.Sequential) -> None:
    """Let the convolution behind a reduction to luma read the colours itself, in place."""
    convolutions = [layer for layer in stem if isinstance(layer, nn.Conv2d)]
    if not convolutions or not isinstance(stem[0], LumaInput):
        return
    conv, weights = convolutions[0], stem[0].weight
    conv.weight = nn.Parameter(conv.weight.detach() * weights)
    conv.in_channels = weights.shape[1]
    stem[0] = nn.Identity()
