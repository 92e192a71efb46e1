"""Measuring runtimes, on CUDA as the challenge did and better, and on CPUs.

A runtime says where it came from: measured here, or predicted by a model (`latency_model`).
"""

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

from nas.common.errors import InputError
from nas.measure.cost.memory import allocated_memory
from nas.measure.cost.trace import as_module, as_run
from nas.measure.device import keep_memory
from nas.measure.device_lock import exclusive
from nas.measure.latency.backends import (
    Forward,
    autotuned,
    event_sampler,
    forward_of,
    graph_sampler,
    own_stream,
    pinned,
    queue_sampler,
    wall_sampler,
)
from nas.measure.latency.interleave import ANCHOR, Block, Sampler, interleave
from nas.measure.latency.onnx_backend import SESSIONS
from search_spaces.architecture import Architecture, Stage, Tail

Kind = Literal["measured", "predicted"]
Mode = Literal["device", "challenge"]

BACKENDS = ("eager", "channels_last", "compiled", *SESSIONS)
"""Ways to run a network; `measure_cuda` and `measure_cpu` report the fastest of those asked for."""

QUICK = ("eager", "channels_last")
"""Those that need no compilation: under a second a network on a GPU."""

ANCHOR_NETWORK = Architecture(
    stem="unshuffle2",
    width=16,
    stages=(Stage("conv", 16, 1),),
    tail=Tail(kernel=1),
    activation="relu",
    bias=False,
)
"""The fixed network that takes its turn in every block. Never change it: stores compare by it."""

_HOPELESS = 1.25  # times the fastest backend's first runs, the better of two
_WARM_UPS, _REPEATS = 50, 100  # the challenge's, survey section 2.5 and the organisers' script


@dataclass(frozen=True, slots=True)
class Latency:
    """The runtime of one forward pass."""

    ms: float
    kind: Kind
    target: str
    """The device: ``cuda``, ``cpu`` or the profile of a model."""
    backend: str
    """How the network was run: one of `BACKENDS`."""
    mode: str
    """How it was timed: ``device``, ``challenge`` or ``wall`` (CPU)."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """Everything else that matters: size, precision, spread, versions, a model's error."""

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
    usual_ms: float = math.inf,
) -> Latency:
    """Measure a network as it runs on CUDA in FP16, on one picture of random numbers.

    ``device`` mode ranks: each forward is captured in a CUDA graph, samples of at least 20 ms of
    replays take turns with an anchor, and the median counts; default backends `QUICK`. Sessions of
    ONNX Runtime cannot be captured: their forwards are queued one behind the other instead, on CUDA
    as replays of a graph of the session's own.
    ``challenge`` mode compares with the survey: 50 warm-ups, then the mean of 100 forwards between
    events, each synchronised, launch gaps included; default backend ``eager`` alone, as there.
    The GPU is held alone meanwhile. ``usual_ms`` is what the anchor takes when nothing else runs,
    as far as is known: where it took longer, blocks are repeated. A backend that cannot run is
    named in the details, and the peak memory of an eager pass is there too (``memory_mb``).

    Raises:
        RuntimeError: there is no CUDA.
        InputError: no backend can run.
        torch.OutOfMemoryError: the network does not fit.
    """
    device = torch.device(device)
    asked = backends or (QUICK if mode == "device" else ("eager",))
    with exclusive(device), own_stream(device), torch.no_grad(), autotuned():
        size = (height, width)
        module = as_run(network, mode)
        forwards, missing = _forwards(
            module, asked, torch.float16, device, size, replayed=mode == "device"
        )
        if mode == "challenge":
            samples = {name: _challenge(forward) for name, forward in forwards.items()}
            means = {name: fmean(values) for name, values in samples.items()}
            steadiness: dict[str, Any] = {}
        else:
            anchor = forward_of(as_module(ANCHOR_NETWORK), "eager", torch.float16, device, size)
            block = interleave(
                {ANCHOR: graph_sampler(anchor)}
                | {
                    name: (queue_sampler if name in SESSIONS else graph_sampler)(forward)
                    for name, forward in forwards.items()
                },
                rounds=10,
                seconds=5,
                usual_ms=usual_ms,
            )
            samples = {name: block.samples[name] for name in forwards}
            means = {name: block.ms(name) for name in forwards}
            steadiness = _steadiness(block)
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
    usual_ms: float = math.inf,
) -> Latency:
    """Measure a network as it runs on the CPU in FP32: medians of turns taken with an anchor.

    Threads are pinned to as many cores (default: all that the process may use), other
    measurements on this machine wait. A backend that is a quarter slower than another at first
    sight takes no turns. Once ``seconds`` have passed and four turns been taken, no other is
    begun, so that a heavy network on a slow machine ends too. ``usual_ms`` is what the anchor takes
    when nothing else runs, as far as is known.

    Raises:
        InputError: no backend can run.
    """
    keep_memory()
    size, cpu = (height, width), torch.device("cpu")
    with exclusive(cpu), pinned(threads) as cores, torch.no_grad():
        module = as_run(network, "wall")
        forwards, missing = _forwards(module, backends or QUICK, torch.float32, cpu, size)
        anchor = forward_of(as_module(ANCHOR_NETWORK), "eager", torch.float32, cpu, (270, 480))
        samplers = {name: wall_sampler(forward) for name, forward in forwards.items()}
        first = {name: min(sample(), sample()) for name, sample in samplers.items()}
        fast = [name for name in samplers if first[name] <= _HOPELESS * min(first.values())]
        turns: dict[str, Sampler] = {ANCHOR: wall_sampler(anchor)}
        turns |= {name: samplers[name] for name in fast}
        block = interleave(turns, rounds=rounds, seconds=seconds, usual_ms=usual_ms)
    medians = {name: block.ms(name) for name in fast}
    samples = {name: block.samples[name] for name in fast}
    details = {"precision": "float32", "threads": cores, **_steadiness(block)}
    details |= {"backends_ms": first | medians, "versions": versions(cpu)}
    return _fastest(medians, samples, "cpu", "wall", size, missing, details)


def versions(device: str | torch.device) -> dict[str, Any]:
    """Return what a runtime on a device depends on: its name and the software's versions."""
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
    """The runnable backends, run once, and the reasons why others are not."""
    forwards: dict[str, Forward] = {}
    missing: dict[str, str] = {}
    for backend in backends:
        try:
            forward = forward_of(module, backend, dtype, device, size, replayed=replayed)
            forward()
        except Exception as error:
            # A compiler or runtime that is not there is no fault of the network; others are.
            if backend in QUICK:
                raise
            missing[backend] = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
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


def _steadiness(block: Block) -> dict[str, Any]:
    return {
        "anchor_ms": block.ms(ANCHOR),
        "anchor_drift": block.drift,
        "steady": block.steady,
        "blocks": block.blocks,
    }


def _gpu_state(device: torch.device) -> dict[str, Any]:
    """Clock, power and temperature right after measuring, as far as the driver tells."""
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
