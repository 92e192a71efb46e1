"""Training shares a device and measuring has it alone, across processes."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import nas.measure.device_lock
from nas.measure.device_lock import Turns, exclusive
from nas.measure.latency.target import resolve_target
from nas.training.proxy.proxy import ProxySettings
from search_spaces import Architecture, Stage
from studies.core.candidate import Candidate, Evaluation
from studies.core.outcome import Outcome, PartialResult, Rejected, Trained
from studies.evaluation import EvaluationSettings, evaluate


def _train(device, ready, stop):
    with Turns(device) as turns:
        while not stop.is_set():
            turns.next()
            ready.set()
            time.sleep(0.01)


def test_whoever_measures_gets_a_turn_from_two_who_train(monkeypatch):
    monkeypatch.setattr(nas.measure.device_lock, "_TURN_S", 0.2)
    context = multiprocessing.get_context("fork")
    stop, ready = context.Event(), [context.Event() for _ in range(2)]
    trainers = [context.Process(target=_train, args=("meta", r, stop), daemon=True) for r in ready]
    for trainer, begun in zip(trainers, ready, strict=True):
        trainer.start()
        assert begun.wait(20)
    try:
        for _ in range(3):
            with exclusive("meta"):
                for begun in ready:
                    begun.clear()
                time.sleep(0.3)
                assert not any(begun.is_set() for begun in ready), "nobody trains meanwhile"
    finally:
        stop.set()
    for trainer in trainers:
        trainer.join(20)
        assert trainer.exitcode == 0


def test_a_released_device_is_free(monkeypatch):
    with Turns("meta") as turns:
        turns.next()
        turns.release()
        with exclusive("meta"):
            pass
        turns.next()
    with exclusive("meta"):
        pass


# Trials of Ray, which measure on the CPU and train on it, as in a search with --target cpu


@dataclass(frozen=True)
class Noted:
    """Evaluates as searches do, and notes when a worker measured and when it used the CPU to train:
    for each step, and for the calibration before them."""

    settings: EvaluationSettings
    log: Path

    def __call__(self, candidate: Candidate) -> Evaluation:
        steps = self.settings.proxy.steps if candidate.trial == 0 else 3
        settings = replace(self.settings, proxy=replace(self.settings.proxy, steps=steps))
        with self._watched(candidate.trial):
            return (yield from evaluate(candidate, settings))

    @contextmanager
    def _watched(self, trial: int):
        from nas.measure.latency import measure
        from nas.training.proxy import proxy
        from nas.training.proxy.step import Learner

        hold, learn, start = measure.exclusive, Learner.learn, proxy.starting_network

        @contextmanager
        def held(device):
            with hold(device), self._noted(trial, "measured"):
                yield

        def learned(*arguments):
            with self._noted(trial, "step"):
                return learn(*arguments)

        def started(*arguments):
            with self._noted(trial, "calibrated"):
                return start(*arguments)

        measure.exclusive, Learner.learn, proxy.starting_network = held, learned, started
        try:
            yield
        finally:
            measure.exclusive, Learner.learn, proxy.starting_network = hold, learn, start

    @contextmanager
    def _noted(self, trial: int, what: str):
        begin = time.monotonic()  # the same clock in all processes
        yield
        note = {"trial": trial, "what": what, "begin": begin, "end": time.monotonic()}
        with self.log.open("a") as lines:
            lines.write(json.dumps(note) + "\n")


@dataclass
class LongBesideShort:
    """A desk with a long candidate, trial 0, and short ones: two of these are asked for once the
    long one trains, and it is ended two rungs after the last of them."""

    waiting: list[Candidate]
    told: dict[int, Outcome] = field(default_factory=dict)
    rungs: int = 0
    rungs_alone: int = 0

    def ask(self) -> Candidate | None:
        ready = self.waiting and (self.rungs or self.waiting[0].trial < 2)
        return self.waiting.pop(0) if ready else None

    def tell(self, candidate: Candidate, outcome: Outcome) -> None:
        self.told[candidate.trial] = outcome

    def at_rung(self, candidate: Candidate, partial_result: PartialResult) -> Outcome | None:
        assert candidate.trial == 0
        self.rungs += 1
        self.rungs_alone += self.told.keys() == {1, 2, 3}
        if self.rungs_alone < 2:
            return None
        gain_db = partial_result.rung.gain_db
        return Rejected("rung", gain_db, gain_db + 1, partial_result.runtime, partial_result.size)


def test_trials_that_train_pause_while_another_measures(pair_set, tmp_path, monkeypatch):
    monkeypatch.setenv("NAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # workers import this module
    from studies.runners.ray import RayRunner

    settings = EvaluationSettings(
        resolve_target("cpu", height=24, width=32, threads=1),
        pair_set.path,
        proxy=ProxySettings(steps=100_000, batch=2, patch=24),
        rungs=tuple(range(20, 100_000, 20)),
    )
    # Of different widths: equal ones would be measured once.
    widths = [Architecture(width=width, stages=(Stage("conv", width),)) for width in (4, 6, 8, 10)]
    desk = LongBesideShort([Candidate(trial, a) for trial, a in enumerate(widths)])
    RayRunner(2).run(Noted(settings, tmp_path / "log"), desk)

    assert isinstance(desk.told.pop(0), Rejected)
    assert all(isinstance(outcome, Trained) for outcome in desk.told.values())
    notes = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    measured = [note for note in notes if note["what"] == "measured"]
    steps = [note for note in notes if note["what"] == "step"]
    assert sorted(note["trial"] for note in measured) == [0, 1, 2, 3]
    for alone in measured:
        for other in notes:
            assert other is alone or not _overlap(alone, other), (alone, other)
    long = [step for step in steps if step["trial"] == 0]
    between = [m for m in measured if long[0]["end"] < m["begin"] and m["end"] < long[-1]["begin"]]
    assert len(between) >= 2  # it paused for others, and went on


def _overlap(one, other) -> bool:
    return one["begin"] < other["end"] and other["begin"] < one["end"]
