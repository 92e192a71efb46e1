"""Evaluation of one candidate: cost, gate, latency, gate, proxy training, quality.

A candidate over a limit is never trained. Errors that are a candidate's own become its outcome;
others (a missing dataset, a full disk) are raised, because they would break every candidate.
"""

from __future__ import annotations

import errno
import hashlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import torch

from nas.common.errors import InputError, first_line
from nas.data.store import open_set
from nas.measure.cost.cost import cost
from nas.measure.cost.counts import count
from nas.measure.cost.trace import deploy_form
from nas.measure.latency.measure import Latency
from nas.measure.latency.target import Target
from nas.training.proxy.proxy import (
    Diverged,
    ProxyData,
    ProxyResult,
    ProxySettings,
    proxy_data,
    run_proxy,
)
from search_spaces.architecture import Architecture
from search_spaces.networks.network import Network
from search_spaces.plugins import load_all
from studies.core.budget import Budget
from studies.core.candidate import Candidate, DeviceLost, Evaluation
from studies.core.outcome import (
    Broken,
    BrokenKind,
    PartialResult,
    Rejected,
    Rung,
    Runtime,
    Size,
    Trained,
    Weights,
)
from studies.runners.bundle import WorkerBundle
from teachers.loading import load_teacher

Measure = Callable[[Target, Network], Latency]

_MACHINE_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EMFILE)
_NO_MEMORY = (
    *("out of memory", "not enough memory", "can't allocate memory", "cannot allocate"),
    "status_alloc_failed",  # cuDNN's and cuBLAS's
)


@dataclass(frozen=True, slots=True)
class EvaluationSettings:
    """How candidates of a study are evaluated. Small and picklable: workers load the data.

    Attributes:
        target: Device or latency model of runtimes.
        data: Folder of the dataset.
        teacher: Name or path; None trains without.
        device: Device of the training.
        proxy: Settings of the training.
        rungs: Steps at which a candidate is evaluated during its training.
        budget: Limits of the gates.
        time_limit_s: A candidate that takes longer is broken; None for no limit.
        plugins: The user's plugin files.
        bundle: Data for workers on other machines; None on one machine.
        measure: Returns the latency of a network on the target; remote on a cluster.
    """

    target: Target
    data: Path
    teacher: str | None = None
    device: str = "cpu"
    proxy: ProxySettings = field(default_factory=ProxySettings)
    rungs: tuple[int, ...] = ()
    budget: Budget = field(default_factory=Budget)
    time_limit_s: float | None = None
    plugins: tuple[str, ...] = ()
    bundle: WorkerBundle | None = None
    measure: Measure = Target.latency


@lru_cache(maxsize=1)
def load_data(
    data: Path, teacher: str | None, device: str, bundle: WorkerBundle | None = None
) -> ProxyData:
    """Load images and teacher outputs, once in a process.

    Raises:
        InputError: One of them is missing or cannot be used.
    """
    if bundle is not None:
        return bundle.load(device)
    loaded = None if teacher is None else load_teacher(teacher)
    return proxy_data(open_set(data), loaded, device)


class _TimeLimit(BaseException):
    """The candidate has reached its time limit.

    Not an `Exception`: code that compiles or tries a network would catch it.
    """


@dataclass(slots=True)
class _State:
    """The state of an evaluation."""

    stage: str = "counted"
    size: Size | None = None
    runtime: Runtime | None = None


def evaluate(candidate: Candidate, settings: EvaluationSettings) -> Evaluation:
    """Evaluate one candidate: yield its rungs, return its outcome.

    Raises:
        InputError: Something is wrong that is not the candidate's fault.
    """
    load_all(settings.plugins if settings.bundle is None else settings.bundle.plugin_files())
    data = load_data(settings.data, settings.teacher, settings.device, settings.bundle)
    state, elapsed_s = _State(), 0.0
    proxy = replace(settings.proxy, seed=settings.proxy.seed + candidate.repeat)
    steps = _steps(candidate.architecture, data, replace(settings, proxy=proxy), state)
    while True:
        begin = time.perf_counter()
        try:
            with _time_limit(settings.time_limit_s, elapsed_s):
                partial_result = next(steps)
        except StopIteration as end:
            return replace(end.value, seconds=elapsed_s + time.perf_counter() - begin)
        except (Exception, _TimeLimit) as fault:
            kind = _kind(fault, state, settings)
            seconds = elapsed_s + time.perf_counter() - begin
            return Broken(
                kind, _sentence(kind, fault, settings), state.runtime, state.size, seconds
            )
        elapsed_s += time.perf_counter() - begin
        yield partial_result


def _steps(
    architecture: Architecture, data: ProxyData, settings: EvaluationSettings, state: _State
) -> Evaluation:
    budget, target = settings.budget, settings.target
    size = count(architecture)  # budgets limit MACs at 540x960, for any target
    timed = count(architecture, target.height, target.width, target.precision)
    state.size = Size(size.params, size.macs, timed.memory_mb)
    if over := _over(budget, state):
        return over
    if target.model is not None:  # a prediction needs no network
        state.runtime = _runtime(target.latency(architecture))
        if over := _over(budget, state):
            return over
    network = deploy_form(architecture)
    cost(network)  # counts a run of the network too, and raises if they disagree
    state.stage = "measured"
    if state.runtime is None:
        latency = settings.measure(target, network)
        if "memory_mb" in latency.details:  # measured, with the libraries' workspace
            state.size = replace(state.size, memory_mb=latency.details["memory_mb"])
        state.runtime = _runtime(latency)
        if over := _over(budget, state):
            return over
    state.stage = "trained"
    curve = []
    for result in run_proxy(architecture, data, settings.proxy, settings.rungs):
        if isinstance(result, ProxyResult):
            return _trained(result, state.size, state.runtime)
        curve.append(Rung(result.step, result.gain_db, result.seconds))
        yield PartialResult(state.runtime, state.size, tuple(curve))
    raise RuntimeError("training ended without a result")


def _runtime(latency: Latency) -> Runtime:
    device = latency.details.get("versions", {}).get("device", "")
    return Runtime(latency.ms, latency.kind, latency.target, latency.backend, device)


def _over(budget: Budget, state: _State) -> Rejected | None:
    assert state.size is not None and state.size.memory_mb is not None
    figures = {
        "macs": float(state.size.macs),
        "params": float(state.size.params),
        "memory_mb": state.size.memory_mb,
    }
    if state.runtime is not None:
        figures["runtime_ms"] = state.runtime.ms
    over = {name: by for name, by in budget.violations(**figures).items() if by > 0}
    if not over:
        return None
    limit = max(over, key=lambda name: over[name])
    allowed = budget.limits[limit]
    assert allowed is not None
    return Rejected(limit, figures[limit], allowed, state.runtime, state.size)  # type: ignore[arg-type]


def _trained(result: ProxyResult, size: Size, runtime: Runtime) -> Trained:
    return Trained(
        gain_db=result.gain_db,
        gain_db_per_qp=dict(result.gain_db_per_qp),
        psnr_y_db=dict(result.psnr_y_db),
        runtime=runtime,
        size=size,
        curve=tuple(Rung(r.step, r.gain_db, r.seconds) for r in result.curve),
        steps=result.steps,
        gain_cb_db=result.gain_cb_db,
        gain_cr_db=result.gain_cr_db,
        weights=Weights(hashlib.sha256(result.state).hexdigest(), data=result.state),
    )


def _kind(fault: Exception | _TimeLimit, state: _State, settings: EvaluationSettings) -> BrokenKind:
    """Return the kind of a broken candidate, or raise an error that is not its own."""
    if isinstance(fault, OSError) and fault.errno in _MACHINE_FAULTS:
        raise fault
    if isinstance(fault, InputError) and state.stage != "counted":
        raise fault  # the network could be built: so the data or the measurement is at fault
    if isinstance(fault, _TimeLimit):
        return "time_limit"
    if isinstance(fault, Diverged):
        return "diverged"
    if isinstance(fault, MemoryError | torch.OutOfMemoryError) or any(
        sign in str(fault).lower() for sign in _NO_MEMORY
    ):
        if settings.device.startswith("cuda"):
            torch.cuda.empty_cache()
        return "out_of_memory"
    if isinstance(fault, RuntimeError) and not _responds(settings.device):
        raise DeviceLost(
            f"the GPU does not respond any more ({first_line(fault)}): nothing is lost, run the "
            "same command again"
        ) from fault
    return "cannot_build" if state.stage == "counted" else "error"


def _responds(device: str) -> bool:
    """Whether a device still works: after some errors a process cannot use its GPU again."""
    try:
        return bool(torch.ones(1, device=device).sum() == 1)
    except (RuntimeError, AssertionError):
        return False


def _sentence(kind: BrokenKind, fault: Exception | _TimeLimit, settings: EvaluationSettings) -> str:
    if kind == "time_limit":
        return f"it took longer than {settings.time_limit_s:g} s"
    if kind in ("diverged", "cannot_build"):
        return first_line(fault)
    return f"{type(fault).__name__}: {first_line(fault)}"


@contextmanager
def _time_limit(limit_s: float | None, elapsed_s: float) -> Iterator[None]:
    """Raise `_TimeLimit` within the block once the limit is reached.

    By an alarm signal, which works in the main thread only; elsewhere the limit is checked between
    rungs.
    """
    if limit_s is None:
        yield
        return
    left = limit_s - elapsed_s
    if left <= 0:
        raise _TimeLimit
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def expire(*_: object) -> None:
        raise _TimeLimit

    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, left)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
