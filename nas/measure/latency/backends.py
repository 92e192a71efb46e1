"""The ways to run a network, by name: how each prepares a forward pass, and how it is timed."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch
from torch import nn

from nas.common.registry import Registry
from nas.measure.latency.onnx_backend import onnx_forward, onnx_versions

Forward = Callable[[], torch.Tensor]
"""Runs a prepared network once on its prepared image."""


class Make(Protocol):
    """Prepares a forward pass."""

    def __call__(self, network: nn.Module, image: torch.Tensor, replayed: bool) -> Forward:
        """Return a forward of ``network`` on ``image`` (1, 3, H, W), both on the device.

        ``network`` is a copy in eval mode, in the precision of ``image``. ``replayed`` lets a
        runtime use its own CUDA graph. Raises `InputError` where the backend cannot run here.
        """


@dataclass(frozen=True, slots=True)
class Backend:
    """One way to run a network."""

    make: Make
    quick: bool = False
    """Measured by default. Needs no compilation, and a failure is the network's fault: others that
    cannot run are reported as unavailable."""
    capturable: bool = True
    """A CUDA graph of PyTorch can hold its forwards; others are timed back to back in a queue."""
    versions: Callable[[str], Mapping[str, Any]] = lambda device: {}
    """What its runtimes on ``cpu`` or ``cuda`` depend on beside PyTorch, for the key of the store;
    lists of several backends under one name are joined."""


backends: Registry[Backend] = Registry("backend")
"""Backend name -> how it runs a network."""


def _eager(network: nn.Module, image: torch.Tensor, replayed: bool) -> Forward:
    return lambda: network(image)


def _channels_last(network: nn.Module, image: torch.Tensor, replayed: bool) -> Forward:
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    image = image.to(memory_format=torch.channels_last)
    return lambda: network(image)


def _compiled(network: nn.Module, image: torch.Tensor, replayed: bool) -> Forward:
    run = compiled(network)
    return lambda: run(image)


def _onnx(name: str) -> Backend:
    return Backend(
        partial(onnx_forward, name), capturable=False, versions=partial(onnx_versions, name)
    )


backends.add("eager", Backend(_eager, quick=True))
backends.add("channels_last", Backend(_channels_last, quick=True))
backends.add("compiled", Backend(_compiled))
backends.add("onnxruntime", _onnx("onnxruntime"))
backends.add("tensorrt", _onnx("tensorrt"))


def quick_backends() -> tuple[str, ...]:
    """Return the names of the backends that are measured by default."""
    return tuple(name for name, backend in backends.items() if backend.quick)


def backend_versions(names: Iterable[str], device: str) -> dict[str, Any]:
    """Return what runtimes by these backends depend on, beside the versions of PyTorch."""
    merged: dict[str, Any] = {}
    for name in names:
        for key, value in backends[name].versions(device).items():
            before = merged.get(key)
            merged[key] = [*before, *value] if isinstance(before, list) else value
    return merged


def make_forward(
    network: nn.Module,
    backend: str,
    dtype: torch.dtype,
    device: torch.device,
    size: tuple[int, int],
    *,
    replayed: bool = False,
) -> Forward:
    """Return a forward of a copy of ``network`` on an image (1, 3, *size) of random numbers.

    With ``replayed``, a runtime that has its own CUDA graphs uses them.

    Raises:
        InputError: there is no such backend, or it cannot run here.
    """
    chosen = backends[backend]
    twin = copy.deepcopy(network).to(device, dtype).eval().requires_grad_(False)
    # Generated on the CPU, so that the numbers are the same on every device.
    noise = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0))
    return chosen.make(twin, noise.to(device, dtype), replayed)


def compiled(forward: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """Have `torch.compile` make kernels, for any number of networks.

    Its default limit is eight of one class in a process; it runs the others uncompiled.
    """
    torch._dynamo.config.recompile_limit = torch._dynamo.config.accumulated_recompile_limit
    return torch.compile(forward, dynamic=False)
