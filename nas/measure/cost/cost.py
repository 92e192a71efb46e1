"""What a network costs: parameters, multiply-accumulates by four counters, activations.

Counters differ in what they see, and a published figure is worth nothing without its counter. The
trace (`nas.measure.cost.trace`) sees everything; fvcore and thop are run beside it as the tools
that others quote; the challenge's own counter is reproduced. Table 1 of the survey was made with
the last one. Multiply-accumulates are never doubled into operations.

A fixed global residual is an interpolation of the input and no layer of the network. It is run as
a depthwise convolution here, but published figures leave interpolation out, so ``macs`` does too,
and a network costs the same whoever interpolates. Runtimes and bytes do include it.
"""

from __future__ import annotations

import contextlib
import copy
import io
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from nas.measure.cost.trace import LayerCost, to_module, trace
from search_spaces.architecture import Architecture
from search_spaces.networks.parts import LumaInput
from search_spaces.networks.residual import Residual

_PROBE = 48
"""fvcore runs the network for real, so it does on 48x48 pixels: a multiple of every working
factor and of the usual pooling steps."""

_ORGANISER_ONE = frozenset({"ReLU", "PReLU", "ELU", "LeakyReLU", "ReLU6"})
_ORGANISER_CONVS = frozenset({"Conv2d", "ConvTranspose2d"})
_THOP_CONVS = frozenset({"Conv1d", "Conv2d", "Conv3d", "ConvTranspose2d", "Linear"})


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one forward pass on a picture of ``height`` x ``width`` pixels."""

    params: int
    macs: int
    """Every convolution and matrix product, without bias and without fixed interpolation."""
    macs_organiser: int
    """As the challenge's counter has it: convolution modules, one for each output of a ReLU-type
    module, two for each of a batch normalisation; functions are invisible to it."""
    activations: int
    """Output elements of all convolutions and matrix products."""
    macs_fvcore: int
    macs_thop: int
    agree: bool
    """Whether fvcore and thop count what the trace counts, but for the differences in ``notes``."""
    notes: tuple[str, ...]
    """Every difference between the counters, one sentence each."""
    height: int
    width: int


def cost(network: nn.Module | Architecture, height: int = 540, width: int = 960) -> Cost:
    """Return the cost of an architecture's deploy form, or of a module in the form it has.

    Takes about 0.1 s at any size: the network runs without values at full size, and for real on
    48x48 pixels only, from where fvcore's count is carried over by the trace's ratio.
    """
    module = to_module(network)
    layers = trace(module, height, width)
    fvcore, fvcore_notes = _fvcore(module, layers)
    thop, thop_notes = _thop(module, layers, height, width)
    notes = [*fvcore_notes, *thop_notes]
    return Cost(
        params=sum(parameter.numel() for parameter in module.parameters()),
        macs=network_macs(module, layers),
        macs_organiser=organiser_macs(layers),
        activations=sum(layer.elements for layer in layers if layer.kind in ("conv", "matmul")),
        macs_fvcore=fvcore,
        macs_thop=thop,
        agree=not any(note.startswith("disagreement") for note in notes),
        notes=tuple(notes),
        height=height,
        width=width,
    )


def network_macs(network: nn.Module, layers: Iterable[LayerCost]) -> int:
    """Return multiply-accumulates of the traced convolutions and matrix products of ``network``."""
    fixed = interpolations(network)
    return sum(layer.macs for layer in layers if layer.name not in fixed)


def organiser_macs(layers: Iterable[LayerCost]) -> int:
    """Return multiply-accumulates as the challenge's counter hooks them (ptflops-style)."""
    total = 0
    for layer in layers:
        if layer.kind == "conv" and layer.module in _ORGANISER_CONVS:
            total += layer.macs
        elif layer.kind == "activation" and layer.module in _ORGANISER_ONE:
            total += layer.elements
        elif layer.kind == "norm" and layer.module == "BatchNorm2d":
            total += 2 * layer.elements
    return total


def interpolations(network: nn.Module) -> frozenset[str]:
    """Return the names of modules with fixed taps: interpolations, and the reduction to luma."""
    return frozenset(
        name
        for name, module in network.named_modules()
        if isinstance(module, LumaInput)
        or (isinstance(module, Residual) and module.kind != "learned")
    )


def _sum_macs(layers: Iterable[LayerCost]) -> int:
    return sum(layer.macs for layer in layers)


def _giga(count: float) -> str:
    return f"{count / 1e9:.4g} G"


def _fvcore(module: nn.Module, layers: Sequence[LayerCost]) -> tuple[int, list[str]]:
    """Count with fvcore at the size of ``layers``, and say how it differs."""
    from fvcore.nn import FlopCountAnalysis

    probe = copy.deepcopy(module).float().cpu().eval()
    small = trace(probe, _PROBE, _PROBE)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        analysis = FlopCountAnalysis(probe, torch.zeros(1, 3, _PROBE, _PROBE))
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        analysis.tracer_warnings("none")
        operators = dict(analysis.by_operator())
    counted = sum(operators.pop(name, 0) for name in ("conv", "linear", "matmul", "addmm", "bmm"))
    expected, macs = _sum_macs(small), _sum_macs(layers)
    notes = []
    if counted != expected:
        notes.append(
            f"disagreement: on {_PROBE}x{_PROBE} pixels fvcore counts {_giga(counted)} of "
            f"convolutions and the trace {_giga(expected)}"
        )
    if interpolated := macs - network_macs(module, layers):
        notes.append(f"fvcore charges {_giga(interpolated)} for interpolation by convolution")
    total = round(counted * macs / expected) if expected else 0
    area = max(layer.elements for layer in layers) / max(layer.elements for layer in small)
    for operator, charge in operators.items():
        if charge:
            total += round(charge * area)
            notes.append(f"fvcore charges {_giga(charge * area)} for {operator}")
    return total, notes


def _thop(
    module: nn.Module, layers: Sequence[LayerCost], height: int, width: int
) -> tuple[int, list[str]]:
    """Count with thop, and say how it differs."""
    twin = copy.deepcopy(module).to("meta").eval()  # a copy, because thop leaves buffers behind
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import thop

        picture = torch.empty(1, 3, height, width, device="meta")
        counted = round(thop.profile(twin, inputs=(picture,), verbose=False)[0])
    notes = []
    unseen = sum(layer.macs for layer in layers if layer.module not in _THOP_CONVS)
    if unseen:
        notes.append(f"thop misses {_giga(unseen)} of convolutions called as functions")
    charged = {
        "PReLU": sum(layer.elements for layer in layers if layer.operator == "_prelu_kernel"),
        "AdaptiveAvgPool2d": sum(
            layer.elements_in + layer.elements
            for layer in layers
            if layer.module == "AdaptiveAvgPool2d" and layer.kind in ("pool", "reduce")
        ),
    }
    notes += [
        f"thop charges {_giga(charge)} for {name}" for name, charge in charged.items() if charge
    ]
    expected = _sum_macs(layers) - unseen + sum(charged.values())
    if counted != expected:
        notes.append(
            f"disagreement: thop counts {_giga(counted)} and the trace, seen with its rules, "
            f"{_giga(expected)}"
        )
    return counted, notes
