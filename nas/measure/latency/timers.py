"""Clocks for a prepared forward pass, and the state of the machine while it is timed."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import torch

from nas.measure.latency.backends import Forward
from nas.measure.latency.interleave import Sampler

_SAMPLE_MS = 20.0  # of runs between two events: long against the events' own microseconds


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
    with torch.cuda.stream(side):  # libraries initialize here, which capture forbids
        for _ in range(3):
            forward()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = forward()

    def replay(alive: tuple[Forward, torch.Tensor] = (forward, output)) -> None:
        """Keeps alive what the graph reads and writes: weights, image, output."""
        graph.replay()

    return queue_sampler(replay)


def queue_sampler(run: Callable[[], object]) -> Sampler:
    """Return a sampler of runs queued back to back, as many as take 20 ms."""
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
    """Return a sampler of single forwards on the CPU by wall clock, after one warm-up."""
    forward()

    def sample() -> float:
        start = time.perf_counter()
        forward()
        return 1e3 * (time.perf_counter() - start)

    return sample


@contextmanager
def own_stream(device: torch.device) -> Iterator[None]:
    """Make a CUDA stream other than the default one current, as ONNX Runtime needs.

    One stream a process, because PyTorch keeps memory for each stream apart.
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
    """Run PyTorch on ``threads`` threads pinned to as many cores (None: all allowed).

    Yields the number of threads; threads and affinities are restored. On systems without
    affinities (macOS) only the number is set.
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
            with suppress(OSError):  # the thread has ended
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
def autotuned(enabled: bool = True) -> Iterator[None]:
    """Set whether cuDNN chooses kernels by trying them, as the organisers do; restored after."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = enabled
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before
