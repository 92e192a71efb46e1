"""What every figure of a front shows: axes chosen by a study's own points, and the survey's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from search_spaces.zoo.survey import published
from studies.core.budget import Budget
from studies.core.record import Record
from studies.results.front import Member, front

_LEAST_DB = 0.02  # height of a front that is hardly above Lanczos
_DEEP_DB = 0.5  # of a front that goes deeper below Lanczos the depth is out of sight
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


def sight(
    members: Sequence[Member], others: Iterable[Member] = (), runtimes_ms: Iterable[float] = ()
) -> Sight:
    """Return axes for members of fronts, with what seeds change of their gains, and for Lanczos.

    Args:
        members: Those that matter.
        others: In sight as well, but for those so far below that they would flatten the rest: they
            take a third of the height at most.
        runtimes_ms: Further ones to have in sight.
    """
    rest = [member.gain_db for member in others]
    highs = [member.gain_db + (member.gain_sd_db or 0.0) for member in members]
    lows = [member.gain_db - (member.gain_sd_db or 0.0) for member in members]
    high = max([_LEAST_DB, *highs])
    deepest = min(0.0, max(highs, default=0.0)) - _DEEP_DB
    low = min(0.0, max(min(lows, default=0.0), deepest))
    low = max(min([low, *rest]), low - (high - low) / 2)
    pad = _MARGIN * (high - low)
    times = [*(member.runtime_ms for member in members), *runtimes_ms] or [1.0]
    wider = 10**_MARGIN
    return Sight((min(times) / wider, max(times) * wider), (low - pad, high + pad))


def study_sight(done: Sequence[Member], records: Sequence[Record], budget: Budget) -> Sight:
    """Return axes for a study: for what it trained, every runtime it met, and its limit."""
    outcomes = [record.outcome for record in records if record.outcome is not None]
    runtimes = [outcome.runtime.ms for outcome in outcomes if outcome.runtime is not None]
    if budget.runtime_ms is not None:
        runtimes.append(budget.runtime_ms)
    return sight(front(done), done, runtimes)


def runtime_label(records: Iterable[Record]) -> str:
    """Return what a runtime axis is called: measured or predicted, for which device."""
    for record in records:
        if record.outcome is not None and record.outcome.runtime is not None:
            runtime = record.outcome.runtime
            return f"runtime at 540x960 [ms], {runtime.kind} for {runtime.target}"
    return "runtime at 540x960 [ms]"


def survey_points() -> list[tuple[str, float, float]]:
    """Return name, runtime in ms and gain in dB of the survey's entries that have both."""
    rows = [(name, network.table1) for name, network in published.items()]
    return [(name, row.runtime_ms, row.gain_db) for name, row in rows if row.gain_db is not None]
