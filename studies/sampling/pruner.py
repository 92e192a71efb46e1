"""Early stopping by Pareto rank.

A rule on gain alone would stop fast networks first, because slower ones gain more at every step.
Here a candidate stops at a rung when too many others were better *and* faster there.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from studies.core.outcome import PartialResult, Rejected, Trained
from studies.core.record import Record

Point: TypeAlias = tuple[float, float]
"""Gain in dB and runtime in ms."""


class ParetoPruner:
    """Stops candidates that too many others dominate at a rung.

    At each rung about one in ``keep_one_in`` continues: those of the best non-domination ranks.
    The first to reach a rung continue until there are ``keep_one_in`` of them.
    """

    def __init__(self, keep_one_in: int = 3, records: Iterable[Record] = ()) -> None:
        self._keep_one_in = keep_one_in
        self._points: dict[int, list[Point]] = {}
        for record in records:
            outcome = record.outcome
            if record.duplicate_of is not None or not isinstance(outcome, Trained | Rejected):
                continue
            for rung in outcome.curve:
                assert outcome.runtime is not None  # the gate comes before the training
                self._points.setdefault(rung.step, []).append((rung.gain_db, outcome.runtime.ms))

    def required_gain_db(self, partial_result: PartialResult) -> float | None:
        """Record a candidate at a rung; return the lowest gain to continue if it must stop."""
        others = self._points.setdefault(partial_result.rung.step, [])
        point = (partial_result.rung.gain_db, partial_result.runtime.ms)
        needed = None
        if not continues(others, point, self._keep_one_in):
            needed = self._lowest_gain(others, partial_result.runtime.ms)
        others.append(point)
        return needed

    def _lowest_gain(self, others: list[Point], runtime_ms: float) -> float:
        def is_enough(gain: float) -> bool:
            return continues(others, (gain, runtime_ms), self._keep_one_in)

        gains = sorted({gain for gain, _ in others})
        # The more gain, the better the rank: half of the gains are ruled out at a time.
        return gains[min(bisect_left(gains, True, key=is_enough), len(gains) - 1)]


def continues(others: Sequence[Point], point: Point, keep_one_in: int) -> bool:
    """Whether a point among ``others`` is in the share that continues."""
    points = [*others, point]
    if len(points) < keep_one_in:
        return True
    ranks = non_domination_ranks(points)
    better = sum(rank < ranks[-1] for rank in ranks)
    return better < math.ceil(len(points) / keep_one_in)


def non_domination_ranks(points: Sequence[Point]) -> list[int]:
    """Return 0 for points that no other dominates, 1 for those left once these are gone, etc."""
    rank_of: dict[Point, int] = {}
    losses: list[float] = []  # the least of each rank so far: a loss is a gain with minus
    for point in sorted(set(points), key=lambda p: (p[1], -p[0])):
        loss = -point[0]
        rank = bisect_right(losses, loss)  # each of so many ranks holds one that dominates it
        losses[rank : rank + 1] = [loss]
        rank_of[point] = rank
    return [rank_of[point] for point in points]
