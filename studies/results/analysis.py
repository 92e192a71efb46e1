"""Which dimensions of a space decide gain and runtime, by what a study has tried."""

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
    """Seconds; the first three are sums over candidates, of which several may run at once.

    Attributes:
        training_s: Training, with the looks at held-out pictures on its way.
        measuring_s: What else evaluating took: costs, runtimes, the last look.
        overhead_s: Waiting for a worker, and writing results down.
        wall_s: Time in which at least one candidate was under way.
    """

    training_s: float
    measuring_s: float
    overhead_s: float
    wall_s: float

    @property
    def total_s(self) -> float:
        """Training, measuring and overhead of all candidates."""
        return self.training_s + self.measuring_s + self.overhead_s

    @property
    def at_once(self) -> float:
        """How many candidates were under way at once, on average."""
        return self.total_s / self.wall_s if self.wall_s else 0.0


def time_use(records: Iterable[Record]) -> TimeUse:
    """Add up what the records say. Duplicates and unfinished candidates are left out."""
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
            # A clock that was set back must not make time vanish.
            held += max(record.finished - record.started, outcome.seconds)
        else:
            held += outcome.seconds
    return TimeUse(training, evaluating - training, held - evaluating, _union(spans))


def _union(spans: Iterable[tuple[float, float]]) -> float:
    """The length of what the spans cover together."""
    covered, reached = 0.0, float("-inf")
    for begin, end in sorted(spans):
        covered += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return covered


TREES = 64
"""Of the forest."""

LEAST_EACH = 3
"""Candidates that each dimension needs: with fewer the shares are mostly chance."""

_DRAWN = 256  # networks that predictions are averaged over


def choices_of(space: Space, records: Sequence[Record]) -> dict[int, Mapping[str, Any]]:
    """Return, by trial, the choices that give its architecture; duplicates are left out."""
    found: dict[int, Mapping[str, Any]] = {}
    for record in records:
        if record.outcome is not None and record.duplicate_of is None:
            choices = space.parameters(record.candidate.architecture)
            if choices is not None:
                found[record.trial] = choices
    return found


def least(space: Space) -> int:
    """Return how many candidates importances need to mean anything."""
    return LEAST_EACH * sum(len(dimension.choices) > 1 for dimension in space.dimensions)


def gain_importance(
    space: Space, records: Sequence[Record], choices: Mapping[int, Mapping[str, Any]]
) -> dict[str, float]:
    """Return each dimension's share in the differences of gain; empty with too few candidates."""
    values = {r.trial: r.outcome.gain_db for r in records if isinstance(r.outcome, Trained)}
    return _importance(space, choices, values)


def runtime_importance(
    space: Space, records: Sequence[Record], choices: Mapping[int, Mapping[str, Any]]
) -> dict[str, float]:
    """Return the same of the runtime's logarithm: all whose runtime is known count."""
    values = {
        r.trial: math.log(r.outcome.runtime.ms)
        for r in records
        if r.outcome is not None and r.outcome.runtime is not None
    }
    return _importance(space, choices, values)


def _importance(
    space: Space, choices: Mapping[int, Mapping[str, Any]], values: Mapping[int, float]
) -> dict[str, float]:
    """By functional ANOVA of a forest: what each dimension alone changes of its mean prediction.

    The mean is over networks drawn at random, the same for each choice of a dimension. Going
    through the trees' leaves is exact, and takes a minute for 500 candidates.
    """
    dimensions = [d for d in space.dimensions if len(d.choices) > 1]
    trials = [trial for trial in choices if trial in values]
    if len(trials) < least(space) or len({values[trial] for trial in trials}) < 2:
        return {}
    # Here, because it takes longer than all the rest of a page to import.
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
