"""Which dimensions of a space decide gain and runtime, by what a study has tried."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from search_spaces.space import Space
from studies.outcome import Trained
from studies.record import Record

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
