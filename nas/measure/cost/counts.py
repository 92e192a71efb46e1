"""Costs of a network from its description, equal to the bit to those of the built network.

Building a network and tracing it takes some 30 ms, and a search counts thousands at a time. So each
part is traced once (`nas.measure.cost.parts`), and a network's own ``forward`` runs over the parts,
with maps that have a layout and no values. No rule of composition is written down here: the order
of layers, their names and the lifetimes of maps come from the code that runs the network too.

Where this does not work (a block of a plugin that keeps state, or shares weights with another one)
the network is built.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any, cast

import torch
from torch import nn
from torch.nn.utils import skip_init

from nas.measure.cost.cost import network_macs
from nas.measure.cost.memory import Precision, compute_memory
from nas.measure.cost.parts import (
    Map,
    MemoryPass,
    NotComposable,
    Part,
    Pass,
    PlacedPart,
    TracePass,
    weights,
)
from nas.measure.cost.trace import LayerCost, deploy_form, inference_form, trace
from search_spaces.architecture import SCALE, Architecture
from search_spaces.blocks import LinearBlock, blocks
from search_spaces.blocks.linear import padding_of
from search_spaces.networks.factory import deployed
from search_spaces.networks.inference import (
    PhaseResidual,
    Simplified,
    ending_of,
    merge_stem,
    works_in_place,
)
from search_spaces.networks.network import Network
from search_spaces.networks.parts import Parts, parts_of
from search_spaces.networks.residual import Residual

_KEPT = 2**14
_OWN = "search_spaces."
_LAST = 16  # passes: of one architecture, several things are asked in a row


@dataclass(frozen=True, slots=True)
class Counts:
    """What the deploy form of an architecture costs at one size."""

    params: int
    macs: int
    """Every convolution and matrix product, without bias and without fixed interpolation."""
    memory_mb: float
    """Peak of an eager pass of the form that runs, in units of 1e6 bytes."""
    layers: tuple[LayerCost, ...]
    """Of the plain deploy form, as `nas.measure.cost.trace.trace` has them."""


def count(
    architecture: Architecture,
    height: int = 540,
    width: int = 960,
    precision: Precision = "float16",
) -> Counts:
    """Count what a pass on (1, 3, height, width) costs; memory in ``precision``.

    Raises:
        InputError: the network cannot be built, or cannot run.
    """
    try:
        trace_pass = _plain_trace(architecture, height, width)
        memory = _memory(architecture, height, width, getattr(torch, precision))
        params = sum(part.params for part in _listed(_parts(architecture)))
    except Exception:  # whatever it is: the built network works, or says what is wrong
        return _count_built(architecture, height, width, precision)
    return Counts(params, trace_pass.macs, memory / 1e6, tuple(trace_pass.layers))


def _count_built(
    architecture: Architecture, height: int, width: int, precision: Precision
) -> Counts:
    network = deploy_form(architecture)
    layers = trace(network, height, width)
    params = sum(parameter.numel() for parameter in network.parameters())
    memory = compute_memory(network, height, width, precision)
    return Counts(params, network_macs(network, layers), memory.mb, layers)


def layers_as_run(
    architecture: Architecture, mode: str, height: int = 540, width: int = 960
) -> tuple[LayerCost, ...]:
    """Return the traced layers of the form that is timed in a mode, see `inference_form`.

    Raises:
        InputError: the network cannot be built, or cannot run.
    """
    try:
        if mode == "challenge":
            return tuple(_plain_trace(architecture, height, width).layers)
        run = TracePass("Simplified", height, width)
        _follow(run, _SimplePass(*_simplified(architecture)))
    except Exception:  # as above
        return trace(inference_form(architecture, mode), height, width)
    return tuple(run.layers)


@lru_cache(_LAST)
def _plain_trace(architecture: Architecture, height: int, width: int) -> TracePass:
    run = TracePass("Network", height, width)
    _follow(run, _PlainPass(architecture, _parts(architecture)))
    return run


@lru_cache(_LAST)
def _memory(architecture: Architecture, height: int, width: int, dtype: torch.dtype) -> int:
    """Return most bytes that a pass of the simplified form holds at once."""
    network = _SimplePass(*_simplified(architecture))
    run = MemoryPass(height, width, dtype)
    _follow(run, network)
    return run.peak + sum(part.bytes(dtype) for part in network.used)


def _follow(run: Pass, network: Network | Simplified) -> None:
    """Run a network's own code on a map."""
    output = cast(Map, network.forward(cast(torch.Tensor, run.picture)))
    height, width = run.picture.shape[-2:]
    if output.shape != (1, 3, SCALE * height, SCALE * width):
        raise NotComposable("an output of another size")


class _PlainPass(Network):
    """The code of `Network` over parts."""

    def __init__(self, architecture: Architecture, parts: Parts[Part], path: str = "") -> None:
        # Not registered as modules, which they are not.
        self.__dict__ |= {
            "architecture": architecture,
            "stem": _Row(parts.stem, f"{path}stem"),
            "body": _Row(parts.body, f"{path}body"),
            "neck": _place(parts.neck, f"{path}neck"),
            "tail": _place(parts.tail, f"{path}tail"),
            "lift": None if parts.lift is None else _Row(parts.lift, f"{path}lift"),
            "residual": _place(parts.residual, f"{path}residual"),
        }


class _SimplePass(Simplified):
    """The code of `Simplified` over parts."""

    def __init__(
        self, architecture: Architecture, parts: Parts[Part], phase_residual: Part | None
    ) -> None:
        base = None
        if phase_residual is not None:
            base = parts.residual if architecture.planes == 1 else None
            parts = replace(parts, residual=None)
        self.__dict__ |= {
            "network": _PlainPass(architecture, parts, "network."),
            "residual": _place(phase_residual, "residual"),
            "base": _place(base, "base"),
            "colours_last": False,
        }
        self.used = [*_listed(parts), *(part for part in (phase_residual, base) if part)]


class _Row:
    """Stands for an `nn.Sequential` of parts."""

    def __init__(self, parts: Sequence[Part], path: str) -> None:
        self._parts = [PlacedPart(part, f"{path}.{place}") for place, part in enumerate(parts)]

    def __call__(self, x: Map) -> Map:
        """Run one after the other; ``x`` is alive to the end, as in a module's call."""
        y = x
        for part in self._parts:
            y = part(y)
        return y


def _place(part: Part | None, path: str) -> PlacedPart | None:
    return None if part is None else PlacedPart(part, path)


def _listed(parts: Parts[Part]) -> list[Part]:
    single = (parts.neck, parts.tail, parts.residual)
    return [*parts.stem, *parts.body, *(parts.lift or ()), *(part for part in single if part)]


@lru_cache(_LAST)
def _parts(architecture: Architecture) -> Parts[Part]:
    return parts_of(architecture, _PartBuilder())


@lru_cache(_LAST)
def _simplified(architecture: Architecture) -> tuple[Architecture, Parts[Part], Part | None]:
    """Return the parts as `Simplified` changes them, and its residual if it has one."""
    parts = _parts(architecture)
    tail = parts.tail.clipped
    lift = None if parts.lift is None else [part.clipped for part in parts.lift]
    simple = replace(
        parts,
        stem=_in_place(_merged(tuple(parts.stem))),
        body=_in_place(parts.body),
        neck=None if parts.neck is None else parts.neck.clipped,
        tail=tail,
        lift=lift,
    )
    last = tail if lift is None else lift[-1]
    if parts.residual is None or ending_of(last.module) is None:
        return architecture, simple, None
    step = architecture.factor if lift is None else 1
    return architecture, simple, _phase_residual(architecture.residual, step)


class _PartBuilder:
    """Makes each part once."""

    def module(self, make: Callable[..., nn.Module], *arguments: Any) -> Part:
        return _module_part(make, arguments)

    def block(self, name: str, in_channels: int, out_channels: int, **options: Any) -> Part:
        return _block_part(blocks[name], in_channels, out_channels, tuple(options.items()))

    end = block

    def is_linear(self, part: Part) -> bool:
        return part.linear


@lru_cache(_KEPT)
def _module_part(make: Callable[..., nn.Module], arguments: tuple[Any, ...]) -> Part:
    return Part(_made(make, arguments, {}))


def _made(
    make: Callable[..., nn.Module], arguments: tuple[Any, ...], options: dict[str, Any]
) -> nn.Module:
    """Make a module, and refuse it if two of a plugin's factory share weights."""
    with torch.random.fork_rng(devices=[]):
        module = make(*arguments, **options)
        if not _is_own(make):
            other = make(*arguments, **options)
            if {*map(id, weights(module))} & {*map(id, weights(other))}:
                raise NotComposable("modules that share weights")
    return module


@lru_cache(_KEPT)
def _block_part(
    factory: Callable[..., nn.Module],
    in_channels: int,
    out_channels: int,
    options: tuple[tuple[str, Any], ...],
) -> Part:
    kind = factory.func if isinstance(factory, partial) else factory
    if _is_own(factory) and isinstance(kind, type) and issubclass(kind, LinearBlock):
        return _folded(kind, in_channels, out_channels, **dict(options))
    block = _made(factory, (in_channels, out_channels), dict(options))
    with torch.random.fork_rng(devices=[]):
        module = deployed(block.eval())
    return _convolution(module, linear=True) if isinstance(block, LinearBlock) else Part(module)


def _is_own(factory: Callable[..., nn.Module]) -> bool:
    """Whether a block is of the workbench, whose tests hold what is taken for granted of it."""
    made_of: tuple[Any, ...] = (factory,)
    if isinstance(factory, partial):
        made_of = (factory.func, *factory.args, *factory.keywords.values())
    return all(getattr(item, "__module__", "").startswith(_OWN) for item in made_of)


def _folded(
    kind: type[LinearBlock],
    in_channels: int,
    out_channels: int,
    *,
    kernel_size: int = 3,
    stride: int = 1,
    bias: bool = True,
) -> Part:
    """Return what a linear block of the workbench deploys as, without the block."""
    kind.check(in_channels, out_channels, kernel_size)
    padding = padding_of(kernel_size)
    return _plain_convolution(in_channels, out_channels, kernel_size, stride, padding, bias)


@lru_cache(_KEPT)
def _plain_convolution(
    in_channels: int, out_channels: int, size: int, stride: int, padding: int, bias: bool
) -> Part:
    module = skip_init(
        nn.Conv2d, in_channels, out_channels, size, stride, padding, bias=bias, device="meta"
    )
    return _convolution(module, linear=True)


_convolutions: dict[Hashable, Part] = {}


def _convolution(module: nn.Module, *, linear: bool = False) -> Part:
    """Return the part of a plain convolution; blocks of many names deploy as the same one."""
    if type(module) is not nn.Conv2d:
        return Part(module, linear=linear)
    tensors = tuple((tuple(weight.shape), weight.stride()) for weight in weights(module))
    key = (linear, tensors, module.stride, module.padding, module.dilation, module.groups)
    if key not in _convolutions:
        _convolutions[key] = Part(module, linear=linear)
    return _convolutions[key]


@lru_cache(_KEPT)
def _merged(stem: tuple[Part, ...]) -> tuple[Part, ...]:
    modules = nn.Sequential(*(copy.deepcopy(part.module) for part in stem))
    unmerged = list(modules)
    with torch.random.fork_rng(devices=[]):
        merge_stem(modules)
    return tuple(
        part if now is before and not isinstance(now, nn.Conv2d) else _convolution(now)
        for part, before, now in zip(stem, unmerged, modules, strict=True)
    )


def _in_place(row: Sequence[Part]) -> list[Part]:
    return [_after(before, part) for before, part in zip((None, *row), row, strict=False)]


@lru_cache(_KEPT)
def _after(before: Part | None, part: Part) -> Part:
    if before is None or not works_in_place(before.module, part.module):
        return part
    return _working_in_place(part)


@lru_cache(_KEPT)
def _working_in_place(part: Part) -> Part:
    module = copy.deepcopy(part.module)
    module.inplace = True  # type: ignore[assignment]
    return Part(module)


@lru_cache(_KEPT)
def _phase_residual(kind: str, step: int) -> Part:
    return Part(PhaseResidual(Residual(kind), step))
