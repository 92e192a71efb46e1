"""Where a study's time went."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from studies.outcome import Rejected, Trained
from studies.record import Record


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds; the first three are sums over candidates, of which several may run at once.

    Attributes:
        training_s: Training, with the looks at held-out pictures on its way.
        measuring_s: What else evaluating took: costs, runtimes, the last look.
        overhead_s: Waiting for a worker, and writing results down.
        wall_s: Time in which at least one candidate was under way.
    """

    training_s: float
    measuring_s: float
    overhead_s: float
    wall_s: float

    @property
    def total_s(self) -> float:
        """Training, measuring and overhead of all candidates."""
        return self.training_s + self.measuring_s + self.overhead_s

    @property
    def at_once(self) -> float:
        """How many candidates were under way at once, on average."""
        return self.total_s / self.wall_s if self.wall_s else 0.0


def spent(records: Iterable[Record]) -> Spent:
    """Add up what the records say. Duplicates and unfinished candidates are left out."""
    training = evaluating = held = 0.0
    spans = []
    for record in records:
        outcome = record.outcome
        if outcome is None or record.duplicate_of is not None:
            continue
        evaluating += outcome.seconds
        if isinstance(outcome, Trained | Rejected) and outcome.curve:
            training += min(outcome.curve[-1].seconds, outcome.seconds)
        if record.started is not None and record.finished is not None:
            spans.append((record.started, record.finished))
            # A clock that was set back must not make time vanish.
            held += max(record.finished - record.started, outcome.seconds)
        else:
            held += outcome.seconds
    return Spent(training, evaluating - training, held - evaluating, _union(spans))


def _union(spans: Iterable[tuple[float, float]]) -> float:
    """The length of what the spans cover together."""
    covered, reached = 0.0, float("-inf")
    for begin, end in sorted(spans):
        covered += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return covered
