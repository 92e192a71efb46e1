"""Trials as a study's storage holds them: read as records, taken over from runs that are gone.

With `studies.core.study`, the only code that knows Optuna's trials.
"""

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
"""Attribute of a trial: the run that asked for it."""

Repeat: TypeAlias = tuple[int, int]
"""A further training of a candidate: its trial, and which one it is, from 1 on."""

_REPEAT, _CLAIM = "repeat", "repeating"


def repeat_key(candidate: Candidate) -> str:
    """The study's attribute for one more training of a candidate: finished trials take none."""
    return f"{_REPEAT}:{candidate.trial}:{candidate.repeat}"


def claim_key(candidate: Candidate) -> str:
    """The study's attribute for the run that is at one more training of a candidate."""
    return f"{_CLAIM}:{candidate.trial}:{candidate.repeat}"


def repeats_of(attrs: Mapping[str, Any]) -> dict[Repeat, float | None]:
    """Gains of further trainings by trial and number, in order; None for one that broke.

    Args:
        attrs: The study's attributes.
    """
    return _by_repeat(attrs, _REPEAT)


def claims_of(attrs: Mapping[str, Any], is_present: Callable[[str], bool]) -> dict[Repeat, str]:
    """Runs that are at further trainings now, by trial and number.

    Args:
        attrs: The study's attributes.
        is_present: Whether a run still works on the study; what the others claimed is free again.
    """
    done, claims = _by_repeat(attrs, _REPEAT), _by_repeat(attrs, _CLAIM)
    claims = {which: run for which, run in claims.items() if which not in done}
    present = {run for run in set(claims.values()) if is_present(run)}
    return {which: run for which, run in claims.items() if run in present}


def _by_repeat(attrs: Mapping[str, Any], kind: str) -> dict[Repeat, Any]:
    found = {}
    for key, value in attrs.items():
        what, _, rest = key.partition(":")
        if what == kind:
            trial, _, number = rest.partition(":")
            found[int(trial), int(number)] = value
    return dict(sorted(found.items()))


def with_repeats(record: Record, repeats: Mapping[Repeat, float | None]) -> Record:
    """The record with the gains of its trial's further trainings."""
    gains = tuple(g for (trial, _), g in repeats.items() if trial == record.trial and g is not None)
    return record if gains == record.repeats else replace(record, repeats=gains)


def records_of(
    trials: Iterable[FrozenTrial], repeats: Mapping[Repeat, float | None], budget: Budget
) -> tuple[Record, ...]:
    """Every one of a study's trials that is a candidate's; failed ones are left out."""
    return tuple(
        with_repeats(record_of(trial, budget), repeats)
        for trial in trials
        if "candidate" in trial.user_attrs and trial.state != TrialState.FAIL
    )


def record_of(trial: FrozenTrial, budget: Budget) -> Record:
    """Read one trial of a study with these limits."""
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
    """Set constraints as `Trial.set_constraint` does, which reads the whole trial before each."""
    for name, violation in violations.items():
        trial.storage.set_trial_system_attr(trial._trial_id, f"constraints:{name}", violation)


def take_over(
    raw: optuna.Study,
    running: Sequence[FrozenTrial],
    names: Collection[str],
    is_present: Callable[[str], bool],
    verdict: Callable[[Any], dict[str, Any]],
) -> bool:
    """Finish or give back every trial whose run is gone; for one process at a time.

    Args:
        raw: The study.
        running: Its running trials.
        names: Of its dimensions.
        is_present: Whether a run still works on the study.
        verdict: What to tell of an outcome.

    Returns:
        Whether there were such trials.
    """
    runs = {trial.user_attrs.get(RUN, "") for trial in running}
    gone = {run for run in runs if not is_present(run)}
    if not gone:
        return False
    given_back = {trial.user_attrs.get("retry_of") for trial in raw.get_trials(deepcopy=False)}
    for trial in running:
        if trial.user_attrs.get(RUN, "") not in gone:
            continue
        recorded = trial.user_attrs.get("outcome")
        if recorded is not None:  # killed before it was told
            raw.tell(trial.number, **verdict(from_dict(recorded)))
        elif trial.number in given_back:  # killed while giving back
            raw.tell(trial.number, state=TrialState.FAIL)
        else:
            give_back(raw, trial, names, cut_off=1)
    return True


def give_back(
    raw: optuna.Study, trial: FrozenTrial, names: Collection[str], cut_off: int = 0
) -> None:
    """Fail a trial and ask for its candidate again, unless it only waited for an equal one."""
    attrs = trial.user_attrs
    params = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
    whole = set(params) == set(names)
    if whole and "duplicate_of" not in attrs:
        retry = {
            "origin": attrs.get("origin", "sampler"),
            "retry_of": trial.number,
            "cut_off": attrs.get("cut_off", 0) + cut_off,
        }
        # Before the failure is told: a kill between the two repeats it, never loses it.
        raw.enqueue_trial(params, user_attrs=retry)
    raw.tell(trial.number, state=TrialState.FAIL)
