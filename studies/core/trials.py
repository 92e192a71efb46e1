"""Optuna's trials: read as records, and recovered from runs that are gone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import optuna
from optuna.trial import FrozenTrial, TrialState

from studies.core.budget import Budget
from studies.core.candidate import Candidate
from studies.core.outcome import Trained, from_dict
from studies.core.record import Record

RUN = "run"
"""Trial attribute: the run that asked for it."""

Repeat: TypeAlias = tuple[int, int]
"""A further training of a candidate: its trial and the number of the training, from 1."""

_REPEAT, _CLAIM = "repeat", "repeating"


def repeat_key(candidate: Candidate) -> str:
    """Study attribute of a further training; finished trials accept no attributes."""
    return f"{_REPEAT}:{candidate.trial}:{candidate.repeat}"


def claim_key(candidate: Candidate) -> str:
    """Study attribute of the run that does a further training."""
    return f"{_CLAIM}:{candidate.trial}:{candidate.repeat}"


def repeats_of(attrs: Mapping[str, Any]) -> dict[Repeat, float | None]:
    """Return gains of further trainings from a study's attributes; None for one that broke."""
    return _by_repeat(attrs, _REPEAT)


def claims_of(attrs: Mapping[str, Any], is_alive: Callable[[str], bool]) -> dict[Repeat, str]:
    """Return the runs that do further trainings now, from a study's attributes.

    Claims of runs that are not alive are free again.
    """
    done, claims = _by_repeat(attrs, _REPEAT), _by_repeat(attrs, _CLAIM)
    claims = {which: run for which, run in claims.items() if which not in done}
    alive = {run for run in set(claims.values()) if is_alive(run)}
    return {which: run for which, run in claims.items() if run in alive}


def _by_repeat(attrs: Mapping[str, Any], kind: str) -> dict[Repeat, Any]:
    found = {}
    for key, value in attrs.items():
        what, _, rest = key.partition(":")
        if what == kind:
            trial, _, number = rest.partition(":")
            found[int(trial), int(number)] = value
    return dict(sorted(found.items()))


def with_repeats(record: Record, repeats: Mapping[Repeat, float | None]) -> Record:
    """Return the record with the gains of further trainings."""
    gains = tuple(g for (trial, _), g in repeats.items() if trial == record.trial and g is not None)
    return record if gains == record.repeats else replace(record, repeats=gains)


def records_of(
    trials: Iterable[FrozenTrial], repeats: Mapping[Repeat, float | None], budget: Budget
) -> tuple[Record, ...]:
    """Return the records of trials that have a candidate, failed ones left out."""
    return tuple(
        with_repeats(record_of(trial, budget), repeats)
        for trial in trials
        if "candidate" in trial.user_attrs and trial.state != TrialState.FAIL
    )


def record_of(trial: FrozenTrial, budget: Budget) -> Record:
    """Return the record of a trial of a study with these limits."""
    attrs = trial.user_attrs
    outcome = from_dict(attrs["outcome"]) if "outcome" in attrs else None
    started, finished = trial.datetime_start, trial.datetime_complete
    return Record(
        candidate=Candidate.from_dict(attrs["candidate"]),
        outcome=outcome,
        duplicate_of=attrs.get("duplicate_of"),
        retry_of=attrs.get("retry_of"),
        started=started.timestamp() if started else None,
        finished=finished.timestamp() if finished else None,
        tints=isinstance(outcome, Trained) and budget.is_tinted(outcome.colour_gain_db),
    )


def constrain(trial: optuna.Trial, violations: Mapping[str, float]) -> None:
    """Set constraints; `Trial.set_constraint` would read the whole trial before each."""
    for name, violation in violations.items():
        trial.storage.set_trial_system_attr(trial._trial_id, f"constraints:{name}", violation)


def recover_orphans(
    raw: optuna.Study,
    running: Sequence[FrozenTrial],
    names: Collection[str],
    is_alive: Callable[[str], bool],
    verdict: Callable[[Any], dict[str, Any]],
) -> bool:
    """Finish or queue again every trial whose run is gone; call it under the study's lock.

    Args:
        raw: The study.
        running: Its running trials.
        names: Names of its dimensions.
        is_alive: Whether a run still works on the study.
        verdict: Returns the arguments of Optuna's ``tell`` for an outcome.

    Returns:
        Whether there were such trials.
    """
    runs = {trial.user_attrs.get(RUN, "") for trial in running}
    gone = {run for run in runs if not is_alive(run)}
    if not gone:
        return False
    requeued = {trial.user_attrs.get("retry_of") for trial in raw.get_trials(deepcopy=False)}
    for trial in running:
        if trial.user_attrs.get(RUN, "") not in gone:
            continue
        recorded = trial.user_attrs.get("outcome")
        if recorded is not None:  # killed between outcome and tell
            raw.tell(trial.number, **verdict(from_dict(recorded)))
        elif trial.number in requeued:  # killed in `requeue`
            raw.tell(trial.number, state=TrialState.FAIL)
        else:
            requeue(raw, trial, names, cut_off=1)
    return True


def requeue(
    raw: optuna.Study, trial: FrozenTrial, names: Collection[str], cut_off: int = 0
) -> None:
    """Fail a trial and queue its candidate again, unless it only waited for an equal one."""
    attrs = trial.user_attrs
    params = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
    whole = set(params) == set(names)
    if whole and "duplicate_of" not in attrs:
        retry = {
            "origin": attrs.get("origin", "sampler"),
            "retry_of": trial.number,
            "cut_off": attrs.get("cut_off", 0) + cut_off,
        }
        # Before it fails: a kill between the two may repeat the candidate, but never loses it.
        raw.enqueue_trial(params, user_attrs=retry)
    raw.tell(trial.number, state=TrialState.FAIL)
