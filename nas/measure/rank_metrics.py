"""Metrics of a ranking against the true one, and their uncertainty."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np


def mape(predicted: Sequence[float], true: Sequence[float]) -> float:
    """Return the mean absolute error relative to the true values, as a fraction."""
    p, t = np.asarray(predicted, float), np.asarray(true, float)
    return float(np.mean(np.abs(p / t - 1)))


def spearman(a: Sequence[float], b: Sequence[float]) -> float:
    """Return Spearman's rank correlation; ties get their mean rank."""
    return float(np.corrcoef(_ranks(a), _ranks(b))[0, 1])


def kendall(a: Sequence[float], b: Sequence[float]) -> float:
    """Return Kendall's tau-b, which corrects for ties."""
    x, y = (np.sign(np.subtract.outer(v, v)) for v in (np.asarray(a), np.asarray(b)))
    return float((x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum()))


def _ranks(values: Sequence[float]) -> np.ndarray:
    v = np.asarray(values, float)
    return (v[:, None] > v).sum(1) + (v[:, None] == v).sum(1) / 2


SIMILAR = 1.25
"""Largest ratio of similar runtimes; a search chooses among such networks."""


@dataclass(frozen=True, slots=True)
class Field:
    """The networks that are ranked, in the same order for all fields."""

    truth: tuple[float, ...]
    """True values, such as gains in dB."""
    runtimes_ms: tuple[float, ...]
    factors: tuple[int, ...]
    """Working resolutions: LR sides are divided by them."""

    @property
    def chance_kendall_sd(self) -> float:
        """Standard deviation of Kendall's coefficient for a random ranking."""
        n = len(self.truth)
        return math.sqrt(2 * (2 * n + 5) / (9 * n * (n - 1)))


@dataclass(frozen=True, slots=True)
class Pairs:
    """Order of some pairs of networks; ``pairs`` differ in truth, ties are neither."""

    pairs: int
    right: int
    wrong: int

    @property
    def kendall(self) -> float | None:
        """(right - wrong) / pairs, from -1 to 1; None without pairs."""
        return (self.right - self.wrong) / self.pairs if self.pairs else None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Agreement of a ranking with the truth.

    Attributes:
        kendall: Kendall's tau-b, the mean over single seeds.
        kendall_low: The worst seed's.
        kendall_high: The best seed's.
        kendall_of_means: That of the means over seeds.
        spearman: Spearman's coefficient, the mean over single seeds.
        seed_sd: Standard deviation over seeds, pooled over networks; None with a single seed.
        order_sd: The part of it that can change an order: a seed that moves all networks alike
            changes none.
        resolved: Pairs whose means lie further apart than 2 ``order_sd``.
        similar: Pairs of similar runtime, by means.
        within: Pairs of one working resolution, by means.
        across: Pairs of different working resolution, by means.
    """

    kendall: float
    kendall_low: float
    kendall_high: float
    kendall_of_means: float
    spearman: float
    seed_sd: float | None
    order_sd: float | None
    resolved: Pairs | None
    similar: Pairs
    within: Pairs
    across: Pairs


def judge(guesses: Sequence[Sequence[float]], field: Field) -> Verdict:
    """Compare guesses (seeds, networks), larger is better, with the truth."""
    values, truth = np.asarray(guesses, float), np.asarray(field.truth, float)
    means = values.mean(0)
    single = [_agreement(kendall, row, field) for row in guesses]
    apart = np.abs(np.subtract.outer(means, means))
    seed_sd = order_sd = resolved = None
    if len(values) > 1:
        seed_sd = float(np.sqrt(values.var(0, ddof=1).mean()))
        alone = values - means - values.mean(1, keepdims=True) + values.mean()
        order_sd = float(np.sqrt((alone**2).sum() / ((len(values) - 1) * (len(means) - 1))))
        resolved = _pairs(means, truth, apart > 2 * order_sd)
    runtimes = np.log(np.asarray(field.runtimes_ms, float))
    similar = np.abs(np.subtract.outer(runtimes, runtimes)) <= math.log(SIMILAR)
    factors = np.asarray(field.factors)
    other = np.not_equal.outer(factors, factors)
    return Verdict(
        kendall=float(np.mean(single)),
        kendall_low=min(single),
        kendall_high=max(single),
        kendall_of_means=_agreement(kendall, means.tolist(), field),
        spearman=float(np.mean([_agreement(spearman, row, field) for row in guesses])),
        seed_sd=seed_sd,
        order_sd=order_sd,
        resolved=resolved,
        similar=_pairs(means, truth, similar),
        within=_pairs(means, truth, ~other),
        across=_pairs(means, truth, other),
    )


def _pairs(guess: np.ndarray, truth: np.ndarray, chosen: np.ndarray) -> Pairs:
    upper = np.triu(np.ones_like(chosen, dtype=bool), 1)
    orders = np.sign(np.subtract.outer(guess, guess)) * np.sign(np.subtract.outer(truth, truth))
    counted = upper & chosen & (np.subtract.outer(truth, truth) != 0)
    of_those = orders[counted]
    return Pairs(len(of_those), int((of_those > 0).sum()), int((of_those < 0).sum()))


def _agreement(
    coefficient: Callable[[Sequence[float], Sequence[float]], float],
    guess: Sequence[float],
    field: Field,
) -> float:
    """The coefficient, 0 where all values are equal."""
    if len(set(guess)) == 1 or len(set(field.truth)) == 1:
        return 0.0
    return coefficient(guess, field.truth)
