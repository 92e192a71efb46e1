"""The runner on Ray Tune: candidates in worker processes, on this machine or a cluster.

Tune only executes. Candidates and outcomes pass through `_Ask`, a Searcher without state: the study
is the source of truth, resuming is running again, and Tune's own snapshots are never read.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from nas.common.errors import InputError
from studies.core.candidate import Candidate, DeviceLost, Evaluate, Evaluation
from studies.core.outcome import Broken, Outcome
from studies.runners.base import TrialSource, WorkerSetup
from studies.runners.ray_session import Session, has_died, ray, running, scratch

from ray import tune  # isort: skip  # after the module that tells Ray to be quiet
from ray.tune.schedulers import FIFOScheduler, TrialScheduler  # isort: skip
from ray.tune.search import Searcher  # isort: skip

T = TypeVar("T")

# To count our callback in a usage report, which is off, Tune would import MLflow, most of a second
# before the first candidate.
with suppress(ImportError):  # private, and may move
    from ray.air._internal import usage

    vars(usage)["tag_callbacks"] = lambda callbacks: False

# Workers inherit the environment of the Ray that is started here. Tune would pass variables too,
# for which Ray would start new workers instead of using those that are ready.
with suppress(ImportError):
    from ray.tune.execution import class_cache


@dataclass(frozen=True, slots=True)
class RayRunner:
    """Evaluates candidates in Ray workers, which are reused.

    Attributes:
        concurrency: Candidates at once.
        gpus_each: Share of a GPU of each; 0 for workers without one.
        cpus_each: CPU cores and threads of each.
        address: Address of a running Ray cluster; None starts Ray on this machine.
        hard_limit_s: Time after which a worker that does not respond is killed; None for never.
        worker_setup: What workers need on machines that do not have the driver's files.
    """

    concurrency: int = 1
    gpus_each: float = 0.0
    cpus_each: int = 1
    address: str | None = None
    hard_limit_s: float | None = None
    worker_setup: WorkerSetup | None = None

    def run(self, evaluate: Evaluate, trials: TrialSource) -> None:
        """Evaluate candidates until there are no more; see `Runner.run`.

        A candidate whose worker dies is tried once more in a new worker, then it is broken.
        """
        if self.address is None:
            vars(class_cache).update(DEFAULT_ENV_VARS={}, ENV_VARS_TO_PROPAGATE=())
        session = Session(self.address, self.concurrency * self.cpus_each, self.gpus_each > 0)
        with running(session), scratch("tune") as folder:
            state = _RunState(trials, self.hard_limit_s)
            # Ray would wait for GPUs that it does not find, for instance without NVIDIA's
            # management library; workers see all GPUs even so.
            gpus = self.gpus_each if ray.cluster_resources().get("GPU", 0) else 0.0
            worker = tune.with_resources(
                _worker(
                    _with_setup(evaluate, self.worker_setup), self.cpus_each, self.hard_limit_s
                ),
                {"cpu": self.cpus_each, "gpu": gpus},
            )
            tuner = tune.Tuner(
                worker,
                tune_config=tune.TuneConfig(
                    search_alg=_Ask(state),
                    scheduler=_Rungs(state),
                    num_samples=-1,
                    max_concurrent_trials=self.concurrency,
                    reuse_actors=True,
                    trial_dirname_creator=lambda trial: trial.trial_id,
                ),
                run_config=tune.RunConfig(
                    storage_path=str(folder),
                    verbose=0,
                    callbacks=[_Clock(state)],
                    failure_config=tune.FailureConfig(max_failures=1),
                    checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                ),
            )
            try:
                tuner.fit()
            except _RayLost:
                raise InputError(_RAY_LOST) from None
            if state.fault is not None:
                raise state.fault


class _RayLost(BaseException):
    """Ray has died. Not an `Exception`: after one Tune would clean up, with the dead Ray."""


class _RunState:
    """The state of a run for Tune's callbacks, where an exception would end in a stack trace.

    The first error is stored for the runner to raise; after it there are no more candidates.
    """

    def __init__(self, trials: TrialSource, hard_limit_s: float | None) -> None:
        self.trials = trials
        self.hard_limit_s = hard_limit_s
        self.live: dict[str, Candidate] = {}
        self.heartbeats: dict[str, float] = {}  # of the newest worker
        self.started: set[str] = set()  # whose newest worker has started
        self.stopping: dict[str, Outcome] = {}
        self.error = ""
        self.fault: BaseException | None = None

    def guarded(self, call: Callable[[], T]) -> T | None:
        """Return what ``call`` returns, None if it or an earlier call failed."""
        if self.fault is not None:
            return None
        try:
            return call()
        except Exception as fault:
            self.fault = fault
            return None

    def ask(self, trial_id: str) -> Candidate | None:
        if self.live and not self.started:
            return None  # an ask may take seconds, for which the first candidate would wait
        candidate = self.guarded(self.trials.ask)
        if candidate is not None:
            self.live[trial_id] = candidate
            self.heartbeat(trial_id)
        return candidate

    def heartbeat(self, trial_id: str) -> None:
        self.heartbeats[trial_id] = time.monotonic()

    def at_rung(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Whether to stop."""
        self.heartbeat(trial_id)
        candidate, partial_result = self.live[trial_id], result["partial"]
        outcome = self.guarded(lambda: self.trials.at_rung(candidate, partial_result))
        if outcome is not None:
            self.stopping[trial_id] = outcome
        return outcome is not None or self.fault is not None

    def finish(self, trial_id: str, result: dict[str, Any] | None) -> None:
        candidate = self.live.pop(trial_id)
        idle_s = time.monotonic() - self.heartbeats.pop(trial_id)
        result = result or {}
        if result.get("fault") is not None:
            self.fault = self.fault or result["fault"]
        elif trial_id in self.stopping:
            outcome = self.stopping.pop(trial_id)
            self.guarded(lambda: self.trials.tell(candidate, outcome))
        elif result.get("outcome") is not None:
            self.guarded(lambda: self.trials.tell(candidate, result["outcome"]))
        elif trial_id not in self.started:
            self.fault = self.fault or InputError(_cannot_start(self.error))
        else:
            self.guarded(lambda: self.trials.tell(candidate, _dead(idle_s, self.hard_limit_s)))
        self.started.discard(trial_id)


class _Ask(Searcher):
    """Tune's Searcher: asks the source for candidates, and tells it their outcomes."""

    def __init__(self, state: _RunState) -> None:
        super().__init__()
        self._state = state

    def suggest(self, trial_id: str) -> Any:
        candidate = self._state.ask(trial_id)
        if candidate is not None:
            return {"candidate": candidate}
        return None if self._state.live else Searcher.FINISHED

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        self._state.finish(trial_id, None if error else result)

    def __getstate__(self) -> dict[str, Any]:
        """Leave everything out of Tune's snapshots, in particular secrets in URLs."""
        return {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        raise NotImplementedError("Start the search again instead: the study knows where it was.")

    def save(self, checkpoint_path: str) -> None:
        Path(checkpoint_path).touch()

    def restore(self, checkpoint_path: str) -> None:
        raise NotImplementedError("Start the search again instead: the study knows where it was.")


class _Clock(tune.Callback):
    """Records when a worker starts with a candidate: starting a worker can take long."""

    def __init__(self, state: _RunState) -> None:
        self._state = state

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        if has_died():
            raise _RayLost

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._state.heartbeat(trial.trial_id)
        self._state.started.add(trial.trial_id)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._state.started.discard(trial.trial_id)

    def __getstate__(self) -> dict[str, Any]:
        return {}


class _Rungs(FIFOScheduler):
    """Stops a candidate at a rung if the source says so."""

    def __init__(self, state: _RunState) -> None:
        super().__init__()
        self._state = state

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        stop = "partial" in result and self._state.at_rung(trial.trial_id, result)
        return TrialScheduler.STOP if stop else TrialScheduler.CONTINUE

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        with suppress(OSError):  # written before `_Ask` is called
            self._state.error = Path(trial.error_file).read_text(encoding="utf-8")

    def __getstate__(self) -> dict[str, Any]:
        return {}


def _worker(evaluate: Evaluate, threads: int, hard_limit_s: float | None) -> type[tune.Trainable]:
    """Make the class of the workers."""

    class Worker(tune.Trainable):
        """Evaluates one candidate after the other, one rung at a step."""

        def setup(self, config: dict[str, Any]) -> None:
            for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):  # read when torch is imported
                os.environ[name] = str(threads)
            if "torch" in sys.modules:
                sys.modules["torch"].set_num_threads(threads)
            self._start(config)

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self._evaluation.close()
            self._start(new_config)
            return True

        def cleanup(self) -> None:
            self._evaluation.close()

        def _start(self, config: dict[str, Any]) -> None:
            self._evaluation: Evaluation = evaluate(config["candidate"])

        def step(self) -> dict[str, Any]:
            with _exit_after(hard_limit_s):
                try:
                    return {"partial": next(self._evaluation)}
                except StopIteration as end:
                    return {"outcome": end.value, "done": True}
                except DeviceLost:
                    os._exit(1)
                except Exception as fault:  # not the candidate's fault: the search must stop
                    known = isinstance(fault, InputError)
                    return {"fault": fault if known else RuntimeError(repr(fault)), "done": True}

    return Worker


def _with_setup(evaluate: Evaluate, worker_setup: WorkerSetup | None) -> Evaluate:
    """Let each worker provide its data before its first candidate.

    Ray copies an object of its store to a machine once, and only if a worker asks for it.
    """
    if worker_setup is None:
        return evaluate
    packed, setup = ray.put(np.fromfile(worker_setup.file, np.uint8)), worker_setup
    is_set_up: list[bool] = []  # one list in each worker

    def evaluate_with_setup(candidate: Candidate) -> Evaluation:
        if not is_set_up:
            setup.ensure_local(lambda: ray.get(packed))
            is_set_up.append(True)
        return (yield from evaluate(candidate))

    return evaluate_with_setup


@contextmanager
def _exit_after(seconds: float | None) -> Iterator[None]:
    """Exit this process if the block takes longer: nothing less stops a hung kernel.

    The timer is a native thread: native code that hangs may hold the interpreter's lock.
    """
    if seconds is None:
        yield
        return
    with Path(os.devnull).open("w") as devnull:
        faulthandler.dump_traceback_later(seconds, exit=True, file=devnull)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()


def _dead(idle_s: float, hard_limit_s: float | None) -> Broken:
    """Return the outcome of a candidate whose second worker has died."""
    if hard_limit_s is not None and idle_s >= hard_limit_s:
        return Broken("time_limit", f"it did not respond for {hard_limit_s:.0f} s")
    return Broken("error", "its worker process died twice, perhaps out of memory")


_RAY_LOST = "A process of Ray has been killed: nothing is lost, run the same command again."


def _cannot_start(error: str) -> str:
    """Explain why workers cannot start; a worker may also have been killed while it started."""
    line = _last_line(error)
    if "cancelled before it started" in line or "Worker unexpectedly exits" in line:
        return _RAY_LOST
    return (
        f"Ray's workers cannot start ({line}): they need this package, your plugins and enough "
        "memory, on every machine of a cluster."
    )


def _last_line(error: str) -> str:
    lines = [line.strip() for line in error.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "Ray does not say why"
