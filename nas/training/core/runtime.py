"""Several processes that train one network together, as torchrun starts them.

Networks here are far smaller than one bucket of ``DistributedDataParallel``: their gradients go
through one all-reduce, between backward and clipping, and that is all there is to it.
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

_HEARD = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass
class Interrupts:
    """Whether the person or the system wants the work to end."""

    wanted: bool = False


@contextmanager
def kept() -> Iterator[Interrupts]:
    """Note the first SIGINT, SIGTERM or SIGHUP instead of acting on it; the second ends at once.

    Whoever listened before hears of the first too, and only its `KeyboardInterrupt` is put off:
    the command line exits by the signal. Signals that are ignored (``nohup``) stay so. Does nothing
    outside the main thread, where Python handles no signals.
    """
    interrupts = Interrupts()

    def note(number: int, frame: FrameType | None) -> None:
        if interrupts.wanted:
            raise KeyboardInterrupt
        interrupts.wanted = True
        if callable(listeners[number]):
            with suppress(KeyboardInterrupt):
                listeners[number](number, frame)

    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return
    listeners: dict[int, Any] = {number: signal.getsignal(number) for number in _HEARD}
    heard = [number for number in _HEARD if listeners[number] not in (signal.SIG_IGN, None)]
    for number in heard:
        signal.signal(number, note)
    try:
        yield interrupts
    finally:
        for number in heard:
            signal.signal(number, listeners[number])


_PATIENCE = timedelta(hours=2)
"""How long processes wait for the first, which alone measures and writes."""


@dataclass(frozen=True, slots=True)
class World:
    """Which of how many processes this is."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process measures, writes and talks."""
        return self.rank == 0

    def part(self, batch: int) -> slice:
        """The part of a step's crops that this process cuts.

        Raises:
            InputError: the crops cannot be divided equally.
        """
        if batch % self.size:
            raise InputError(
                f"a batch of {batch} crops cannot be divided among {self.size} processes: "
                f"let the recipe's batches be multiples of {self.size}"
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

    def share(self, tensors: Iterable[Tensor]) -> None:
        """Replace tensors by those of the first process."""
        if self.size > 1:
            for tensor in tensors:
                processes.broadcast(tensor.detach(), 0)

    def wait(self) -> None:
        """Return when every process is here."""
        if self.size > 1:
            processes.barrier()


ALONE = World()


@contextmanager
def joined(device: str) -> Iterator[tuple[World, str]]:
    """Join the other processes where torchrun started several; else be alone.

    Yields:
        The world, and the device of this process: ``cuda`` becomes its own GPU.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE, device
        return
    if device == "cuda":
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(device)
    backend = "nccl" if device.startswith("cuda") else "gloo"
    processes.init_process_group(backend, timeout=_PATIENCE)
    try:
        yield World(processes.get_rank(), size), device
    finally:
        processes.destroy_process_group()
