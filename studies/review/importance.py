"""Which dimensions of a space decide gain and runtime, by what a study has tried."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.trial import TrialState, create_trial

from search_spaces.space import Space
from studies.outcome import Trained
from studies.record import Record
from studies.samplers import distribution

TREES = 64
LEAST_EACH = 3
"""Candidates that each dimension needs: with fewer the shares are mostly chance."""


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
    """By fANOVA, whose forest gives every dimension's share of the variance by itself."""
    dimensions = [d for d in space.dimensions if len(d.choices) > 1]
    trials = [trial for trial in choices if trial in values]
    if len(trials) < least(space) or len({values[trial] for trial in trials}) < 2:
        return {}
    # Here, because it imports scikit-learn, which takes longer than all the rest of a page.
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.add_trials(
        [
            create_trial(
                state=TrialState.COMPLETE,
                params={d.name: choices[trial][d.name] for d in dimensions},
                distributions={d.name: distribution(d) for d in dimensions},
                value=values[trial],
            )
            for trial in trials
        ]
    )
    evaluator = FanovaImportanceEvaluator(n_trees=TREES, seed=0)
    return get_param_importances(study, evaluator=evaluator)
