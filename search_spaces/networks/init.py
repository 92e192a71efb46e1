"""First weights from which training starts at the interpolation baseline, not 20 dB below it.

The first channels of every layer carry the image (its luma, where that is all the network
predicts), or a summary of it where the network is too narrow, exactly: ReLU and its kin let non-
negative pixels pass, GELU and SiLU are undone by carrying the image and its negative, because f(x)
- f(-x) = x. The tail turns what is carried into the best approximation, within its reach, of
Lanczos minus the network's own residual. The other channels hold random kernels as usual, which the
tail ignores at first. Networks without an image residual need this most; short training shows the
difference (see ``docs/proxy.md``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from search_spaces.architecture import SCALE, Architecture
from search_spaces.blocks.folding import Kernel
from search_spaces.blocks.linear import Branch, LinearBlock
from search_spaces.components import activations, interpolations, pixel_unshuffle, stems
from search_spaces.networks.network import Network
from search_spaces.networks.parts import LUMA
from search_spaces.networks.residual import interpolation_kernel

CORRELATION = 0.96
"""Of neighbouring LR pixels, in the model of pictures by which taps are fitted (AR(1))."""

Layer: TypeAlias = "LinearBlock | nn.Conv2d"


@torch.no_grad()
def initialize(network: Network) -> bool:
    """Set the weights of a network in training or deploy form; draws from torch's generator.

    Returns:
        Whether it was done. Networks keep their own initialization where a block does not fold or
        has no ``start_kernel``, or where the stem rearranges pixels in an unknown way.
    """
    a = network.architecture
    if stems[a.stem].downscale not in (None, pixel_unshuffle):
        return False
    stem, body, neck = (_convolutions(part) for part in (network.stem, network.body, network.neck))
    tail, lift = _convolutions(network.tail), _convolutions(network.lift)
    if stem is None or body is None or neck is None or tail is None or lift is None:
        return False
    expected = (1, a.depth, 0 if network.neck is None else 1, 1, 1 if a.tail.cascade else 0)
    if tuple(map(len, (stem, body, neck, tail, lift))) != expected:
        return False
    carried = _carry(a)
    codes = len(carried.code)
    used = codes * (2 if carried.signed else 1)

    gain = 1.0 if a.stem_activation or not carried.signed else 2.0
    kernel = _random(stem[0])
    kernel[:used] = 0
    _stem_rows(kernel[:codes], a, carried.code)
    if carried.signed:
        kernel[codes:used] = -kernel[:codes]
    assign(stem[0], kernel)
    first = gain
    for conv in body:
        assign(conv, _passing(conv, carried, gain, 0))
        gain = 1.0
    if a.skip == "long":
        gain += first
    for conv in neck:
        assign(conv, _passing(conv, carried, gain, a.width if a.skip == "concat" else 0))
        gain = 2.0 if carried.signed else 1.0
    _end([*tail, *lift], a, carried, gain)
    return True


@dataclass(frozen=True, slots=True)
class _Carried:
    """What the first channels carry of a block of f x f pixels, f being the working factor.

    ``code`` (n, colours, f, f) weighs the pixels of what the network sees, never negatively; if
    ``signed``, it is followed by its negative.
    """

    code: Tensor
    signed: bool


def _carry(a: Architecture) -> _Carried:
    """The fullest code for which the narrowest layer has channels.

    All pixels of the block in RGB; or its luma, in ever fewer means, beside the means of red and
    of blue where the network predicts colours; or nothing.
    """
    f = a.factor
    signed = activations[a.activation].odd
    room = min([a.width, *(stage.width for stage in a.stages)]) // (2 if signed else 1)
    if a.planes == 3 and room >= 3 * f * f:
        return _Carried(torch.eye(3 * f * f).reshape(-1, 3, f, f), signed)
    luma = torch.ones(1) if a.inputs == "luma" else torch.tensor(LUMA)
    means = 2 if a.planes == 3 else 0
    pixels = torch.eye(f * f).reshape(f * f, f, f)
    grid = max([g for g in range(1, f + 1) if g * g + means <= room], default=0)
    code = torch.zeros(grid * grid + means if grid else 0, len(luma), f, f)
    if grid:
        pooled = F.adaptive_avg_pool2d(pixels, grid).reshape(f * f, grid * grid).T
        code[: grid * grid] = pooled.reshape(grid * grid, 1, f, f) * luma[:, None, None]
        if means:
            code[-2, 0] = code[-1, 2] = 1 / f**2
    return _Carried(code, signed)


def _stem_rows(rows: Tensor, a: Architecture, code: Tensor) -> None:
    """Write the code into kernels (n, in, k, k) of the stem."""
    f, colours = a.factor, code.shape[1]
    if stems[a.stem].downscale:
        rows[:, : colours * f * f, 1, 1] = code.flatten(1)
    else:
        rows[:, :colours, 1 : 1 + f, 1 : 1 + f] = code


def _passing(layer: Layer, carried: _Carried, gain: float, start: int) -> Tensor:
    """A kernel that passes what is carried, read from channel ``start`` on and divided by gain."""
    kernel = _random(layer)
    centre = kernel.shape[-1] // 2
    n = len(carried.code)
    eye = torch.eye(n) / gain
    kernel[: n * (2 if carried.signed else 1)] = 0
    kernel[:n, start : start + n, centre, centre] = eye
    if carried.signed:
        kernel[:n, start + n : start + 2 * n, centre, centre] = -eye
        kernel[n : 2 * n] = -kernel[:n]
    return kernel


def _end(ends: list[Layer], a: Architecture, carried: _Carried, gain: float) -> None:
    """The tail, and the cascade's last convolution where there is one."""
    f, size = a.factor, a.tail.kernel
    colours = _predicted_colours(a)
    if not a.tail.cascade:
        taps = _upscaling(f, size, a.residual, colours)
        if a.residual != "none":
            taps = taps.permute(0, 2, 4, 1, 3, 5, 6, 7, 8, 9)  # two shuffles, by f and then by 4
        assign(ends[0], _reading(ends[0], taps.flatten(0, 4), carried, gain))
        return
    channels = min(a.planes, a.tail.cascade) if a.residual != "lr" else 0
    odd = activations[a.activation].odd
    signed = odd and a.tail.activation and a.tail.cascade >= 2 * channels > 0
    passing = torch.zeros(a.tail.cascade, f, f, colours.shape[1], f, f, size, size)
    for channel, y, x in product(range(channels), range(f), range(f)):
        passing[channel, y, x, :, y, x, size // 2, size // 2] = colours[channel]
    if signed:
        passing[channels : 2 * channels] = -passing[:channels]
    first = _reading(ends[0], passing.flatten(0, 2), carried, gain)
    if channels:
        # The last convolution ignores the other channels at first. Were they zero as well, neither
        # would ever move.
        spare = channels * (2 if signed else 1) * f * f
        first[spare:] = _random(ends[0])[spare:]
    assign(ends[0], first)
    last = torch.zeros(_shape(ends[1]))
    planes = a.planes
    if a.tail.cascade >= planes:
        upscaling = _upscaling(1, 3, a.residual, torch.eye(planes))
        last[:, :planes] = upscaling.flatten(0, 4).flatten(1, 3)
    if signed:
        last[:, planes : 2 * planes] = -last[:, :planes]
    assign(ends[1], last)


def _reading(layer: Layer, taps: Tensor, carried: _Carried, gain: float) -> Tensor:
    """Taps (out, colours, f, f, k, k) on the block's pixels as a kernel on what is carried."""
    kernel = torch.zeros(_shape(layer))
    n = len(carried.code)
    if n:
        read = torch.einsum("opyx,pn->onyx", taps.flatten(1, 3).double(), _decoder(carried.code))
        kernel[:, :n] = read.float() / gain
        if carried.signed:
            kernel[:, n : 2 * n] = -kernel[:, :n]
    return kernel


def _decoder(code: Tensor) -> Tensor:
    """The best linear guess (colours f^2, n) of a block's pixels from their code.

    For pictures whose rows, columns and colours are AR(1).
    """
    channels, f = code.shape[1], code.shape[-1]
    place = torch.arange(f, dtype=torch.float64)
    line = CORRELATION ** (place[:, None] - place).abs()
    colours = torch.full((channels, channels), CORRELATION, dtype=torch.float64)
    colours.fill_diagonal_(1)
    covariance = torch.kron(colours, torch.kron(line, line))
    seen = code.flatten(1).double() @ covariance
    return torch.linalg.solve(seen @ code.flatten(1).double().T, seen).T


def _predicted_colours(a: Architecture) -> Tensor:
    """The planes that a network predicts, as weights (planes, colours) of those that it sees."""
    if a.planes == 3:
        return torch.eye(3)
    return torch.ones(1, 1) if a.inputs == "luma" else torch.tensor([LUMA])


def _upscaling(f: int, size: int, residual: str, colours: Tensor) -> Tensor:
    """Taps of Lanczos minus the residual, in a space unshuffled by f, seen through k x k blocks.

    Args:
        f: Working factor.
        size: Side k of the kernel.
        residual: The network's own.
        colours: Weights (planes, colours) of the input's colours in each plane of the output.

    Returns:
        (planes, f, 4, f, 4, colours, f, f, k, k): output plane, LR row in the block and phase in
        the row, the same for columns, then input colour, row and column in the block, kernel row
        and column.
    """
    reach = size // 2

    def separable(kind: str) -> Tensor:
        rows = torch.stack(
            [_fitted(kind, [t - reach * f - row for t in range(f * size)]) for row in range(f)]
        ).reshape(f, SCALE, size, f)
        return torch.einsum("aukm,bvln->aubvmnkl", rows, rows)

    fixed = residual in interpolations
    if residual == "learned" or (
        fixed and interpolations[residual].taps >= 5
    ):  # as good as the baseline
        planes, seen = colours.shape
        return torch.zeros(planes, f, SCALE, f, SCALE, seen, f, f, size, size)
    taps = separable("lanczos")
    if fixed:
        taps = taps - separable(residual)
    return torch.einsum("pc,aubvmnkl->paubvcmnkl", colours, taps.float())


def _fitted(kind: str, offsets: list[int]) -> Tensor:
    """Taps (4, len(offsets)) at these LR pixels that come closest to a 4x interpolation.

    Closest in mean square over pictures whose rows are AR(1) with ``CORRELATION``.
    """
    kernel = interpolation_kernel(kind).double()
    side = kernel.shape[-1]
    true = kernel.reshape(SCALE, SCALE, side, side).sum(3)[:, 0]
    seen = torch.tensor(offsets, dtype=torch.float64)
    there = torch.arange(side, dtype=torch.float64) - side // 2
    among = CORRELATION ** (seen[:, None] - seen).abs()
    across = CORRELATION ** (seen[:, None] - there).abs()
    return torch.linalg.solve(among, across @ true.T).T


def _convolutions(part: nn.Module | None) -> list[Layer] | None:
    """The convolutions of a part in order; None when it holds anything else with weights."""
    if part is None:
        return []
    modules = list(part) if isinstance(part, nn.Sequential) else [part]
    layers: list[Layer] = []
    for module in modules:
        if isinstance(module, LinearBlock | nn.Conv2d) and _start_kernel(module) is not None:
            layers.append(module)
        elif not isinstance(module, nn.PReLU) and next(module.parameters(), None) is not None:
            return None
    return layers


def _start_kernel(layer: Layer) -> nn.Conv2d | Branch | None:
    return layer if isinstance(layer, nn.Conv2d) else layer.start_kernel()


def _folded(layer: Layer) -> Kernel:
    return Kernel(layer.weight, layer.bias) if isinstance(layer, nn.Conv2d) else layer.fold()


def _shape(layer: Layer) -> torch.Size:
    return _folded(layer).weight.shape


def _random(layer: Layer) -> Tensor:
    """He initialisation of the folded kernel."""
    shape = _shape(layer)
    return torch.randn(shape) * math.sqrt(2 / (shape[1] * shape[2] * shape[3]))


def assign(layer: Layer, kernel: Tensor, bias: Tensor | None = None) -> None:
    """Make this the (folded) kernel, and this or zero the (folded) bias where there is one."""
    held, now = _start_kernel(layer), _folded(layer)
    assert held is not None
    if isinstance(layer, nn.Conv2d):  # exactly, so that what was there before leaves no trace
        now = Kernel(layer.weight.zero_(), None if layer.bias is None else layer.bias.zero_())
    held.weight += kernel.to(now.weight) - now.weight
    if held.bias is not None and now.bias is not None:
        held.bias -= now.bias if bias is None else now.bias - bias.to(now.bias)
