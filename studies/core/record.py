"""Records of trials, their counts, and their violations of the limits."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass

from studies.core.budget import Budget
from studies.core.candidate import Candidate
from studies.core.outcome import Broken, Outcome, Rejected, Trained

BROKEN_VIOLATION = 1.0
"""Of a broken candidate: as of one at e times a limit, so that the sampler avoids it more than a
near miss."""

LEAST_SHORTFALL = 1e-6
"""Violation of a network whose gain over Lanczos is exactly zero."""


@dataclass(frozen=True, slots=True)
class Record:
    """One trial of a study.

    Attributes:
        candidate: The candidate.
        outcome: Its outcome; None while it is being evaluated.
        duplicate_of: The trial with an equal deploy form that was evaluated instead.
        retry_of: The trial of a killed run that this one repeats.
        started: Seconds since the epoch.
        finished: The same; None while it is being evaluated.
        repeats: Gains in dB of further trainings with other seeds; see `studies.repeats`.
        tints: Whether its colour is over the study's limit, which excludes it from fronts.
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
    """Number of trials by status; duplicates count as such only."""

    trained: int = 0
    stopped: int = 0
    rejected: int = 0
    broken: int = 0
    duplicates: int = 0
    running: int = 0

    @property
    def done(self) -> int:
        """What ``--trials`` counts: candidates trained to the end or stopped at a rung.

        Candidates rejected before training, broken ones and duplicates do not count.
        """
        return self.trained + self.stopped

    def __add__(self, other: Counts) -> Counts:
        """Add the counts."""
        return Counts(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


def count(records: Iterable[Record]) -> Counts:
    """Count the records by status."""
    tally = dict.fromkeys(Counts.__dataclass_fields__, 0)
    for record in records:
        tally[_status(record)] += 1
    return Counts(**tally)


def violations(outcome: Outcome, budget: Budget) -> dict[str, float]:
    """Return the constraint values of an outcome; above zero is violated.

    One for every limit (see `Budget.violations`), because GP needs equally many of all trials; zero
    for an unknown figure. One for a gain at or below Lanczos, and one for broken.
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
    """Explain in one sentence why none of these candidates was trained, with advice.

    ``contradiction`` says why the last choices without a candidate contradict each other.
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


def _status(record: Record) -> str:
    if record.outcome is None:
        return "running"
    if record.duplicate_of is not None:
        return "duplicates"
    if isinstance(record.outcome, Trained):
        return "trained"
    if isinstance(record.outcome, Broken):
        return "broken"
    return "stopped" if record.outcome.limit == "rung" else "rejected"
