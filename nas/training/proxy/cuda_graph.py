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
from nas.training.data.patches import Choice, Gatherer, PatchBank
from nas.training.proxy.step import WINDOW, Learner

# Adam is made for a capture; that it steps before one, to warm up, is meant so.
warnings.filterwarnings("ignore", "This instance was constructed with capturable=True")


@dataclass(frozen=True, slots=True)
class Way:
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


WAYS = (
    Way("graph", Precision("fp32")),
    Way("graph", Precision("bf16")),
    Way("graph", Precision("fp32", channels_last=False)),
    Way("graph", Precision("bf16", channels_last=False)),
    Way("eager", Precision("fp32")),
    Way("compiled", Precision("fp32")),
    Way("compiled", Precision("bf16")),
)
"""All that are tried, the most promising first."""


class Tabled:
    """Steps that find all they need in tables on the device.

    The tables are filled for a window of steps at a time, and a counter on the device says which
    row is next, so that the same kernels on the same memory do every step. Until they are filled
    the rates are zero: such a step moves no weight.

    Attributes:
        learner: what the steps move.
        losses: of the steps of the window.
        way: how steps run, in words.

    Args:
        learner: on the device.
        bank: on the device.
        patch: LR side of crops.
        batch: crops a step.
        way: how steps run, in words.
    """

    def __init__(
        self, learner: Learner, bank: PatchBank, patch: int, batch: int, way: str = "eager"
    ) -> None:
        device = bank.lr.device
        self.learner, self.way = learner, way
        self.losses = torch.zeros(WINDOW, device=device)
        self._gather = Gatherer(bank, patch)
        self._choices = torch.zeros(WINDOW, 2 * batch + 3, dtype=torch.int64, device=device)
        self._rates = torch.zeros(WINDOW, 3, device=device)
        self._row = torch.zeros(1, dtype=torch.int64, device=device)
        self._run: Callable[[], None] = self._kernels

    def plan(self, choices: Sequence[Choice], rates: Sequence[tuple[float, float, float]]) -> None:
        """Begin a window."""
        self._choices[: len(choices)] = torch.stack([c.numbers() for c in choices]).to(self._row)
        self._rates[: len(rates)] = torch.tensor(rates).to(self._rates)
        self._row.zero_()

    def step(self) -> None:
        """Do the next step of the window."""
        self._run()

    def capture(self) -> None:
        """Capture a step, to replay it from now on; to be called before the first one is planned.

        The steps done on the way leave nothing behind.

        Raises:
            RuntimeError: the step cannot be captured.
        """
        device = self._row.device
        with torch.cuda.device(device), _stream_kept(device):
            side = torch.cuda.Stream(device)
            side.wait_stream(torch.cuda.current_stream(device))
            # What libraries set up at the first use of a kernel on a stream cannot be captured, and
            # the nodes that sum up gradients belong to the stream that they were first used on.
            with torch.cuda.stream(side):
                for _ in range(_WARM_UPS):
                    self.idle()
            torch.cuda.current_stream(device).wait_stream(side)
            self.learner.forget_gradients()  # new ones are made in the graph's own memory
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, stream=side):
                self._kernels()
        self._run = graph.replay
        self.begin()

    def idle(self) -> None:
        """Do a step that moves no weight, to warm up or to take its time."""
        self._row.zero_()
        self._run()

    def begin(self) -> None:
        """Forget what steps without a plan left in the optimisers."""
        self.learner.reset_optimizer()
        self._row.zero_()

    def _kernels(self) -> None:
        batch = self._gather(self._choices.index_select(0, self._row)[0])
        loss = self.learner.learn(batch, self._rates.index_select(0, self._row)[0])
        self.losses.index_copy_(0, self._row, loss[None])
        self._row.add_(1)


def fastest(make: Callable[[Way], Tabled], steps: int) -> Tabled:
    """Make steps in several ways, time them, and return the fastest, as if none had been done.

    The most promising ways come first, and no other is tried once trying has taken a tenth of what
    the run will take: short runs try few. Precision that is lower must show what it gains.

    Args:
        make: makes the steps of a way, eager as yet, on a copy of the network.
        steps: how many the run will do.

    Raises:
        RuntimeError: not even single kernels can be launched.
    """
    began = time.perf_counter()
    best: Tabled | None = None
    least = math.inf
    for way in WAYS:
        if best is not None and time.perf_counter() - began > _TRYING * steps * least:
            break
        if way.launch == "compiled" and steps * least < _WORTH_COMPILING_S:
            continue
        with autotuned(steps >= _WORTH_TUNING):  # trying takes about as long as a short run
            tried = _ready(make, way)
        if tried is None:
            continue
        seconds = _seconds(tried)
        if best is None or seconds < _worth(way, best.learner.precision) * least:
            best, least = tried, seconds
    if best is None:
        best = make(Way("eager", Precision()))
    best.begin()
    return best


def _worth(way: Way, now: Precision) -> float:
    """The share of the time so far that a way must stay under."""
    return _LOWER_WORTH if way.precision.name != "fp32" and now.name == "fp32" else 1.0


def _ready(make: Callable[[Way], Tabled], way: Way) -> Tabled | None:
    if way.precision.name == "bf16" and not torch.cuda.is_bf16_supported():
        return None
    tried = make(way)
    if way.launch == "eager":
        return tried
    try:
        tried.capture()
    except Exception as fault:  # compilers of torch's, Triton's and the system's have no base class
        faults = list(_back(fault))
        for other in faults:
            # A capture that something else breaks off (an interrupt, a time limit) raises in turn.
            if isinstance(other, torch.OutOfMemoryError) or not isinstance(other, Exception):
                raise other from None
        reason = first_line(faults[-1])
        warnings.warn(f"a proxy step cannot run as '{way}': {reason}", stacklevel=2)
        return None
    return tried


def _back(fault: BaseException | None) -> Iterator[BaseException]:
    """An exception, what was being handled when it was raised, and so on."""
    while fault is not None:
        yield fault
        fault = fault.__context__


def _seconds(steps: Tabled) -> float:
    """What a step takes: the best of a few rounds, for others may use the GPU meanwhile."""
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
    """Come back to the current stream, also where a capture broke off inside its own."""
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
