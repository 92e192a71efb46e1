"""Stop signals, and several processes that train one network together as torchrun starts them.

Networks here are far smaller than one bucket of ``DistributedDataParallel``: one all-reduce of all
gradients, between backward and clipping, is enough.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch import distributed as processes

from nas.common.errors import InputError

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass
class StopSignals:
    """Whether a signal has asked the work to stop."""

    stop_requested: bool = False


@contextmanager
def defer_signals() -> Iterator[StopSignals]:
    """Record the first SIGINT, SIGTERM or SIGHUP instead of stopping; the second one interrupts.

    The previous handler still runs; only its `KeyboardInterrupt` is deferred. Signals that are
    ignored (``nohup``) stay ignored. Does nothing outside the main thread, where Python handles no
    signals.
    """
    signals = StopSignals()
    if threading.current_thread() is not threading.main_thread():
        yield signals
        return

    def record(number: int, frame: FrameType | None) -> None:
        if signals.stop_requested:
            raise KeyboardInterrupt
        signals.stop_requested = True
        if callable(previous[number]):
            with suppress(KeyboardInterrupt):
                previous[number](number, frame)

    handlers: dict[int, Any] = {number: signal.getsignal(number) for number in _SIGNALS}
    previous = {n: h for n, h in handlers.items() if h not in (signal.SIG_IGN, None)}
    for number in previous:
        signal.signal(number, record)
    try:
        yield signals
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


_TIMEOUT = timedelta(hours=2)
"""How long processes wait for the main one, which alone validates and writes."""


@dataclass(frozen=True, slots=True)
class DistContext:
    """Rank of this process and number of processes."""

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process validates, writes and prints."""
        return self.rank == 0

    def part(self, batch: int) -> slice:
        """The part of a batch that this process cuts.

        Raises:
            InputError: the batch cannot be divided equally.
        """
        if batch % self.size:
            raise InputError(
                f"a batch of {batch} crops cannot be divided among {self.size} processes: "
                f"use batches that are multiples of {self.size} in the recipe"
            )
        share = batch // self.size
        return slice(self.rank * share, (self.rank + 1) * share)

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Replace tensors by their means over all processes."""
        if self.size == 1:
            return
        tensors = list(tensors)
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        processes.all_reduce(flat)
        flat /= self.size
        for tensor, mean in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(mean.view_as(tensor))

    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        """Replace tensors by those of the main process."""
        if self.size > 1:
            for tensor in tensors:
                processes.broadcast(tensor.detach(), 0)

    def barrier(self) -> None:
        """Wait for all processes."""
        if self.size > 1:
            processes.barrier()


SINGLE = DistContext()


@contextmanager
def join_processes(device: str) -> Iterator[tuple[DistContext, str]]:
    """Join the other processes where torchrun started several.

    Yields:
        The context, and the device of this process: ``cuda`` becomes its own GPU.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield SINGLE, device
        return
    if device == "cuda":
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(device)
    backend = "nccl" if device.startswith("cuda") else "gloo"
    processes.init_process_group(backend, timeout=_TIMEOUT)
    try:
        yield DistContext(processes.get_rank(), size), device
    finally:
        processes.destroy_process_group()
