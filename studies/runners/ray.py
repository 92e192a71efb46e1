"""The runner on Ray Tune: candidates in worker processes, here or on a cluster.

Tune only executes. What to evaluate and what became of it passes through `_Ask`, a Searcher of
our own that keeps nothing: the study is the single truth, resuming is running again, and Tune's
own snapshots are never read. With `studies.runners.ray_session`, the only module that imports Ray.
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
from studies.runners.base import Desk, Supply
from studies.runners.ray_session import Session, has_died, ray, running, scratch

from ray import tune  # isort: skip  # after the module that tells Ray to be quiet
from ray.tune.schedulers import FIFOScheduler, TrialScheduler  # isort: skip
from ray.tune.search import Searcher  # isort: skip

T = TypeVar("T")

# To count our callback for a report of use that is switched off, Tune would import MLflow, most
# of a second of the processor before the first candidate.
with suppress(ImportError):  # it is Ray's own business, and may move
    from ray.air._internal import usage

    vars(usage)["tag_callbacks"] = lambda callbacks: False

# Workers inherit the environment of the Ray that is started here. Tune would hand variables on to
# them as well, for which Ray would start other workers than those it has ready.
with suppress(ImportError):
    from ray.tune.execution import class_cache


@dataclass(frozen=True, slots=True)
class RayRunner:
    """Evaluates candidates in Ray workers that are kept from one candidate to the next.

    Attributes:
        concurrency: How many candidates at once.
        gpus_each: Share of a GPU for each; 0 leaves Ray's workers without one.
        cpus_each: CPU cores for each, and so its number of threads.
        address: Of a running Ray cluster; None starts Ray on this machine and ends it afterwards.
        hard_limit_s: A worker that gives no sign for so long is ended; None waits for ever.
        supply: What workers need on machines that do not see the driver's files.
    """

    concurrency: int = 1
    gpus_each: float = 0.0
    cpus_each: int = 1
    address: str | None = None
    hard_limit_s: float | None = None
    supply: Supply | None = None

    def run(self, evaluate: Evaluate, desk: Desk) -> None:
        """Evaluate candidates until the desk has no more; see `Runner.run`.

        A worker that dies takes its candidate along once: it is tried again in a new worker, and
        broken when that one dies too.
        """
        if self.address is None:
            vars(class_cache).update(DEFAULT_ENV_VARS={}, ENV_VARS_TO_PROPAGATE=())
        session = Session(self.address, self.concurrency * self.cpus_each, self.gpus_each > 0)
        with running(session), scratch("tune") as folder:
            guard = _Guard(desk, self.hard_limit_s)
            # Ray would wait for GPUs that it does not find, without NVIDIA's management library
            # say; workers see all that there are even so.
            gpus = self.gpus_each if ray.cluster_resources().get("GPU", 0) else 0.0
            worker = tune.with_resources(
                _worker(_supplied(evaluate, self.supply), self.cpus_each, self.hard_limit_s),
                {"cpu": self.cpus_each, "gpu": gpus},
            )
            tuner = tune.Tuner(
                worker,
                tune_config=tune.TuneConfig(
                    search_alg=_Ask(guard),
                    scheduler=_Rungs(guard),
                    num_samples=-1,
                    max_concurrent_trials=self.concurrency,
                    reuse_actors=True,
                    trial_dirname_creator=lambda trial: trial.trial_id,
                ),
                run_config=tune.RunConfig(
                    storage_path=str(folder),
                    verbose=0,
                    callbacks=[_Clock(guard)],
                    failure_config=tune.FailureConfig(max_failures=1),
                    checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                ),
            )
            try:
                tuner.fit()
            except _Gone:
                raise InputError(_GONE) from None
            if guard.fault is not None:
                raise guard.fault


class _Gone(BaseException):
    """Ray is gone. No `Exception`, because Tune would tidy up after one, with what is gone."""


class _Guard:
    """The desk as Tune's callbacks need it: an exception there would end in a stack trace.

    The first fault is kept for the runner to raise, and from then on there is no more work.
    """

    def __init__(self, desk: Desk, hard_limit_s: float | None) -> None:
        self.desk = desk
        self.hard_limit_s = hard_limit_s
        self.live: dict[str, Candidate] = {}
        self.signs: dict[str, float] = {}  # of life, since the newest worker has started
        self.begun: set[str] = set()  # whose newest worker has started
        self.stopping: dict[str, Outcome] = {}
        self.error = ""
        self.fault: BaseException | None = None

    def total(self, call: Callable[[], T]) -> T | None:
        """Return what ``call`` returns, None when it or anything before it failed."""
        if self.fault is not None:
            return None
        try:
            return call()
        except Exception as fault:
            self.fault = fault
            return None

    def ask(self, trial_id: str) -> Candidate | None:
        if self.live and not self.begun:
            return None  # an ask may take seconds, and Tune lets the first candidate wait for it
        candidate = self.total(self.desk.ask)
        if candidate is not None:
            self.live[trial_id] = candidate
            self.sign(trial_id)
        return candidate

    def sign(self, trial_id: str) -> None:
        self.signs[trial_id] = time.monotonic()

    def at_rung(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Say whether to stop."""
        self.sign(trial_id)
        candidate, partial_result = self.live[trial_id], result["partial_result"]
        outcome = self.total(lambda: self.desk.at_rung(candidate, partial_result))
        if outcome is not None:
            self.stopping[trial_id] = outcome
        return outcome is not None or self.fault is not None

    def finish(self, trial_id: str, result: dict[str, Any] | None) -> None:
        candidate = self.live.pop(trial_id)
        silent_s = time.monotonic() - self.signs.pop(trial_id)
        result = result or {}
        if result.get("fault") is not None:
            self.fault = self.fault or result["fault"]
        elif trial_id in self.stopping:
            outcome = self.stopping.pop(trial_id)
            self.total(lambda: self.desk.tell(candidate, outcome))
        elif result.get("outcome") is not None:
            self.total(lambda: self.desk.tell(candidate, result["outcome"]))
        elif trial_id not in self.begun:  # it has not even been looked at
            self.fault = self.fault or InputError(_cannot_start(self.error))
        else:
            self.total(lambda: self.desk.tell(candidate, _dead(silent_s, self.hard_limit_s)))
        self.begun.discard(trial_id)


class _Ask(Searcher):
    """Asks and tells the desk on Tune's behalf."""

    def __init__(self, guard: _Guard) -> None:
        super().__init__()
        self._guard = guard

    def suggest(self, trial_id: str) -> Any:
        candidate = self._guard.ask(trial_id)
        if candidate is not None:
            return {"candidate": candidate}
        return None if self._guard.live else Searcher.FINISHED

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        self._guard.finish(trial_id, None if error else result)

    def __getstate__(self) -> dict[str, Any]:
        """Leave everything out of Tune's snapshots, secrets in URLs above all."""
        return {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        raise NotImplementedError("Start the search again instead: the study knows where it was.")

    def save(self, checkpoint_path: str) -> None:
        Path(checkpoint_path).touch()

    def restore(self, checkpoint_path: str) -> None:
        raise NotImplementedError("Start the search again instead: the study knows where it was.")


class _Clock(tune.Callback):
    """Notes when a worker begins with a candidate: starting one can take long by itself."""

    def __init__(self, guard: _Guard) -> None:
        self._guard = guard

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        if has_died():
            raise _Gone

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._guard.sign(trial.trial_id)
        self._guard.begun.add(trial.trial_id)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._guard.begun.discard(trial.trial_id)

    def __getstate__(self) -> dict[str, Any]:
        return {}


class _Rungs(FIFOScheduler):
    """Stops a candidate at a rung when the desk says so."""

    def __init__(self, guard: _Guard) -> None:
        super().__init__()
        self._guard = guard

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        stop = "partial_result" in result and self._guard.at_rung(trial.trial_id, result)
        return TrialScheduler.STOP if stop else TrialScheduler.CONTINUE

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        with suppress(OSError):  # it is written before `_Ask` hears of the error
            self._guard.error = Path(trial.error_file).read_text(encoding="utf-8")

    def __getstate__(self) -> dict[str, Any]:
        return {}


def _worker(evaluate: Evaluate, threads: int, hard_limit_s: float | None) -> type[tune.Trainable]:
    """Make the class whose instances live in the workers."""

    class Worker(tune.Trainable):
        """Steps the evaluation of one candidate from rung to rung, then of the next."""

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
            with _ended_after(hard_limit_s):
                try:
                    return {"partial_result": next(self._evaluation)}
                except StopIteration as end:
                    return {"outcome": end.value, "done": True}
                except DeviceLost:
                    os._exit(1)
                except Exception as fault:  # not the candidate's: the search must stop
                    known = isinstance(fault, InputError)
                    return {"fault": fault if known else RuntimeError(repr(fault)), "done": True}

    return Worker


def _supplied(evaluate: Evaluate, supply: Supply | None) -> Evaluate:
    """Have each worker see to its supply before its first candidate.

    Ray brings what is put into its store to a machine once, and only where somebody asks for it.
    """
    if supply is None:
        return evaluate
    packed, here = ray.put(np.fromfile(supply.file, np.uint8)), supply
    supplied: list[bool] = []  # in a worker: of its own

    def evaluate_supplied(candidate: Candidate) -> Evaluation:
        if not supplied:
            here.receive(lambda: ray.get(packed))
            supplied.append(True)
        return (yield from evaluate(candidate))

    return evaluate_supplied


@contextmanager
def _ended_after(seconds: float | None) -> Iterator[None]:
    """End this process when the block takes longer: nothing less stops a hung kernel.

    The watch is a thread without Python: native code that hangs may hold the interpreter's lock.
    """
    if seconds is None:
        yield
        return
    with Path(os.devnull).open("w") as nowhere:
        faulthandler.dump_traceback_later(seconds, exit=True, file=nowhere)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()


def _dead(silent_s: float, hard_limit_s: float | None) -> Broken:
    """What has become of a candidate whose second worker is gone as well."""
    if hard_limit_s is not None and silent_s >= hard_limit_s:
        return Broken("time_limit", f"it gave no sign for {hard_limit_s:.0f} s")
    return Broken("error", "its worker process died twice, perhaps for want of memory")


_GONE = "A process of Ray has been killed: nothing is lost, run the same command again."


def _cannot_start(error: str) -> str:
    """Tell workers that cannot start from those killed meanwhile, and from a Ray that is gone."""
    line = _last_line(error)
    if "cancelled before it started" in line or "Worker unexpectedly exits" in line:
        return _GONE
    return (
        f"Ray's workers cannot start ({line}): they need this package, your plugins and enough "
        "memory, on every machine of a cluster."
    )


def _last_line(error: str) -> str:
    lines = [line.strip() for line in error.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "Ray does not say why"
