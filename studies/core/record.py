"""What a study knows of each trial, and the counts that follow from it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass

from studies.core.budget import Budget
from studies.core.candidate import Candidate
from studies.core.outcome import Broken, Outcome, Rejected, Trained

BROKEN_VIOLATION = 1.0
"""A broken candidate is as bad to the sampler as one at e times a limit: worse than a near miss."""


LEAST_SHORTFALL = 1e-6
"""Violation of a network that adds exactly nothing to Lanczos: it is no result either."""


@dataclass(frozen=True, slots=True)
class Record:
    """One trial of a study.

    Attributes:
        candidate: What was asked for.
        outcome: What became of it; None while it is being evaluated.
        duplicate_of: The trial whose equal architecture gave the outcome, when it was not
            evaluated itself.
        retry_of: The trial that a killed run left unfinished, when this one is its repetition.
        started: Seconds since the epoch.
        finished: The same; None while it is being evaluated.
        repeats: Gains in dB of further trainings with other seeds; see `studies.repeats`.
        tints: Whether it was trained and its colour is over the study's limit: no front has it.
    """

    candidate: Candidate
    outcome: Outcome | None = None
    duplicate_of: int | None = None
    retry_of: int | None = None
    started: float | None = None
    finished: float | None = None
    repeats: tuple[float, ...] = ()
    tints: bool = False

    @property
    def trial(self) -> int:
        """The number of the trial."""
        return self.candidate.trial

    @property
    def counts_as_trained(self) -> bool:
        """Whether it counts for ``--trials``: see `Counts.done`."""
        own = self.duplicate_of is None
        stopped = isinstance(self.outcome, Rejected) and self.outcome.limit == "rung"
        return own and (stopped or isinstance(self.outcome, Trained))


@dataclass(frozen=True, slots=True)
class Counts:
    """How many trials ended in which way; duplicates are counted apart and nowhere else."""

    trained: int = 0
    stopped: int = 0
    rejected: int = 0
    broken: int = 0
    duplicates: int = 0
    running: int = 0

    @property
    def done(self) -> int:
        """What ``--trials`` counts: candidates trained to the end or stopped at a rung.

        Candidates rejected before training, broken ones and duplicates cost no full training and
        do not count.
        """
        return self.trained + self.stopped

    def __add__(self, other: Counts) -> Counts:
        """Count the trials of both."""
        return Counts(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


def count(records: Iterable[Record]) -> Counts:
    """Count the records by what became of them."""
    tally = dict.fromkeys(Counts.__dataclass_fields__, 0)
    for record in records:
        tally[_bin(record)] += 1
    return Counts(**tally)


def violations(outcome: Outcome, budget: Budget) -> dict[str, float]:
    """Return how far an outcome is over each limit, below Lanczos, or broken; above zero is bad.

    The figures are natural logarithms of figure over limit, and decibels of colour (see
    `Budget.violations`). There is one for every limit, because GP wants equally many of all trials;
    a figure that was never found counts as neither over nor under.
    """
    colour_gain_db = outcome.colour_gain_db if isinstance(outcome, Trained) else None
    over = budget.violations(
        runtime_ms=outcome.runtime.ms if outcome.runtime else None,
        macs=outcome.size.macs if outcome.size else None,
        params=outcome.size.params if outcome.size else None,
        memory_mb=outcome.size.memory_mb if outcome.size else None,
        colour_loss_db=None if colour_gain_db is None else -colour_gain_db,
    )
    limits = [name for name, limit in budget.limits.items() if limit is not None]
    sign = 1.0 if isinstance(outcome, Broken) else -1.0
    gain_db = outcome.gain_db if isinstance(outcome, Trained) else math.inf
    found = {name: over.get(name, 0.0) for name in limits}
    found["lanczos"] = max(-gain_db, -1.0) if gain_db else LEAST_SHORTFALL
    return found | {"broken": sign * BROKEN_VIOLATION}


def explain_no_results(recent: Sequence[Record], budget: Budget, contradiction: str | None) -> str:
    """One sentence on why none of these candidates was trained, and what to do about it.

    ``contradiction`` is what the last choices had against each other that made no candidate.
    """
    over = [r.outcome for r in recent if isinstance(r.outcome, Rejected)]
    broken = [r.outcome for r in recent if isinstance(r.outcome, Broken)]
    reasons = []
    for limit in ("runtime_ms", "macs", "params", "memory_mb"):
        hits = [outcome for outcome in over if outcome.limit == limit]
        if hits:
            nearest = min(hits, key=lambda outcome: outcome.value)
            reasons.append(f"{len(hits)} over a limit, the nearest with {nearest.reason}")
    if broken:
        reasons.append(f"{len(broken)} broken, the last because {broken[-1].reason}")
    duplicates = sum(r.duplicate_of is not None for r in recent)
    if duplicates:
        reasons.append(f"{duplicates} duplicates")
    if contradiction:
        reasons.append(f"choices that contradict each other, the last because {contradiction}")
    return (
        f"The search ended early: nothing of late could be trained "
        f"({'; '.join(reasons)}); relax the budget ({budget}) or widen the space."
    )


def _bin(record: Record) -> str:
    if record.outcome is None:
        return "running"
    if record.duplicate_of is not None:
        return "duplicates"
    if isinstance(record.outcome, Trained):
        return "trained"
    if isinstance(record.outcome, Broken):
        return "broken"
    return "stopped" if record.outcome.limit == "rung" else "rejected"
