"""Time use of a study, and importance of a space's dimensions for gain and runtime."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from search_spaces.space import Space
from studies.core.outcome import Rejected, Trained
from studies.core.record import Record


@dataclass(frozen=True, slots=True)
class TimeUse:
    """Times in seconds; the first three are sums over candidates, several of which run at once.

    Attributes:
        training_s: Training, with the evaluations at rungs.
        measuring_s: The rest of the evaluation: costs, runtimes, the final quality.
        overhead_s: Waiting for a worker, and storing results.
        wall_s: Time in which at least one candidate was evaluated.
    """

    training_s: float
    measuring_s: float
    overhead_s: float
    wall_s: float

    @property
    def total_s(self) -> float:
        """Sum over all candidates."""
        return self.training_s + self.measuring_s + self.overhead_s

    @property
    def at_once(self) -> float:
        """Mean number of candidates at once."""
        return self.total_s / self.wall_s if self.wall_s else 0.0


def time_use(records: Iterable[Record]) -> TimeUse:
    """Return the time use of ended candidates, without duplicates."""
    training = evaluating = held = 0.0
    spans = []
    for record in records:
        outcome = record.outcome
        if outcome is None or record.duplicate_of is not None:
            continue
        evaluating += outcome.seconds
        if isinstance(outcome, Trained | Rejected) and outcome.curve:
            training += min(outcome.curve[-1].seconds, outcome.seconds)
        if record.started is not None and record.finished is not None:
            spans.append((record.started, record.finished))
            # The clock may have been set back.
            held += max(record.finished - record.started, outcome.seconds)
        else:
            held += outcome.seconds
    return TimeUse(training, evaluating - training, held - evaluating, _union(spans))


def _union(spans: Iterable[tuple[float, float]]) -> float:
    """Return the length of the union of intervals."""
    covered, reached = 0.0, float("-inf")
    for begin, end in sorted(spans):
        covered += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return covered


TREES = 64
"""Number of trees of the forest."""

LEAST_EACH = 3
"""Candidates needed for each dimension: with fewer the shares are mostly chance."""

_DRAWN = 256  # networks over which predictions are averaged


def choices_of(space: Space, records: Sequence[Record]) -> dict[int, Mapping[str, Any]]:
    """Return by trial the choices of its architecture, without duplicates."""
    found: dict[int, Mapping[str, Any]] = {}
    for record in records:
        if record.outcome is not None and record.duplicate_of is None:
            choices = space.parameters(record.candidate.architecture)
            if choices is not None:
                found[record.trial] = choices
    return found


def least(space: Space) -> int:
    """Return the number of candidates needed for importances."""
    return LEAST_EACH * sum(len(dimension.choices) > 1 for dimension in space.dimensions)


def gain_importance(
    space: Space, records: Sequence[Record], choices: Mapping[int, Mapping[str, Any]]
) -> dict[str, float]:
    """Return each dimension's share in the variance of gain; empty with too few candidates."""
    values = {r.trial: r.outcome.gain_db for r in records if isinstance(r.outcome, Trained)}
    return _importance(space, choices, values)


def runtime_importance(
    space: Space, records: Sequence[Record], choices: Mapping[int, Mapping[str, Any]]
) -> dict[str, float]:
    """Return the same for the logarithm of the runtime, of all candidates with a runtime."""
    values = {
        r.trial: math.log(r.outcome.runtime.ms)
        for r in records
        if r.outcome is not None and r.outcome.runtime is not None
    }
    return _importance(space, choices, values)


def _importance(
    space: Space, choices: Mapping[int, Mapping[str, Any]], values: Mapping[int, float]
) -> dict[str, float]:
    """Functional ANOVA of a random forest: the variance of its mean prediction over a dimension.

    The mean is over random networks, the same for each choice. The exact computation on the trees'
    leaves would take a minute for 500 candidates.
    """
    dimensions = [d for d in space.dimensions if len(d.choices) > 1]
    trials = [trial for trial in choices if trial in values]
    if len(trials) < least(space) or len({values[trial] for trial in trials}) < 2:
        return {}
    # Imported here because it takes longer than the rest of a page.
    from sklearn.ensemble import RandomForestRegressor

    inputs = [[d.choices.index(choices[trial][d.name]) for d in dimensions] for trial in trials]
    forest = RandomForestRegressor(TREES, random_state=0)
    forest.fit(np.array(inputs), [values[trial] for trial in trials])
    drawn = np.random.default_rng(0).integers(
        [len(d.choices) for d in dimensions], size=(_DRAWN, len(dimensions))
    )
    variances = {}
    for column, dimension in enumerate(dimensions):
        changed = np.repeat(drawn[None], len(dimension.choices), axis=0)
        changed[:, :, column] = np.arange(len(dimension.choices))[:, None]
        predicted = forest.predict(changed.reshape(-1, len(dimensions)))
        variances[dimension.name] = float(predicted.reshape(changed.shape[:2]).mean(1).var())
    total = sum(variances.values()) or 1.0
    shares = {name: variance / total for name, variance in variances.items()}
    return dict(sorted(shares.items(), key=lambda share: -share[1]))
