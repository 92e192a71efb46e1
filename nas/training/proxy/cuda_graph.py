"""Steps of a proxy run on a GPU: captured once, then replayed with a single launch.

A small network's step is some hundred kernels of a few microseconds each, and launching one takes
longer than that: the GPU waits. A CUDA graph launches all of them at once: sampling, forward, loss,
backward, clipping, both optimisers and the moving average. Whether that, and which number format
and layout, is fastest for a network is measured before its first step.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch

from nas.common.errors import first_line
from nas.measure.latency.timers import autotuned
from nas.training.core.precision import Precision
from nas.training.data.patches import DevicePatchSampler, PatchBank, PatchIndex
from nas.training.proxy.step import WINDOW, ProxyStep, Rates

# Adam is capturable; it also steps before the capture, to warm up.
warnings.filterwarnings("ignore", "This instance was constructed with capturable=True")


@dataclass(frozen=True, slots=True)
class ExecutionMode:
    """How steps run on a GPU.

    Attributes:
        launch: ``eager`` launches kernel by kernel, ``graph`` all at once, ``compiled`` all at once
            after `torch.compile` fused those of the features.
        precision: number format of the features, and memory layout.
    """

    launch: Literal["eager", "graph", "compiled"]
    precision: Precision

    def __str__(self) -> str:
        return f"{self.launch}, {self.precision}"


MODES = (
    ExecutionMode("graph", Precision("fp32")),
    ExecutionMode("graph", Precision("bf16")),
    ExecutionMode("graph", Precision("fp32", channels_last=False)),
    ExecutionMode("graph", Precision("bf16", channels_last=False)),
    ExecutionMode("eager", Precision("fp32")),
    ExecutionMode("compiled", Precision("fp32")),
    ExecutionMode("compiled", Precision("bf16")),
)
"""All modes that are tried, the most promising first."""


class GraphStepper:
    """Steps that read their indices and rates from tables on the device.

    The tables are filled for a window of steps, and a counter on the device selects the next row,
    so that every step runs the same kernels on the same memory. Before that the rates are zero:
    such a step changes no weight.

    Attributes:
        proxy_step: what the steps move.
        losses: of the steps of the window.
        mode: how steps run, in words.

    Args:
        proxy_step: on the device.
        bank: on the device.
        patch: LR side of crops.
        batch: crops a step.
        mode: how steps run, in words.
    """

    def __init__(
        self, proxy_step: ProxyStep, bank: PatchBank, patch: int, batch: int, mode: str = "eager"
    ) -> None:
        device = bank.lr.device
        self.proxy_step, self.mode = proxy_step, mode
        self.losses = torch.zeros(WINDOW, device=device)
        self._gather = DevicePatchSampler(bank, patch)
        self._choices = torch.zeros(WINDOW, 2 * batch + 3, dtype=torch.int64, device=device)
        self._rates = torch.zeros(WINDOW, 3, device=device)
        self._row = torch.zeros(1, dtype=torch.int64, device=device)
        self._run: Callable[[], None] = self._kernels

    def plan(self, choices: Sequence[PatchIndex], rates: Sequence[Rates]) -> None:
        """Begin a window."""
        self._choices[: len(choices)] = torch.stack([c.numbers() for c in choices]).to(self._row)
        self._rates[: len(rates)] = torch.tensor(rates).to(self._rates)
        self._row.zero_()

    def step(self) -> None:
        """Do the next step of the window."""
        self._run()

    def capture(self) -> None:
        """Capture a step, to replay it from now on; call it before the first `plan`.

        Its warm-up steps have no effect.

        Raises:
            RuntimeError: the step cannot be captured.
        """
        device = self._row.device
        with torch.cuda.device(device), _stream_kept(device):
            side = torch.cuda.Stream(device)
            side.wait_stream(torch.cuda.current_stream(device))
            # Lazy set-up at the first use of a kernel on a stream cannot be captured, and nodes
            # that accumulate gradients belong to the stream of their first use.
            with torch.cuda.stream(side):
                for _ in range(_WARM_UPS):
                    self.idle()
            torch.cuda.current_stream(device).wait_stream(side)
            self.proxy_step.clear_gradients()  # new ones are allocated in the graph's memory
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, stream=side):
                self._kernels()
        self._run = graph.replay
        self.begin()

    def idle(self) -> None:
        """Do a step that changes no weight, to warm up or for timing."""
        self._row.zero_()
        self._run()

    def begin(self) -> None:
        """Reset the optimizer after steps without a plan."""
        self.proxy_step.reset_optimizer()
        self._row.zero_()

    def _kernels(self) -> None:
        batch = self._gather(self._choices.index_select(0, self._row)[0])
        loss = self.proxy_step(batch, self._rates.index_select(0, self._row)[0])
        self.losses.index_copy_(0, self._row, loss[None])
        self._row.add_(1)


def fastest(make: Callable[[ExecutionMode], GraphStepper], steps: int) -> GraphStepper:
    """Make steps in several ways, time them, and return the fastest, as if none had been done.

    The most promising ways come first, and no other is tried once trying has taken a tenth of what
    the run will take: short runs try few. Precision that is lower must show what it gains.

    Args:
        make: makes the steps of a mode, eager as yet, on a copy of the network.
        steps: how many the run will do.

    Raises:
        RuntimeError: not even single kernels can be launched.
    """
    began = time.perf_counter()
    best: GraphStepper | None = None
    least = math.inf
    for mode in MODES:
        if best is not None and time.perf_counter() - began > _TRYING * steps * least:
            break
        if mode.launch == "compiled" and steps * least < _WORTH_COMPILING_S:
            continue
        with autotuned(steps >= _WORTH_TUNING):  # trying takes about as long as a short run
            tried = _ready(make, mode)
        if tried is None:
            continue
        seconds = _seconds(tried)
        if best is None or seconds < _worth(mode, best.proxy_step.precision) * least:
            best, least = tried, seconds
    if best is None:
        best = make(ExecutionMode("eager", Precision()))
    best.begin()
    return best


def _worth(mode: ExecutionMode, now: Precision) -> float:
    """Share of the best time so far that a mode must stay under."""
    return _LOWER_WORTH if mode.precision.name != "fp32" and now.name == "fp32" else 1.0


def _ready(
    make: Callable[[ExecutionMode], GraphStepper], mode: ExecutionMode
) -> GraphStepper | None:
    if mode.precision.name == "bf16" and not torch.cuda.is_bf16_supported():
        return None
    tried = make(mode)
    if mode.launch == "eager":
        return tried
    try:
        tried.capture()
    except Exception as fault:  # errors of compilers have no common base
        faults = list(_back(fault))
        for other in faults:
            # An interrupt or a time limit that breaks a capture raises another error there.
            if isinstance(other, torch.OutOfMemoryError) or not isinstance(other, Exception):
                raise other from None
        reason = first_line(faults[-1])
        warnings.warn(f"a proxy step cannot run as '{mode}': {reason}", stacklevel=2)
        return None
    return tried


def _back(fault: BaseException | None) -> Iterator[BaseException]:
    """An exception and its chain of contexts."""
    while fault is not None:
        yield fault
        fault = fault.__context__


def _seconds(steps: GraphStepper) -> float:
    """Seconds a step: the best of a few rounds, as others may use the GPU."""
    taken = []
    for _ in range(_ROUNDS):
        steps.losses.sum().item()  # waits for the device
        began = time.perf_counter()
        for _ in range(_STEPS):
            steps.idle()
        steps.losses.sum().item()
        taken.append((time.perf_counter() - began) / _STEPS)
    return min(taken)


@contextmanager
def _stream_kept(device: torch.device) -> Iterator[None]:
    """Restore the current stream, also after a failed capture."""
    before = torch.cuda.current_stream(device)
    try:
        yield
    finally:
        torch.cuda.set_stream(before)


_WARM_UPS = 3
_ROUNDS, _STEPS = 3, 5
_TRYING = 0.1
_LOWER_WORTH = 0.95
_WORTH_TUNING = 2000
_WORTH_COMPILING_S = 600.0  # compiling takes about a minute
