"""Axis limits of figures of fronts, and the survey's points in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from search_spaces.zoo.survey import published
from studies.core.budget import Budget
from studies.core.record import Record
from studies.results.front import Member, front

_LEAST_HEIGHT_DB = 0.02  # of a front that is hardly above Lanczos
_MOST_DEPTH_DB = 0.5  # below Lanczos; what lies deeper is cut off
_MARGIN = 0.08  # of the height; and in decades of runtime


@dataclass(frozen=True, slots=True)
class AxisLimits:
    """Lowest and highest runtime and gain in a figure."""

    runtimes_ms: tuple[float, float]
    gains_db: tuple[float, float]

    def contains(self, runtime_ms: float, gain_db: float) -> bool:
        """Whether a point lies within the axes."""
        (fast, slow), (low, high) = self.runtimes_ms, self.gains_db
        return fast <= runtime_ms <= slow and low <= gain_db <= high


def axis_limits(
    members: Sequence[Member], others: Iterable[Member] = (), runtimes_ms: Iterable[float] = ()
) -> AxisLimits:
    """Return axis limits for the members of fronts with their error bars, and for Lanczos.

    Args:
        members: They decide the axes.
        others: Shown too, but take at most a third of the height: those far below are cut off.
        runtimes_ms: Further runtimes to show.
    """
    rest = [member.gain_db for member in others]
    highs = [member.gain_db + (member.gain_sd_db or 0.0) for member in members]
    lows = [member.gain_db - (member.gain_sd_db or 0.0) for member in members]
    high = max([_LEAST_HEIGHT_DB, *highs])
    deepest = min(0.0, max(highs, default=0.0)) - _MOST_DEPTH_DB
    low = min(0.0, max(min(lows, default=0.0), deepest))
    low = max(min([low, *rest]), low - (high - low) / 2)
    pad = _MARGIN * (high - low)
    times = [*(member.runtime_ms for member in members), *runtimes_ms] or [1.0]
    wider = 10**_MARGIN
    return AxisLimits((min(times) / wider, max(times) * wider), (low - pad, high + pad))


def study_limits(done: Sequence[Member], records: Sequence[Record], budget: Budget) -> AxisLimits:
    """Return axis limits for a study: trained candidates, all runtimes, and the budget."""
    outcomes = [record.outcome for record in records if record.outcome is not None]
    runtimes = [outcome.runtime.ms for outcome in outcomes if outcome.runtime is not None]
    if budget.runtime_ms is not None:
        runtimes.append(budget.runtime_ms)
    return axis_limits(front(done), done, runtimes)


def runtime_label(records: Iterable[Record]) -> str:
    """Label a runtime axis: measured or predicted, and for which device."""
    for record in records:
        if record.outcome is not None and record.outcome.runtime is not None:
            runtime = record.outcome.runtime
            return f"runtime at 540x960 [ms], {runtime.kind} for {runtime.target}"
    return "runtime at 540x960 [ms]"


def survey_points() -> list[tuple[str, float, float]]:
    """Return name, runtime in ms and gain in dB of the survey's networks that have both."""
    rows = [(name, network.table1) for name, network in published.items()]
    return [(name, row.runtime_ms, row.gain_db) for name, row in rows if row.gain_db is not None]
