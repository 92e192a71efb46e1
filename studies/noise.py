"""What another seed would have changed: the noise of gains, and how sure a front is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

_DRAWS = 4000
"""Probabilities are right within two hundredths."""


def pooled_sd_db(groups: Iterable[tuple[int, float]]) -> float | None:
    """Return the standard deviation of a gain over seeds, in dB, pooled over candidates.

    Args:
        groups: Trainings of each candidate, two or more, and the standard deviation of their gains.
    """
    squares, freedom = 0.0, 0
    for trainings, sd_db in groups:
        squares += (trainings - 1) * sd_db**2
        freedom += trainings - 1
    return math.sqrt(squares / freedom) if freedom else None


def front_probabilities(
    runtimes_ms: Sequence[float],
    gains_db: Sequence[float],
    trainings: Sequence[int],
    sd_db: float,
) -> list[float]:
    """Return how probable it is that each candidate is on the front of true mean gains.

    By drawing: every candidate's mean is normal about the one found, with the pooled standard
    deviation over the root of how often it was trained. Runtimes are taken as exact. Draws are the
    same every time.

    Args:
        runtimes_ms: Of each candidate.
        gains_db: Mean over the trainings of each.
        trainings: How often each was trained.
        sd_db: As `pooled_sd_db` returns it.
    """
    import numpy as np  # here, because `nas front` can mostly do without

    means, errors = np.array(gains_db), sd_db / np.sqrt(trainings)
    drawn = means + errors * np.random.default_rng(0).standard_normal((_DRAWS, len(means)))
    order = np.argsort(runtimes_ms, kind="stable")
    times, gains = np.array(runtimes_ms)[order], drawn[:, order]
    highest = np.maximum.accumulate(gains, axis=1)
    of_faster = np.pad(highest, ((0, 0), (1, 0)), constant_values=-np.inf)
    # None that is faster is as good, and none that is as fast is better.
    above_faster = gains > of_faster[:, np.searchsorted(times, times, "left")]
    on_front = above_faster & (gains >= highest[:, np.searchsorted(times, times, "right") - 1])
    probabilities = np.empty(len(means))
    probabilities[order] = on_front.mean(axis=0)
    return [float(probability) for probability in probabilities]
