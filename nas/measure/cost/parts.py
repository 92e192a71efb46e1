"""What each part of a network executes and allocates, found out once in a process.

A part is one module: a block, an activation, a residual. What it does depends on the layout of the
map it is given and on nothing else, so it is kept by that. A `Map` stands for a tensor in the code
of a forward pass: it has a layout and no values, and every operation on it looks up what the same
operation did on the meta device.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import nn

from nas.measure.cost.cost import interpolations
from nas.measure.cost.memory import Living
from nas.measure.cost.trace import LayerCost, Recorder, module_stack
from search_spaces.networks.inference import plain_clip

_KEPT = (
    2**16
)  # a step's layers are a few kilobytes; a pool of thousands has some ten thousand steps


class NotComposable(Exception):
    """What a part does is more than a function of the layout of its input."""


class Layout(NamedTuple):
    """All of a tensor but its values."""

    size: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype

    @classmethod
    def of(cls, tensor: torch.Tensor) -> Layout:
        """Return the layout of a tensor."""
        return cls(tuple(tensor.shape), tensor.stride(), tensor.dtype)

    def empty(self) -> torch.Tensor:
        """Return a tensor of this layout on the meta device."""
        return torch.empty_strided(self.size, self.stride, dtype=self.dtype, device="meta")


class Part:
    """A module in deploy form, on the meta device.

    Args:
        module: The module with values, which the part takes over.
        linear: Whether it is what a `LinearBlock` deploys as.
    """

    def __init__(self, module: nn.Module, *, linear: bool = False) -> None:
        self.linear = linear
        clipped = plain_clip(module)
        self.clipped = self if clipped is module else Part(clipped)
        """The part as the simplified form has it, where it ends the network."""
        self.module = module.to("meta", torch.float32).eval().requires_grad_(False)
        self.params = sum(parameter.numel() for parameter in module.parameters())
        self.fixed = interpolations(self.module)
        self.call = PartCall(self, "__call__")
        self._typed = {torch.float32: self.module}
        self._bytes: dict[torch.dtype, int] = {}

    def typed(self, dtype: torch.dtype) -> nn.Module:
        """Return the module with weights of this type."""
        if dtype not in self._typed:
            self._typed[dtype] = copy.deepcopy(self.module).to(dtype)
        return self._typed[dtype]

    def bytes(self, dtype: torch.dtype) -> int:
        """Return the size of its parameters and buffers."""
        if dtype not in self._bytes:
            living = Living()
            for weight in weights(self.typed(dtype)):
                living.add(weight)
            self._bytes[dtype] = living.bytes
        return self._bytes[dtype]


class PartCall(NamedTuple):
    """A step of a pass: a method of a part's module is called."""

    part: Part
    method: str

    def module(self, dtype: torch.dtype) -> nn.Module:
        """Return what runs."""
        return self.part.typed(dtype)

    def run(self, module: nn.Module, tensors: list[torch.Tensor]) -> Any:
        """Take the step."""
        return getattr(module, self.method)(*tensors)

    def is_fixed(self, layer: LayerCost) -> bool:
        """Whether a layer is interpolation with fixed taps."""
        return bool(layer.module) and layer.name in self.part.fixed


class Operation(NamedTuple):
    """A step of a pass: what the network itself does between its parts."""

    function: Callable[..., Any]
    args: Any
    """Frozen, see `_frozen`."""
    kwargs: Any

    def module(self, dtype: torch.dtype) -> nn.Module:
        """Return what runs."""
        return nn.Module()

    def run(self, module: nn.Module, tensors: list[torch.Tensor]) -> Any:
        """Take the step."""
        options = {name: _thawed(value, tensors) for name, value in self.kwargs}
        return self.function(*_thawed(self.args, tensors), **options)

    def is_fixed(self, layer: LayerCost) -> bool:
        """Whether a layer is interpolation with fixed taps."""
        return False


class Pass(ABC):
    """Follows a network's own code through one forward pass on a picture."""

    def __init__(self, height: int, width: int, dtype: torch.dtype) -> None:
        stride = (3 * height * width, height * width, width, 1)
        layout = Layout((1, 3, height, width), stride, dtype)
        self.picture = Map(self, layout, self._new(3 * height * width * dtype.itemsize))

    @abstractmethod
    def take(self, step: PartCall | Operation, path: str, inputs: Sequence[Map]) -> Map:
        """Take a step, of the module at a path, and return its output."""

    def _new(self, size: int) -> object:
        """Return a new storage."""
        return None


class TracePass(Pass):
    """Collects what `nas.measure.cost.trace.trace` records."""

    def __init__(self, network: str, height: int, width: int) -> None:
        super().__init__(height, width, torch.float32)
        self.network = network
        """Class of the module whose pass this is."""
        self.layers: list[LayerCost] = []
        self.macs = 0
        """Without fixed interpolation."""

    def take(self, step: PartCall | Operation, path: str, inputs: Sequence[Map]) -> Map:
        """Add its layers."""
        traced = _placed(step, tuple([x.layout for x in inputs]), path, self.network)
        self.layers += traced.layers
        self.macs += traced.macs
        return Map(self, traced.output, None)


class MemoryPass(Pass):
    """Adds up the maps that are alive, as `nas.measure.cost.memory.compute_memory` does."""

    def __init__(self, height: int, width: int, dtype: torch.dtype) -> None:
        self.bytes = 0
        self.peak = 0
        super().__init__(height, width, dtype)

    def take(self, step: PartCall | Operation, path: str, inputs: Sequence[Map]) -> Map:
        """Add what it allocates."""
        allocated = _allocated(step, tuple([x.layout for x in inputs]))
        self.peak = max(self.peak, self.bytes + allocated.peak)
        shares = allocated.shares
        storage = self._new(allocated.bytes) if shares is None else inputs[shares].storage
        return Map(self, allocated.output, storage)

    def _new(self, size: int) -> object:
        return _Storage(self, size)


class _Storage:
    """Memory of a map and its views; it is free when the last of them is gone."""

    __slots__ = ("bytes", "run")

    def __init__(self, run: MemoryPass, size: int) -> None:
        self.run, self.bytes = run, size
        run.bytes += size

    def __del__(self) -> None:
        self.run.bytes -= self.bytes


class Map:
    """Stands for a tensor while a network's own code runs."""

    __slots__ = ("layout", "run", "storage")

    def __init__(self, run: Pass, layout: Layout, storage: object) -> None:
        self.run, self.layout, self.storage = run, layout, storage

    @property
    def shape(self) -> tuple[int, ...]:
        """As that of a tensor."""
        return self.layout.size

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Map:
        maps: list[Map] = []
        options = tuple(kwargs.items()) if kwargs else ()
        step = Operation(func, _frozen(args, maps), _frozen(options, maps))
        return maps[0].run.take(step, "", maps)

    def __add__(self, other: Any) -> Map:
        return self.__torch_function__(torch.Tensor.__add__, (), (self, other))

    def __getitem__(self, index: Any) -> Map:
        return self.__torch_function__(torch.Tensor.__getitem__, (), (self, index))

    def __getattr__(self, name: str) -> Callable[..., Map]:
        method = getattr(torch.Tensor, name)
        if not callable(method):
            raise NotComposable(f"a pass that asks for {name} of a tensor")
        return lambda *args, **kwargs: self.__torch_function__(method, (), (self, *args), kwargs)


class PlacedPart:
    """A part at its path in a network, to be called as the module that it stands for."""

    __slots__ = ("part", "path")

    def __init__(self, part: Part, path: str) -> None:
        self.part, self.path = part, path

    def __call__(self, x: Map) -> Map:
        """Run it."""
        return x.run.take(self.part.call, self.path, (x,))

    def image(self, x: Map) -> Map:
        """As that of `search_spaces.networks.residual.Residual`."""
        return x.run.take(PartCall(self.part, "image"), self.path, (x,))


def weights(module: nn.Module) -> list[torch.Tensor]:
    """Return parameters and buffers."""
    return [*module.parameters(), *module.buffers()]


@dataclass(frozen=True, slots=True)
class _Input:
    """Where a map stands among the inputs of an operation."""

    index: int


@dataclass(frozen=True, slots=True)
class _Slice:
    """A slice, which has a hash from Python 3.12 on only."""

    start: int | None
    stop: int | None
    step: int | None


def _frozen(value: Any, maps: list[Map]) -> Any:
    """Return arguments as something that can be looked up, and collect the maps among them."""
    if isinstance(value, Map):
        maps.append(value)
        return _Input(len(maps) - 1)
    if isinstance(value, slice):
        return _Slice(value.start, value.stop, value.step)
    if isinstance(value, tuple | list):
        return tuple([_frozen(item, maps) for item in value])
    return value


def _thawed(value: Any, tensors: Sequence[torch.Tensor]) -> Any:
    if isinstance(value, _Input):
        return tensors[value.index]
    if isinstance(value, _Slice):
        return slice(value.start, value.stop, value.step)
    if isinstance(value, tuple):
        return tuple(_thawed(item, tensors) for item in value)
    return value


@dataclass(frozen=True, slots=True)
class _Traced:
    """What a step executes."""

    output: Layout
    layers: tuple[LayerCost, ...]
    macs: int


@dataclass(frozen=True, slots=True)
class _Allocated:
    """What a step allocates."""

    output: Layout
    peak: int
    """Most bytes at once, the output's included."""
    bytes: int
    """Size of the output's storage; 0 if that was there before."""
    shares: int | None
    """Which of the inputs the output lies in the storage of."""


@lru_cache(_KEPT)
def _placed(
    step: PartCall | Operation, layouts: tuple[Layout, ...], path: str, network: str
) -> _Traced:
    """Return what a step executes, with the names that its layers have at a path of a network."""

    def renamed(layer: LayerCost) -> LayerCost:
        if not layer.module:  # the network's own method ran it, not a module's
            return replace(layer, module=network)
        return replace(layer, name=".".join(filter(None, (path, layer.name))))

    traced = _traced(step, layouts)
    return replace(traced, layers=tuple(map(renamed, traced.layers)))


@lru_cache(_KEPT)
@torch.no_grad()
def _traced(step: PartCall | Operation, layouts: tuple[Layout, ...]) -> _Traced:
    module, recorder = step.module(layouts[0].dtype), Recorder()
    inputs = [layout.empty() for layout in layouts]
    with module_stack(module, recorder), recorder:
        output = _tensor(step.run(module, inputs))
    layers = recorder.layers
    macs = sum(layer.macs for layer in layers if not step.is_fixed(layer))
    return _Traced(Layout.of(output), tuple(layers), macs)


@lru_cache(_KEPT)
@torch.no_grad()
def _allocated(step: PartCall | Operation, layouts: tuple[Layout, ...]) -> _Allocated:
    module, living = step.module(layouts[0].dtype), Living()
    inputs = [layout.empty() for layout in layouts]
    for tensor in (*weights(module), *inputs):
        living.add(tensor)
    before = living.bytes
    with living:
        output = _tensor(step.run(module, inputs))
    held = [tensor.untyped_storage()._cdata for tensor in inputs]
    storage = output.untyped_storage()
    shares = held.index(storage._cdata) if storage._cdata in held else None
    kept = living.bytes - before
    if kept not in (0, storage.nbytes()) or (shares is not None and kept):
        raise NotComposable("a part that holds on to more than its output")
    return _Allocated(Layout.of(output), living.peak - before, kept, shares)


def _tensor(output: Any) -> torch.Tensor:
    if not isinstance(output, torch.Tensor):
        raise NotComposable(f"an output that is {type(output).__name__} and no tensor")
    return output
