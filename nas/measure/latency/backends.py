"""One forward pass, prepared for a backend, and the clocks that time it."""

from __future__ import annotations

import copy
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nas.measure.latency.interleave import Sampler
from nas.measure.latency.onnx_backend import SESSIONS, onnx_forward

Forward = Callable[[], torch.Tensor]
"""Runs a prepared network once on its prepared picture."""

_SAMPLE_MS = 20.0  # of runs between two events: long against the events' own microseconds


def forward_of(
    network: nn.Module,
    backend: str,
    dtype: torch.dtype,
    device: torch.device,
    size: tuple[int, int],
    *,
    replayed: bool = False,
) -> Forward:
    """Return a forward of a copy of ``network`` on a picture (1, 3, *size) of random numbers.

    Args:
        network: what to run.
        backend: one of `nas.measure.latency.measure.BACKENDS`.
        dtype: precision of weights, input and output.
        device: where to run it.
        size: height and width of the picture.
        replayed: let a runtime that has CUDA graphs of its own use them; `graph_sampler` captures
            what PyTorch runs.

    Raises:
        ValueError: the backend is none of those.
        InputError: it needs a package that is not installed.
    """
    twin: Any = copy.deepcopy(network).to(device, dtype).eval().requires_grad_(False)
    # Made on the CPU and moved, so that the numbers are the same on every device.
    noise = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0))
    picture = noise.to(device, dtype)
    if backend == "channels_last":
        twin = twin.to(memory_format=torch.channels_last)
        picture = picture.to(memory_format=torch.channels_last)
    elif backend == "compiled":
        twin = compiled(twin)
    elif backend in SESSIONS:
        return onnx_forward(twin.cpu(), picture, backend, replayed=replayed)
    elif backend != "eager":
        raise ValueError(f"no backend '{backend}'")
    return lambda: twin(picture)


def compiled(forward: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """Have `torch.compile` make kernels, for however many networks.

    By itself it gives up after eight of one class in a process, and runs the others as they are.
    """
    torch._dynamo.config.recompile_limit = torch._dynamo.config.accumulated_recompile_limit
    return torch.compile(forward, dynamic=False)


def event_sampler(forward: Forward, *, warm_ups: int) -> Sampler:
    """Return a sampler of single forwards between CUDA events, synchronised after each."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    for _ in range(warm_ups):
        forward()
    torch.cuda.synchronize()

    def sample() -> float:
        begin.record()
        forward()
        end.record()
        torch.cuda.synchronize()
        return begin.elapsed_time(end)

    return sample


def graph_sampler(forward: Forward) -> Sampler:
    """Return a sampler of replays of a captured forward, as many as take 20 ms."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # libraries set themselves up here, which capture forbids
        for _ in range(3):
            forward()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        kept = forward()

    def replay(held: tuple[Forward, torch.Tensor] = (forward, kept)) -> None:
        """Holds alive what the graph reads and writes: weights, picture, output."""
        graph.replay()

    return queue_sampler(replay)


def queue_sampler(run: Callable[[], object]) -> Sampler:
    """Return a sampler of runs that are queued one behind the other, as many as take 20 ms."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))

    def mean_of(times: int) -> float:
        begin.record()
        for _ in range(times):
            run()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / times

    mean_of(3)
    times = max(1, math.ceil(_SAMPLE_MS / max(mean_of(5), 1e-3)))
    return lambda: mean_of(times)


def wall_sampler(forward: Forward) -> Sampler:
    """Return a sampler of single forwards on the CPU by the clock on the wall, warmed up."""
    forward()

    def sample() -> float:
        begun = time.perf_counter()
        forward()
        return 1e3 * (time.perf_counter() - begun)

    return sample


@contextmanager
def own_stream(device: torch.device) -> Iterator[None]:
    """Make a CUDA stream other than the default one the current one: ONNX Runtime needs that.

    It is one and the same in a process, because PyTorch keeps memory for each stream apart.
    """
    with torch.cuda.device(device):
        stream = _stream(torch.cuda.current_device())
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            yield


@cache
def _stream(index: int) -> torch.cuda.Stream:
    return torch.cuda.Stream()


@contextmanager
def pinned(threads: int | None) -> Iterator[int]:
    """Run PyTorch on ``threads`` threads bound to as many cores (None: all allowed).

    Yields the number of threads. Threads and affinities are as before afterwards. Where the
    system knows no affinities (macOS) only the number is set.
    """
    affinities: dict[int, set[int]] = {}
    allowed = list(range(os.cpu_count() or 1))
    if hasattr(os, "sched_getaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
    count = min(threads or len(allowed), len(allowed))
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    if hasattr(os, "sched_setaffinity"):
        for task in Path("/proc/self/task").iterdir():
            with suppress(OSError):  # a thread that ended meanwhile
                thread = int(task.name)
                affinities[thread] = os.sched_getaffinity(thread)
                os.sched_setaffinity(thread, allowed[:count])
    try:
        yield count
    finally:
        for thread, cores in affinities.items():
            with suppress(OSError):
                os.sched_setaffinity(thread, cores)
        torch.set_num_threads(before)


@contextmanager
def autotuned(wanted: bool = True) -> Iterator[None]:
    """Let cuDNN choose its kernels by trying, as the organisers do, or not; restored afterwards."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = wanted
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before
