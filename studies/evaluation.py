"""One candidate's way, with no step back: cost, gate, latency, gate, proxy training, quality.

Here the parts of `nas` come together. A candidate that is over a limit never costs a training
step, and whatever is a candidate's own fault becomes an outcome. What is not (a data set that is
gone, a full disk) is raised, because it would break every other candidate as well.
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
from studies.runners.bundle import Material
from teachers.loading import load_teacher

Measure = Callable[[Target, Network], Latency]

_MACHINE_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EMFILE)
_NO_MEMORY = (
    *("out of memory", "not enough memory", "can't allocate memory", "cannot allocate"),
    "status_alloc_failed",  # cuDNN's and cuBLAS's
)


@dataclass(frozen=True, slots=True)
class EvaluationSettings:
    """What all candidates of a study are evaluated by. Small and picklable: workers load the rest.

    Attributes:
        target: Where runtimes come from.
        data: Folder of a prepared set.
        teacher: Name or path; None trains without.
        device: What candidates are trained on.
        proxy: How they are trained.
        rungs: Steps after which they are evaluated on the way; none without early stopping.
        budget: The limits that gate them.
        time_limit_s: A candidate that takes longer is broken; None for no limit.
        plugins: Files that bring blocks of the user.
        material: What workers on other machines take instead of these paths; None on one machine.
        measure: How a runtime is asked of the target; elsewhere than here on a cluster.
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
    material: Material | None = None
    measure: Measure = Target.latency


@lru_cache(maxsize=1)
def load_data(
    data: Path, teacher: str | None, device: str, material: Material | None = None
) -> ProxyData:
    """Load once in a process what every candidate trains on: pictures and teacher outputs.

    Raises:
        InputError: When one of them is not there or cannot be used.
    """
    if material is not None:
        return material.load(device)
    found = None if teacher is None else load_teacher(teacher)
    return proxy_data(open_set(data), found, device)


class _TimeUp(BaseException):
    """The candidate has used up its time.

    No `Exception`: who builds, compiles or tries a network catches those, and tells another story.
    """


@dataclass(slots=True)
class _Found:
    """What is known of a candidate so far."""

    stage: str = "counted"
    size: Size | None = None
    runtime: Runtime | None = None


def evaluate(candidate: Candidate, settings: EvaluationSettings) -> Evaluation:
    """Evaluate one candidate: yield its rungs, return its outcome.

    Raises:
        InputError: Something is wrong that is not the candidate's fault.
    """
    load_all(settings.plugins if settings.material is None else settings.material.plugin_files())
    data = load_data(settings.data, settings.teacher, settings.device, settings.material)
    found, spent = _Found(), 0.0
    proxy = replace(settings.proxy, seed=settings.proxy.seed + candidate.repeat)
    steps = _steps(candidate.architecture, data, replace(settings, proxy=proxy), found)
    while True:
        begin = time.perf_counter()
        try:
            with _time_limit(settings.time_limit_s, spent):
                partial_result = next(steps)
        except StopIteration as end:
            return replace(end.value, seconds=spent + time.perf_counter() - begin)
        except (Exception, _TimeUp) as fault:
            kind = _kind(fault, found, settings)
            seconds = spent + time.perf_counter() - begin
            return Broken(
                kind, _sentence(kind, fault, settings), found.runtime, found.size, seconds
            )
        spent += time.perf_counter() - begin
        yield partial_result


def _steps(
    architecture: Architecture, data: ProxyData, settings: EvaluationSettings, found: _Found
) -> Evaluation:
    budget, target = settings.budget, settings.target
    size = count(architecture)  # budgets limit MACs at 540x960, whatever is timed
    timed = count(architecture, target.height, target.width, target.precision)
    found.size = Size(size.params, size.macs, timed.memory_mb)
    if over := _over(budget, found):
        return over
    if target.model is not None:  # predicted from the description alone
        found.runtime = _runtime(target.latency(architecture))
        if over := _over(budget, found):
            return over
    network = deploy_form(architecture)
    cost(network)  # counters that run it find what only a built network shows
    found.stage = "measured"
    if found.runtime is None:
        latency = settings.measure(target, network)
        if "memory_mb" in latency.details:  # measured with it, libraries' work space included
            found.size = replace(found.size, memory_mb=latency.details["memory_mb"])
        found.runtime = _runtime(latency)
        if over := _over(budget, found):
            return over
    found.stage = "trained"
    curve = []
    for passed in run_proxy(architecture, data, settings.proxy, settings.rungs):
        if isinstance(passed, ProxyResult):
            return _trained(passed, found.size, found.runtime)
        curve.append(Rung(passed.step, passed.gain_db, passed.seconds))
        yield PartialResult(found.runtime, found.size, tuple(curve))
    raise RuntimeError("training ended without a result")


def _runtime(latency: Latency) -> Runtime:
    device = latency.details.get("versions", {}).get("device", "")
    return Runtime(latency.ms, latency.kind, latency.target, latency.backend, device)


def _over(budget: Budget, found: _Found) -> Rejected | None:
    assert found.size is not None and found.size.memory_mb is not None
    figures = {
        "macs": float(found.size.macs),
        "params": float(found.size.params),
        "memory_mb": found.size.memory_mb,
    }
    if found.runtime is not None:
        figures["runtime_ms"] = found.runtime.ms
    over = {name: by for name, by in budget.violations(**figures).items() if by > 0}
    if not over:
        return None
    limit = max(over, key=lambda name: over[name])
    allowed = budget.limits[limit]
    assert allowed is not None
    return Rejected(limit, figures[limit], allowed, found.runtime, found.size)  # type: ignore[arg-type]


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


def _kind(fault: Exception | _TimeUp, found: _Found, settings: EvaluationSettings) -> BrokenKind:
    """Say in which way the candidate broke, or raise what is not its fault."""
    if isinstance(fault, OSError) and fault.errno in _MACHINE_FAULTS:
        raise fault
    if isinstance(fault, InputError) and found.stage != "counted":
        raise fault  # it was built before: so it is the data, or who measures
    if isinstance(fault, _TimeUp):
        return "time_limit"
    if isinstance(fault, Diverged):
        return "diverged"
    if isinstance(fault, MemoryError | torch.OutOfMemoryError) or any(
        sign in str(fault).lower() for sign in _NO_MEMORY
    ):
        if settings.device.startswith("cuda"):
            torch.cuda.empty_cache()
        return "out_of_memory"
    if isinstance(fault, RuntimeError) and not _answers(settings.device):
        raise DeviceLost(
            f"the GPU does not answer any more ({first_line(fault)}): nothing is lost, run the "
            "same command again"
        ) from fault
    return "cannot_build" if found.stage == "counted" else "error"


def _answers(device: str) -> bool:
    """Whether a device still works: after some faults a process has lost its GPU for good."""
    try:
        return bool(torch.ones(1, device=device).sum() == 1)
    except (RuntimeError, AssertionError):
        return False


def _sentence(kind: BrokenKind, fault: Exception | _TimeUp, settings: EvaluationSettings) -> str:
    if kind == "time_limit":
        return f"it took longer than {settings.time_limit_s:g} s"
    if kind in ("diverged", "cannot_build"):
        return first_line(fault)
    return f"{type(fault).__name__}: {first_line(fault)}"


@contextmanager
def _time_limit(limit_s: float | None, spent_s: float) -> Iterator[None]:
    """Raise `_TimeUp` within the block once the limit is reached.

    It uses an alarm signal, which Python takes between two instructions and only in the main
    thread; elsewhere, the limit is checked between rungs alone.
    """
    if limit_s is None:
        yield
        return
    left = limit_s - spent_s
    if left <= 0:
        raise _TimeUp
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def raise_it(*_: object) -> None:
        raise _TimeUp

    before = signal.signal(signal.SIGALRM, raise_it)
    signal.setitimer(signal.ITIMER_REAL, left)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
