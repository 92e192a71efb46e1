"""What another seed would have changed: the noise of gains, and how sure a front is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

_DRAWS = 4000
"""Probabilities are right within a hundredth."""


def pooled_sd_db(groups: Iterable[Sequence[float]]) -> float | None:
    """Return the standard deviation of a gain over seeds, in dB, pooled over candidates.

    Args:
        groups: The gains of each candidate; those trained once tell nothing.
    """
    squares, freedom = 0.0, 0
    for gains in groups:
        mean = sum(gains) / len(gains)
        squares += sum((gain - mean) ** 2 for gain in gains)
        freedom += len(gains) - 1
    return math.sqrt(squares / freedom) if freedom else None


def front_probabilities(
    runtimes_ms: Sequence[float], groups: Sequence[Sequence[float]], sd_db: float
) -> list[float]:
    """Return how probable it is that each candidate is on the front of true mean gains.

    By drawing: every candidate's mean is normal about the one found, with the pooled standard
    deviation over the root of how often it was trained. Runtimes are taken as exact. Draws are the
    same every time.

    Args:
        runtimes_ms: Of each candidate.
        groups: The gains of each candidate.
        sd_db: As `pooled_sd_db` returns it.
    """
    import numpy as np  # here, because `nas front` can mostly do without

    means = np.array([sum(gains) / len(gains) for gains in groups])
    errors = sd_db / np.sqrt([len(gains) for gains in groups])
    drawn = means + errors * np.random.default_rng(0).standard_normal((_DRAWS, len(means)))
    order = np.argsort(runtimes_ms, kind="stable")
    sorted_gains = drawn[:, order]
    best_before = np.maximum.accumulate(sorted_gains, axis=1)[:, :-1]
    on_front = np.ones_like(sorted_gains, dtype=bool)
    on_front[:, 1:] = sorted_gains[:, 1:] > best_before
    probabilities = np.empty(len(means))
    probabilities[order] = on_front.mean(axis=0)
    return [float(probability) for probability in probabilities]
