"""The Pareto front of a study in (PSNR-Y gain, runtime), and how large a part it dominates."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from studies.limits import Budget
from studies.outcome import Trained
from studies.record import Record, violations

REFERENCE_MS = 33.0
"""Reference runtime without a runtime budget: the challenge's own limit for real time."""


def trained(records: Iterable[Record]) -> list[tuple[Record, Trained]]:
    """The records whose candidate was trained to the end, with its outcome; no duplicates."""
    return [
        (record, record.outcome)
        for record in records
        if isinstance(record.outcome, Trained) and record.duplicate_of is None
    ]


def front(records: Iterable[Record], budget: Budget) -> list[tuple[Record, Trained]]:
    """The feasible records that no other beats in gain and runtime alike, fastest first.

    Of several with equal gain and runtime the first stays.
    """
    feasible = [
        (record, outcome)
        for record, outcome in trained(records)
        if all(over <= 0 for over in violations(outcome, budget).values())
    ]
    feasible.sort(key=lambda pair: (pair[1].runtime.ms, -pair[1].gain_db, pair[0].trial))
    kept: list[tuple[Record, Trained]] = []
    for record, outcome in feasible:
        if not kept or outcome.gain_db > kept[-1][1].gain_db:
            kept.append((record, outcome))
    return kept


def hypervolume(points: Iterable[tuple[float, float]], reference_ms: float) -> float:
    """Area dominated by (gain in dB, runtime in ms) points, in dB times octaves of runtime.

    The reference point is a gain of 0 dB (Lanczos) at ``reference_ms``: a network of g dB that
    is k times faster than the reference alone dominates g * log2(k). Points below Lanczos or
    slower than the reference add nothing. Runtime counts by its logarithm because halving it is
    worth the same anywhere.
    """
    inside = sorted((ms, gain) for gain, ms in points if gain > 0 and ms < reference_ms)
    area = best = 0.0
    for ms, gain in inside:
        if gain > best:
            area += (gain - best) * math.log2(reference_ms / ms)
            best = gain
    return area


def hypervolume_curve(records: Iterable[Record], budget: Budget) -> list[float]:
    """The hypervolume after the first, second, ... trained candidate, in order of finishing."""
    reference = budget.runtime_ms or REFERENCE_MS
    done = sorted(trained(records), key=lambda pair: (pair[0].finished or 0.0, pair[0].trial))
    points: list[tuple[float, float]] = []
    curve = []
    for _, outcome in done:
        if all(over <= 0 for over in violations(outcome, budget).values()):
            points.append((outcome.gain_db, outcome.runtime.ms))
        curve.append(hypervolume(points, reference))
    return curve


def knee(members: Sequence[tuple[Record, Trained]]) -> tuple[Record, Trained] | None:
    """The front's best compromise: farthest above the line between its two ends.

    Measured in gain against the logarithm of the runtime, both scaled to the front's extent; the
    ends themselves when there is nothing between; None for an empty front.
    """
    if not members:
        return None
    fast, good = members[0][1], members[-1][1]
    height = good.gain_db - fast.gain_db
    length = math.log(good.runtime.ms / fast.runtime.ms)
    if height <= 0 or length <= 0:
        return members[-1]

    def above(pair: tuple[Record, Trained]) -> float:
        outcome = pair[1]
        rise = (outcome.gain_db - fast.gain_db) / height
        return rise - math.log(outcome.runtime.ms / fast.runtime.ms) / length

    return max(members, key=above)
