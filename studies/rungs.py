"""Stopping early by Pareto rank: the one rule that does not delete every fast network.

A rule on gain alone stops fast networks first, because slower ones gain more at every step. Here a
candidate stops at a rung when too many others were better *and* faster there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TypeAlias

from studies.outcome import Rejected, Trained, Underway
from studies.record import Record

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

    def stops(self, underway: Underway) -> float | None:
        """Take note of a candidate at a rung.

        Returns:
            None when it goes on; otherwise the least gain in dB with which it would have.
        """
        others = self._seen.setdefault(underway.rung.step, [])
        point = (underway.rung.gain_db, underway.runtime.ms)
        goes_on = goes_on_with(others, point, self._keep_one_in)
        needed = None if goes_on else self._needed(others, underway.runtime.ms)
        others.append(point)
        return needed

    def _needed(self, others: list[Point], runtime_ms: float) -> float:
        gains = sorted({gain for gain, _ in others})
        tries = ((gain, runtime_ms) for gain in gains)
        enough = (t[0] for t in tries if goes_on_with(others, t, self._keep_one_in))
        return next(enough, gains[-1])


def goes_on_with(others: list[Point], point: Point, keep_one_in: int) -> bool:
    """Say whether a point among ``others`` is in the share that goes on."""
    everyone = [*others, point]
    if len(everyone) < keep_one_in:
        return True
    ranks = non_domination_ranks(everyone)
    better = sum(rank < ranks[-1] for rank in ranks)
    return better < math.ceil(len(everyone) / keep_one_in)


def non_domination_ranks(points: list[Point]) -> list[int]:
    """Return 0 for points that no other dominates, 1 for those left once these are gone, etc."""
    ranks = [-1] * len(points)
    rank = 0
    while -1 in ranks:
        left = [i for i, r in enumerate(ranks) if r == -1]
        best = [i for i in left if not any(_dominates(points[j], points[i]) for j in left)]
        for i in best:
            ranks[i] = rank
        rank += 1
    return ranks


def _dominates(a: Point, b: Point) -> bool:
    return a[0] >= b[0] and a[1] <= b[1] and a != b
