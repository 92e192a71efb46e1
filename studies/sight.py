"""What of a front's figures is in sight: axes chosen by a study's own points."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from studies.front import Member
from studies.limits import Budget
from studies.record import Record

_LEAST_DB = 0.02  # height of a front that is hardly above Lanczos
_MARGIN = 0.08  # of the height; and in decades of runtime


@dataclass(frozen=True, slots=True)
class Sight:
    """The ranges of two axes.

    Attributes:
        runtimes_ms: Lowest and highest runtime.
        gains_db: Lowest and highest gain.
    """

    runtimes_ms: tuple[float, float]
    gains_db: tuple[float, float]

    def holds(self, runtime_ms: float, gain_db: float) -> bool:
        """Say whether a point is in sight."""
        (fast, slow), (low, high) = self.runtimes_ms, self.gains_db
        return fast <= runtime_ms <= slow and low <= gain_db <= high


def sight(members: Sequence[Member], runtimes_ms: Iterable[float]) -> Sight:
    """Return axes on which these members are in sight, with Lanczos and further runtimes.

    What seeds change of a gain is in sight too. What is farther below Lanczos than the best is
    above it is not: it would flatten the rest.
    """
    times = [*(member.runtime_ms for member in members), *runtimes_ms] or [1.0]
    spreads = [(member.gain_db, member.gain_sd_db or 0.0) for member in members]
    best = max((gain + sd for gain, sd in spreads), default=0.0)
    floor = min(best, 0.0) - max(abs(best), _LEAST_DB)
    low = max(min([0.0, *(gain - sd for gain, sd in spreads)]), floor)
    high = max(best, _LEAST_DB)
    pad = _MARGIN * (high - low)
    wider = 10**_MARGIN
    return Sight((min(times) / wider, max(times) * wider), (low - pad, high + pad))


def study_sight(members: Sequence[Member], records: Sequence[Record], budget: Budget) -> Sight:
    """Return axes for a study: for what it trained, every runtime it met, and its limit."""
    outcomes = [record.outcome for record in records if record.outcome is not None]
    runtimes = [outcome.runtime.ms for outcome in outcomes if outcome.runtime is not None]
    if budget.runtime_ms is not None:
        runtimes.append(budget.runtime_ms)
    return sight(members, runtimes)
