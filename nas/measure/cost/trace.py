"""What a forward pass does, layer by layer: arithmetic, memory traffic, kernel launches.

The pass runs on the meta device, where tensors have shapes and no values, so it costs
milliseconds at any size. A dispatch mode sees every operator that PyTorch executes, those called
through ``torch.nn.functional`` too, which hooks on modules miss.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from nas.common.errors import InputError
from search_spaces.architecture import SCALE, Architecture

if TYPE_CHECKING:
    from search_spaces.networks.network import Network

BYTES = 2
"""Bytes of one element: everything is costed at FP16, the precision of the challenge."""

_KINDS = {
    "conv": ("convolution",),
    "matmul": ("mm", "addmm", "bmm", "baddbmm"),
    "activation": (
        *("relu", "gelu", "silu", "leaky_relu", "_prelu_kernel", "elu", "hardtanh", "hardswish"),
        *("hardsigmoid", "sigmoid", "tanh", "softplus", "mish", "clamp", "clamp_min", "clamp_max"),
    ),
    "elementwise": (
        *("add", "sub", "rsub", "mul", "div", "neg", "abs", "sqrt", "rsqrt", "pow", "exp", "log"),
        *("square", "maximum", "minimum", "where", "addcmul", "lerp", "round", "reciprocal"),
    ),
    "shuffle": ("pixel_shuffle", "pixel_unshuffle", "channel_shuffle"),
    "interpolate": (
        *("upsample_nearest2d", "_upsample_nearest_exact2d", "upsample_bilinear2d"),
        *("_upsample_bilinear2d_aa", "upsample_bicubic2d", "_upsample_bicubic2d_aa"),
    ),
    "pool": (
        *("max_pool2d_with_indices", "avg_pool2d", "adaptive_max_pool2d", "adaptive_avg_pool2d"),
        "_adaptive_avg_pool2d",
    ),
    "reduce": ("mean", "sum", "amax", "amin", "max", "min", "var", "std", "var_mean", "_softmax"),
    "norm": ("native_layer_norm", "native_group_norm", "native_batch_norm"),
    "pad": ("constant_pad_nd", "reflection_pad2d", "replication_pad2d"),
    "copy": ("cat", "clone", "copy", "_to_copy", "stack", "repeat", "index", "index_select"),
}
KIND_OF = {operator: kind for kind, operators in _KINDS.items() for operator in operators}
"""PyTorch's operator (without namespace or in-place underscore) -> kind of layer."""

_FREE = frozenset({"_unsafe_view", "empty", "empty_like", "empty_strided", "new_empty"})


@dataclass(frozen=True, slots=True)
class LayerCost:
    """One executed operator. Bytes are at FP16 and count each distinct element once."""

    kind: str
    """A kind of `KIND_OF`, ``bias``, or ``other`` for an operator that is not listed there."""
    name: str
    """Path of the innermost module that ran it, such as ``body.0``; empty for the network."""
    operator: str
    module: str
    """Class of that module, such as ``Conv2d``."""
    macs: int
    """Multiply-accumulates of convolutions and matrix products, without bias; else 0."""
    bytes_read: int
    """Activations and weights."""
    bytes_written: int
    kernels: int
    """Kernel launches in eager PyTorch on CUDA."""
    elements_in: int
    """Elements of the largest operand."""
    elements: int
    """Elements of the output."""
    channels_in: int
    channels: int
    height_in: int
    """Rows of the largest operand's map (1 for anything that is no map)."""
    height: int
    """Rows of the output's map."""
    width: int
    kernel_size: int = 1
    """Rows of a convolution's kernel."""
    groups: int = 1

    @property
    def bytes(self) -> int:
        """Bytes read and written."""
        return self.bytes_read + self.bytes_written


def trace(
    network: nn.Module | Architecture, height: int = 540, width: int = 960
) -> tuple[LayerCost, ...]:
    """Return the costs of one forward pass on (1, 3, height, width), in order of execution.

    ``network`` is costed in the form it has: pass a deploy form, or an `Architecture`, whose
    deploy form is built. Views are free and left out. A convolution's bias is a layer of its own,
    because eager PyTorch adds it in a second pass over cuDNN's output.

    Raises:
        InputError: a network cannot run, or gives another size than 4 times its input's: a block
            that somebody wrote is at fault.
    """
    from search_spaces.networks.network import Network

    twin = copy.deepcopy(to_module(network)).to("meta", torch.float32).eval()
    recorder = Recorder()
    with torch.no_grad(), module_stack(twin, recorder), recorder:
        try:
            output = twin(torch.empty(1, 3, height, width, device="meta"))
        except Exception as fault:
            if not isinstance(twin, Network):
                raise
            place, kind = recorder.stack[-1]
            told = " ".join(f"{type(fault).__name__}: {fault}".split())[:300]
            raise InputError(f"the network cannot run, {kind} at {place} fails: {told}") from fault
    if isinstance(twin, Network):
        _require_size(output, height, width)
    return tuple(recorder.layers)


def _require_size(output: torch.Tensor, height: int, width: int) -> None:
    wanted = (1, 3, SCALE * height, SCALE * width)
    if tuple(output.shape) != wanted:
        raise InputError(
            f"the network makes {tuple(output.shape)} of a picture of {height}x{width} and not "
            f"{wanted}: each of its blocks must keep height and width"
        )


def deploy_form(architecture: Architecture) -> Network:
    """Build the deploy form of an architecture, freshly initialised.

    That takes longer than most of what is asked of a network: whoever asks several things of an
    architecture builds it once.
    """
    from search_spaces.networks.factory import build, fuse

    return fuse(build(architecture, seed=0))


def to_module(network: nn.Module | Architecture) -> nn.Module:
    """Return ``network``, or the deploy form of an architecture."""
    return network if isinstance(network, nn.Module) else deploy_form(network)


def inference_form(network: nn.Module | Architecture, mode: str) -> nn.Module:
    """Return what takes the time: the form that exported files and `nas upscale` run.

    That is the deploy form in its fewest passes over memory (`search_spaces.networks.inference`).
    In ``challenge`` mode, whose figures stand beside the survey's, it is the plain deploy form,
    which the teams' networks were timed in. A module that is no `Network` runs as it is.
    """
    from search_spaces.networks.inference import simplified
    from search_spaces.networks.network import Network

    module = to_module(network)
    return simplified(module) if isinstance(module, Network) and mode != "challenge" else module


@contextmanager
def module_stack(network: nn.Module, recorder: Recorder) -> Iterator[None]:
    """Tell ``recorder`` which module runs."""

    def leave(module: nn.Module, inputs: Any, output: Any) -> None:
        recorder.stack.pop()

    handles = []
    for name, module in network.named_modules():
        entry = (name, type(module).__name__)
        handles.append(
            module.register_forward_pre_hook(
                lambda module, inputs, entry=entry: recorder.stack.append(entry)
            )
        )
        handles.append(module.register_forward_hook(leave))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class Recorder(TorchDispatchMode):
    """Executes operators and writes down what each of them costs."""

    def __init__(self) -> None:
        super().__init__()
        self.layers: list[LayerCost] = []
        self.stack: list[tuple[str, str]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__.rstrip("_")
        if name in _FREE or _is_view(func):
            return output
        outputs = [o for o in _tensors(output) if o.dim()]
        inputs = [i for i in _tensors((args, kwargs)) if i.dim()]
        if outputs and inputs:
            self._record(name, args, inputs, outputs)
        return output

    def _record(
        self,
        operator: str,
        args: tuple[Any, ...],
        inputs: list[torch.Tensor],
        outputs: list[torch.Tensor],
    ) -> None:
        kind = KIND_OF.get(operator, "other")
        path, module = self.stack[-1] if self.stack else ("", "")
        main = max(inputs, key=torch.Tensor.numel)
        bias: list[torch.Tensor] = []
        if kind == "conv":
            main, bias, inputs = inputs[0], inputs[2:], inputs[:2]
        out = outputs[0]
        self.layers.append(
            LayerCost(
                kind=kind,
                name=path,
                operator=operator,
                module=module,
                macs=_macs(operator, inputs, out, args),
                bytes_read=BYTES * sum(_distinct(tensor) for tensor in inputs),
                bytes_written=BYTES * sum(tensor.numel() for tensor in outputs),
                kernels=2 if operator == "constant_pad_nd" else 1,
                elements_in=main.numel(),
                elements=out.numel(),
                channels_in=_channels(main),
                channels=_channels(out),
                height_in=_rows(main),
                height=_rows(out),
                width=out.shape[-1] if out.dim() >= 4 else 1,
                kernel_size=inputs[1].shape[2] if kind == "conv" else 1,
                groups=args[8] if kind == "conv" else 1,
            )
        )
        if bias and args[8] < main.shape[1]:  # depthwise kernels add it themselves
            self.layers.append(_bias_pass(self.layers[-1]))


def _bias_pass(conv: LayerCost) -> LayerCost:
    size = BYTES * conv.elements
    return replace(
        conv,
        kind="bias",
        operator="add",
        macs=0,
        bytes_read=size + BYTES * conv.channels,
        bytes_written=size,
        elements_in=conv.elements,
        channels_in=conv.channels,
        height_in=conv.height,
        kernel_size=1,
        groups=1,
    )


def _is_view(func: Any) -> bool:
    returns = func._schema.returns
    return any(r.alias_info is not None and not r.alias_info.is_write for r in returns)


def _tensors(value: Any) -> list[torch.Tensor]:
    """All tensors in nested lists, tuples and dictionaries."""
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list | tuple):
        return []
    return [tensor for item in value for tensor in _tensors(item)]


def _distinct(tensor: torch.Tensor) -> int:
    """Elements in memory: what an expanded tensor repeats counts once."""
    return math.prod(n for n, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride)


def _channels(tensor: torch.Tensor) -> int:
    return tensor.shape[1] if tensor.dim() > 1 else tensor.shape[0]


def _rows(tensor: torch.Tensor) -> int:
    return tensor.shape[-2] if tensor.dim() >= 4 else 1


def _macs(
    operator: str, inputs: list[torch.Tensor], out: torch.Tensor, args: tuple[Any, ...]
) -> int:
    if operator == "convolution":
        source, weight = inputs
        positions = source if args[6] else out  # a transposed convolution scatters its input
        return positions.shape[0] * math.prod(positions.shape[2:]) * weight.numel()
    if KIND_OF.get(operator) == "matmul":
        left = inputs[-2]
        return out.numel() * left.shape[-1]
    return 0
