"""Measuring runtimes: on CUDA as the challenge did or by graph replays, and on CPUs."""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean, quantiles
from typing import Any, Literal

import torch
from torch import nn

from nas.common.errors import InputError, first_line
from nas.measure.cost.memory import allocated_memory
from nas.measure.cost.trace import inference_form, to_module
from nas.measure.device import keep_memory
from nas.measure.device_lock import exclusive
from nas.measure.latency.backends import Forward, make_forward, quick_backends
from nas.measure.latency.backends import backends as registry
from nas.measure.latency.interleave import ANCHOR, InterleavedTiming, Sampler, interleave
from nas.measure.latency.timers import (
    autotuned,
    event_sampler,
    graph_sampler,
    own_stream,
    pinned,
    queue_sampler,
    wall_sampler,
)
from search_spaces.architecture import Architecture, Stage, Tail

Kind = Literal["measured", "predicted"]
Mode = Literal["device", "challenge"]

ANCHOR_NETWORK = Architecture(
    stem="unshuffle2",
    width=16,
    stages=(Stage("conv", 16, 1),),
    tail=Tail(kernel=1),
    activation="relu",
    bias=False,
)
"""The fixed network that is timed beside every other. Never change it: stores compare by it."""

_SLOW_BACKEND_RATIO = 1.25  # to the fastest backend's first runs, the better of two
_WARM_UPS, _REPEATS = 50, 100  # the challenge's, survey section 2.5 and the organisers' script


@dataclass(frozen=True, slots=True)
class Latency:
    """The runtime of one forward pass."""

    ms: float
    kind: Kind
    target: str
    """The device: ``cuda``, ``cpu`` or the profile of a model."""
    backend: str
    """How the network was run: a name in `nas.measure.latency.backends`."""
    mode: str
    """How it was timed: ``device``, ``challenge`` or ``wall`` (CPU)."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """Size, precision, spread, versions, or a model's error."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Latency:
        """The inverse of `to_dict`."""
        return cls(**values)


def measure_cuda(
    network: nn.Module | Architecture,
    *,
    mode: Mode = "device",
    height: int = 540,
    width: int = 960,
    backends: Sequence[str] | None = None,
    device: str | torch.device = "cuda",
    anchor_baseline_ms: float = math.inf,
) -> Latency:
    """Measure a network on CUDA in FP16, on one image of random numbers.

    ``device`` mode ranks: each forward is captured in a CUDA graph, samples of at least 20 ms of
    replays are interleaved with an anchor, and the median counts; default backends
    `quick_backends`. Forwards that cannot be captured are queued back to back instead.
    ``challenge`` mode compares with the survey: 50 warm-ups, then the mean of 100 forwards between
    events, each synchronised, launch gaps included; default backend ``eager``, as there.
    The GPU is locked. ``anchor_baseline_ms`` is what the anchor takes on an idle device: where it
    takes longer, blocks are repeated. The details name backends that cannot run, and hold the peak
    memory of an eager pass (``memory_mb``).

    Raises:
        RuntimeError: there is no CUDA.
        InputError: no backend can run.
        torch.OutOfMemoryError: the network does not fit.
    """
    device = torch.device(device)
    names = backends or (quick_backends() if mode == "device" else ("eager",))
    with exclusive(device), own_stream(device), torch.no_grad(), autotuned():
        size = (height, width)
        module = inference_form(network, mode)
        forwards, missing = _forwards(
            module, names, torch.float16, device, size, replayed=mode == "device"
        )
        if mode == "challenge":
            samples = {name: _challenge(forward) for name, forward in forwards.items()}
            means = {name: fmean(values) for name, values in samples.items()}
            steadiness: dict[str, Any] = {}
        else:
            anchor = make_forward(to_module(ANCHOR_NETWORK), "eager", torch.float16, device, size)
            timing = interleave(
                {ANCHOR: graph_sampler(anchor)}
                | {
                    name: (graph_sampler if registry[name].capturable else queue_sampler)(forward)
                    for name, forward in forwards.items()
                },
                rounds=10,
                seconds=5,
                anchor_baseline_ms=anchor_baseline_ms,
            )
            samples = {name: timing.samples[name] for name in forwards}
            means = {name: timing.ms(name) for name in forwards}
            steadiness = _steadiness(timing)
        state = _gpu_state(device)
        memory = allocated_memory(module, height, width, "float16", device)
    details = {"precision": "float16", "memory_mb": memory.mb, **steadiness}
    details |= {"gpu": state, "versions": versions(device)}
    return _fastest(means, samples, "cuda", mode, size, missing, details)


def measure_cpu(
    network: nn.Module | Architecture,
    *,
    height: int = 540,
    width: int = 960,
    backends: Sequence[str] | None = None,
    threads: int | None = None,
    rounds: int = 7,
    seconds: float = 10.0,
    anchor_baseline_ms: float = math.inf,
) -> Latency:
    """Measure a network on the CPU in FP32: medians of samples interleaved with an anchor.

    Threads are pinned to as many cores (default: all that the process may use); other
    measurements on this machine wait. A backend whose first runs are a quarter slower than
    another's is measured no further. After ``seconds`` and four rounds no other round starts.
    ``anchor_baseline_ms`` is what the anchor takes on an idle machine.

    Raises:
        InputError: no backend can run.
    """
    keep_memory()
    size, cpu = (height, width), torch.device("cpu")
    with exclusive(cpu), pinned(threads) as cores, torch.no_grad():
        module = inference_form(network, "wall")
        names = backends or quick_backends()
        forwards, missing = _forwards(module, names, torch.float32, cpu, size)
        anchor = make_forward(to_module(ANCHOR_NETWORK), "eager", torch.float32, cpu, (270, 480))
        samplers = {name: wall_sampler(forward) for name, forward in forwards.items()}
        first = {name: min(sample(), sample()) for name, sample in samplers.items()}
        most = _SLOW_BACKEND_RATIO * min(first.values())
        fast = [name for name in samplers if first[name] <= most]
        timed: dict[str, Sampler] = {ANCHOR: wall_sampler(anchor)}
        timed |= {name: samplers[name] for name in fast}
        timing = interleave(
            timed, rounds=rounds, seconds=seconds, anchor_baseline_ms=anchor_baseline_ms
        )
    medians = {name: timing.ms(name) for name in fast}
    samples = {name: timing.samples[name] for name in fast}
    details = {"precision": "float32", "threads": cores, **_steadiness(timing)}
    details |= {"backends_ms": first | medians, "versions": versions(cpu)}
    return _fastest(medians, samples, "cpu", "wall", size, missing, details)


def versions(device: str | torch.device) -> dict[str, Any]:
    """Return what runtimes on a device depend on: its name and the versions of the software."""
    device = torch.device(device)
    if device.type == "cuda":
        return {
            "device": torch.cuda.get_device_name(device),
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }
    return {"device": _processor(), "torch": torch.__version__}


def _forwards(
    module: nn.Module,
    backends: Sequence[str],
    dtype: torch.dtype,
    device: torch.device,
    size: tuple[int, int],
    *,
    replayed: bool = False,
) -> tuple[dict[str, Forward], dict[str, str]]:
    """The backends that run, each run once, and the reasons why others do not."""
    forwards: dict[str, Forward] = {}
    missing: dict[str, str] = {}
    for backend in backends:
        try:
            forward = make_forward(module, backend, dtype, device, size, replayed=replayed)
            forward()
        except Exception as error:
            if registry[backend].quick:  # nothing is missing: the network is at fault
                raise
            missing[backend] = first_line(error, 200)
        else:
            forwards[backend] = forward
    if not forwards:
        reasons = "; ".join(f"{backend}: {reason}" for backend, reason in missing.items())
        raise InputError(f"no backend that was asked for can run this network ({reasons})")
    return forwards, missing


def _challenge(forward: Forward) -> tuple[float, ...]:
    sample = event_sampler(forward, warm_ups=_WARM_UPS)
    return tuple(sample() for _ in range(_REPEATS))


def _fastest(
    means: Mapping[str, float],
    samples: Mapping[str, Sequence[float]],
    target: str,
    mode: str,
    size: tuple[int, int],
    missing: Mapping[str, str],
    details: Mapping[str, Any],
) -> Latency:
    backend = min(means, key=lambda name: means[name])
    values = sorted(samples[backend])
    twentieths = quantiles(values, n=20, method="inclusive") if len(values) > 1 else values * 19
    return Latency(
        ms=means[backend],
        kind="measured",
        target=target,
        backend=backend,
        mode=mode,
        details={
            "height": size[0],
            "width": size[1],
            "backends_ms": dict(means),
            "unavailable": dict(missing),
            "samples": len(values),
            "p5_ms": twentieths[0],
            "median_ms": twentieths[9],
            "p95_ms": twentieths[18],
            **details,
        },
    )


def _steadiness(timing: InterleavedTiming) -> dict[str, Any]:
    return {
        "anchor_ms": timing.ms(ANCHOR),
        "anchor_drift": timing.drift,
        "steady": timing.steady,
        "blocks": timing.blocks,
    }


def _gpu_state(device: torch.device) -> dict[str, Any]:
    """Clock, power and temperature right after measuring, where the driver reports them."""
    readers: dict[str, Callable[[torch.device], int]] = {
        "clock_mhz": torch.cuda.clock_rate,
        "power_mw": torch.cuda.power_draw,
        "temperature_c": torch.cuda.temperature,
    }
    state: dict[str, Any] = {}
    for name, read in readers.items():
        with suppress(Exception):  # needs NVIDIA's management library, which is optional
            state[name] = read(device)
    return state


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
