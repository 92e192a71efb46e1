"""What a search would do, found out without doing it: ``nas search --dry-run``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
import torch

from nas.common.errors import InputError
from nas.common.text import Expected, Progress, expected, silent, until
from nas.measure.cost.counts import count
from nas.measure.latency.target import Target
from nas.training.proxy.proxy import run_proxy
from search_spaces.architecture import Architecture
from search_spaces.space import Space
from studies.core.budget import Budget
from studies.core.parameters import draws
from studies.evaluation import EvaluationSettings, load_data
from studies.settings import SearchSettings
from studies.setup import Prepared, prepare

_DRAWN = 24  # enough for a first idea of how much of the space the budget leaves
_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Sample:
    """A candidate drawn at random from the space.

    Attributes:
        name: The label of its architecture.
        runtime_ms: For one 540x960 picture.
        macs_g: Multiply-accumulates in units of 1e9.
        params: Parameters of the deploy form.
        memory_mb: Peak memory of an eager pass in units of 1e6 bytes.
        verdict: ``within`` or by how much it is over a limit.
    """

    name: str
    runtime_ms: float
    macs_g: float
    params: int
    memory_mb: float
    verdict: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What a search would do.

    Attributes:
        study: Name of its study.
        space: Name of its space.
        size: Number of parameter sets in the space.
        known: Published networks that are among the trainings, a third of these at most.
        budget: The limits, for people.
        trials: Candidates to train; None for no limit.
        time_s: Seconds to search for; None for no limit.
        concurrency: Candidates at once.
        steps: Training steps of each.
        share_within: Share of the drawn candidates that are within the budget.
        seconds_each: Estimated seconds to train and measure one.
        trainings: Estimated number of candidates that are trained.
        seconds: Estimated seconds for all of them, without what was trained before.
        runtime_kind: ``measured`` or ``predicted``.
        notes: What to read first.
        samples: Some of the drawn candidates.
    """

    study: str
    space: str
    size: int
    known: tuple[str, ...]
    budget: str
    trials: int | None
    time_s: float | None
    concurrency: int
    steps: int
    share_within: float
    seconds_each: float
    trainings: int
    seconds: float
    runtime_kind: str
    notes: tuple[str, ...]
    samples: tuple[Sample, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as JSON."""
        return asdict(self)

    def lines(self) -> tuple[str, ...]:
        """Return the plan for people, without its samples."""
        known = ", ".join(self.known) or "none"
        return (
            f"study {self.study}: {until(self.trials, self.time_s)}, {self.steps} steps each, "
            f"{self.concurrency} at once",
            f"space {self.space}: {self.size:,} parameter sets, "
            f"{self.share_within:.0%} of {_DRAWN} drawn are within {self.budget}",
            f"layouts of known networks among them: {known}",
            *self.notes,
            f"expected {Expected(self.trainings, self.seconds_each, self.seconds)}",
        )


def plan(settings: SearchSettings, progress: Progress = silent) -> Plan:
    """Find out what a search would do; nothing is written but what the cache keeps.

    Raises:
        InputError: As the search itself would.
    """
    prepared = prepare(settings, progress)
    study, evaluation = prepared.study, prepared.evaluation
    drawn = list(islice(_architectures(study.space, study.seed), _DRAWN))
    samples = []
    for done, architecture in enumerate(drawn, start=1):
        samples.append(_sample(architecture, evaluation.target, study.budget))
        progress(done, _DRAWN, "costs and runtimes")
    pairs = list(zip(drawn, samples, strict=True))
    within = [pair for pair in pairs if pair[1].verdict == "within"]
    each = _seconds_each(_middle(within or pairs), prepared)
    found = expected(study.trials, settings.period_s, each, prepared.concurrency)
    assert found is not None  # one of the two is given
    return Plan(
        study=study.name,
        space=study.space.name,
        size=study.space.size,
        known=tuple(study.known)[: max(1, found.trainings // 3)],
        budget=str(study.budget),
        trials=study.trials,
        time_s=settings.period_s,
        concurrency=prepared.concurrency,
        steps=evaluation.proxy.steps,
        share_within=len(within) / len(pairs),
        seconds_each=each,
        trainings=found.trainings,
        seconds=found.seconds,
        runtime_kind=evaluation.target.kind,
        notes=(*prepared.notes, *prepared.slack()),
        samples=tuple(samples[:_SHOWN]),
    )


def _architectures(space: Space, seed: int) -> Iterator[Architecture]:
    for parameters in draws(space, seed):
        with suppress(InputError):  # the space is a product: some of its corners contradict
            yield space.architecture(parameters)


def _sample(architecture: Architecture, target: Target, budget: Budget) -> Sample:
    counted, latency = count(architecture), target.latency(architecture)
    timed = count(architecture, target.height, target.width, target.precision)
    memory_mb = latency.details.get("memory_mb", timed.memory_mb)
    over = budget.violations(
        runtime_ms=latency.ms, macs=counted.macs, params=counted.params, memory_mb=memory_mb
    )
    worst = max(over, key=lambda name: over[name], default="")
    fits = not worst or over[worst] <= 0
    verdict = "within" if fits else f"{np.exp(over[worst]):.2f}x the limit of {worst}"
    return Sample(
        architecture.label, latency.ms, counted.macs / 1e9, counted.params, memory_mb, verdict
    )


def _middle(pairs: list[tuple[Architecture, Sample]]) -> Architecture:
    """Return the one of median MACs, for they are what training time follows most."""
    return sorted(pairs, key=lambda pair: pair[1].macs_g)[len(pairs) // 2][0]


def _seconds_each(architecture: Architecture, prepared: Prepared) -> float:
    """Time a few steps of training and an evaluation, and scale them up."""
    evaluation = replace(prepared.evaluation, teacher=None)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in a worker
    try:
        few, more = (_timed(architecture, evaluation, steps) for steps in (3, 13))
    finally:
        torch.set_num_threads(threads)
    step = max(more - few, 0.0) / 10
    evaluating = max(few - 3 * step, 0.0) * (len(evaluation.rungs) + 1)
    return step * evaluation.proxy.steps + evaluating


def _timed(architecture: Architecture, evaluation: EvaluationSettings, steps: int) -> float:
    data = load_data(evaluation.data, evaluation.teacher, evaluation.device)
    proxy = replace(evaluation.proxy, steps=steps)
    begin = time.perf_counter()
    for _ in run_proxy(architecture, data, proxy):
        pass
    return time.perf_counter() - begin
