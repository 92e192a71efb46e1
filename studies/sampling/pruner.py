"""Stopping early by Pareto rank: the one rule that does not delete every fast network.

A rule on gain alone stops fast networks first, because slower ones gain more at every step. Here a
candidate stops at a rung when too many others were better *and* faster there.
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


class ParetoRungs:
    """Remembers what every candidate reached at each rung, and stops the dominated ones.

    At each rung about one in ``keep_one_in`` goes on: those of the best non-domination ranks. The
    first that reach a rung go on until there are ``keep_one_in`` of them.
    """

    def __init__(self, keep_one_in: int = 3, records: Iterable[Record] = ()) -> None:
        self._keep_one_in = keep_one_in
        self._seen: dict[int, list[Point]] = {}
        for record in records:
            outcome = record.outcome
            if record.duplicate_of is not None or not isinstance(outcome, Trained | Rejected):
                continue
            for rung in outcome.curve:
                assert outcome.runtime is not None  # the gate comes before the training
                self._seen.setdefault(rung.step, []).append((rung.gain_db, outcome.runtime.ms))

    def stops(self, partial_result: PartialResult) -> float | None:
        """Take note of a candidate at a rung.

        Returns:
            None when it goes on; otherwise the least gain in dB with which it would have.
        """
        others = self._seen.setdefault(partial_result.rung.step, [])
        point = (partial_result.rung.gain_db, partial_result.runtime.ms)
        goes_on = goes_on_with(others, point, self._keep_one_in)
        needed = None if goes_on else self._needed(others, partial_result.runtime.ms)
        others.append(point)
        return needed

    def _needed(self, others: list[Point], runtime_ms: float) -> float:
        def is_enough(gain: float) -> bool:
            return goes_on_with(others, (gain, runtime_ms), self._keep_one_in)

        gains = sorted({gain for gain, _ in others})
        # The more gain, the better the rank: half of the gains are ruled out at a time.
        return gains[min(bisect_left(gains, True, key=is_enough), len(gains) - 1)]


def goes_on_with(others: Sequence[Point], point: Point, keep_one_in: int) -> bool:
    """Say whether a point among ``others`` is in the share that goes on."""
    everyone = [*others, point]
    if len(everyone) < keep_one_in:
        return True
    ranks = non_domination_ranks(everyone)
    better = sum(rank < ranks[-1] for rank in ranks)
    return better < math.ceil(len(everyone) / keep_one_in)


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
